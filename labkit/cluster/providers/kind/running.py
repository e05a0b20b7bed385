"""Running kind: line by line, into a log, and so that Ctrl-C or a termination at any moment can be cleaned up after.

kind runs in a session of its own: a Ctrl-C in the terminal reaches labkit alone, which then decides in which order things end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from labkit.cluster.errors import ClusterError

_GRACE = 20.0  # seconds that a `docker run` in flight has to come to its end
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """A SIGTERM or SIGHUP: treated as Ctrl-C is."""


def stream(
    command: Sequence[str], environment: Mapping[str, str], log: Path, told: Callable[[str], None], *,
    in_flight: Callable[[], bool],
) -> int:  # fmt: skip
    """Run a command; each line of its output is kept in `log` and told. Returns its exit code.

    Interrupted, it ends the command and all that it started, and the interrupt goes on. `in_flight`: whether the command's own
    commands are at something that has to come to its end first, since the engine would go on with it unseen.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as kept:
        try:
            process = subprocess.Popen(
                list(command), env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace", start_new_session=True,
            )  # fmt: skip
        except OSError as problem:
            raise ClusterError(f"{command[0]} cannot be run: {problem.strerror}") from None
        try:
            assert process.stdout is not None
            for line in process.stdout:
                kept.write(line)
                kept.flush()
                told(line)
            return process.wait()
        except BaseException:
            with undisturbed():
                _end(process, in_flight())
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()


def _end(process: subprocess.Popen[str], patiently: bool) -> None:
    """End a process and its group; what it has in flight first comes to its end when `patiently`."""
    process.kill()
    process.wait()
    deadline = time.monotonic() + (_GRACE if patiently else 0)
    while _group_lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)  # nothing tells when a foreign process group has emptied
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@contextlib.contextmanager
def terminations_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP raise Terminated in a `with`, where nobody else has plans for them (and only in the main thread)."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    with _handling([one for one in _SIGNALS if _has_default(one)], interrupt):
        yield


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Interrupts are put off in a `with`, and forgotten: it is for ending things, which is what they ask for."""
    with _handling([signal.SIGINT, *_SIGNALS], lambda _number, _frame: None):
        yield


@contextlib.contextmanager
def _handling(
    numbers: Sequence[signal.Signals], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _has_default(number: signal.Signals) -> bool:
    return signal.getsignal(number) is signal.SIG_DFL
