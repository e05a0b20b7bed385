"""What happens in a container's own processes, after the zygote has forked them and before the program runs.

`first` makes the root file system, stays as the container's init (reaps, passes signals on) and starts the program
beneath itself; `later` joins a running container (exec). A start that fails is told to the daemon on the `report`
socket, in runc's words; a start that works is the end of file there. With a terminal, its master is sent first.
"""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import signal
import socket
import sys
import termios
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from labkit.pocket.images import Image, find, shims
from labkit.pocket.node import linux, rootfs
from labkit.pocket.node.machine import Machine
from labkit.pocket.node.spec import ProcessSpec

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
_IMAGE_FILE_MODE = 0o644
_COMMAND_MODE = 0o755


class StartFailure(Exception):  # noqa: N818 - a learner's mistake, not ours
    """The process cannot start; the text is what runc says after `unable to start container process: `."""


@dataclass(frozen=True)
class Channels:
    """File descriptors of a process to be: its standard streams (-1 with a terminal) and the report socket."""

    stdin: int
    stdout: int
    stderr: int
    report: int


def first(memory: int, channels: Channels, machine: Machine, root: str) -> NoReturn:
    """Be the container's init. Call in a new PID namespace, in the pod's network, UTS and IPC namespaces.

    `memory` is the memory file with the spec, which only the program's process reads: the init touches as little memory
    as it can, since what it touches is no longer shared with the zygote.
    """
    with _reporting(channels):
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
        child = os.fork()
    if child:
        _close()
        _be_init(child)
    # pivot_root moves the init with it.
    with _reporting(channels):
        spec = ProcessSpec.from_memory_file(memory)
        rootfs.build(machine, root, _image_files(find(spec.image)), spec.binds, read_only=spec.read_only_root)
    later(spec, channels)


def later(spec: ProcessSpec, channels: Channels) -> NoReturn:
    """Become the program. Call inside the container's namespaces."""
    with _reporting(channels):
        for number in signal.valid_signals():
            if signal.getsignal(number) not in (signal.SIG_DFL, None) and number not in (
                signal.SIGKILL,
                signal.SIGSTOP,
            ):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setsid()
        _standard_streams(spec, channels)
        _working_directory(spec.working_dir)
        linux.keep_capabilities(spec.capabilities)
        program = _resolve(spec, find(spec.image))
        os.closerange(3, channels.report)
        os.closerange(channels.report + 1, 1 << 16)
        os.environ.clear()
        os.environ.update(spec.env)
        if isinstance(program, str):
            os.set_inheritable(channels.report, False)  # closed by a successful exec: that is the report
            _exec(program, spec)
    os.close(channels.report)
    _run(program, spec)


class _reporting:  # noqa: N801 - reads as a statement
    """Tell the daemon of an exception and end this process, instead of going back into the zygote's code."""

    def __init__(self, channels: Channels) -> None:
        self.report = channels.report

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if problem is None:
            return
        if isinstance(problem, StartFailure):
            told = {"failure": str(problem)}
        else:
            told = {
                "failure": f"{type(problem).__name__}: {problem}",
                "trace": "".join(traceback.format_exception(problem)),
            }
        try:
            os.write(self.report, json.dumps(told).encode()[:60000])
        finally:
            os._exit(127)


def _image_files(image: Image | None) -> dict[str, tuple[int, bytes]]:
    if image is None:
        return {}
    files = {
        path: (_IMAGE_FILE_MODE, text.encode() if isinstance(text, str) else text)
        for path, text in image.files.items()
    }
    for path, text in shims(image).items():
        files[path] = (_COMMAND_MODE, text.encode())
    return files


def _close() -> None:
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, 1 << 16)


def _be_init(child: int) -> NoReturn:
    """Pass signals on to the program, collect the orphans, end as the program ends; the kernel then ends the rest."""
    linux.set_name("init")
    linux.set_command_line(["/init"])

    def forward(number: int, _frame: object) -> None:
        try:
            os.kill(child, number)
        except ProcessLookupError:
            pass  # it has just ended

    for number in _FORWARDED:
        signal.signal(number, forward)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child and not os.WIFSTOPPED(status):
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _standard_streams(spec: ProcessSpec, channels: Channels) -> None:
    if not spec.tty:
        for target, source in enumerate((channels.stdin, channels.stdout, channels.stderr)):
            os.dup2(source, target)
        return
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for target in (0, 1, 2):
        os.dup2(slave, target)
    with socket.socket(fileno=os.dup(channels.report)) as report:
        socket.send_fds(report, [b'{"terminal": true}'], [master])


def _working_directory(path: str) -> None:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)  # as container runtimes do
        os.chdir(path)
    except OSError as problem:
        raise StartFailure(
            f"error mkdir/chdir to cwd ({path!r}) set in config.json failed: {problem.strerror}"
        ) from None


Program = Callable[[list[str]], int]


def _resolve(spec: ProcessSpec, image: Image | None) -> Program | str:
    """argv[0] as one of the image's programs, or as the path of a file to execute."""
    commands: Mapping[str, Program] = image.commands if image is not None else {}
    name = spec.argv[0]
    if "/" in name:
        candidates = [str(Path(spec.working_dir, name))]
    else:
        candidates = [
            f"{folder}/{name}" for folder in spec.env.get("PATH", DEFAULT_PATH).split(":") if folder
        ]
    for candidate in candidates:
        path = os.path.normpath(candidate)
        for known in (path, os.path.realpath(path)):
            if known in commands:
                return commands[known]
        if Path(path).is_file() and os.access(path, os.X_OK):
            return path
    if "/" not in name:
        raise StartFailure(f'exec: "{name}": executable file not found in $PATH')
    path = candidates[0]
    if not Path(path).exists():
        raise StartFailure(f'exec: "{name}": stat {path}: no such file or directory')
    raise StartFailure(f'exec: "{name}": {"is a directory" if Path(path).is_dir() else "permission denied"}')


def _exec(path: str, spec: ProcessSpec) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores these; a program expects them
    try:
        os.execve(path, list(spec.argv), spec.env)
    except OSError as problem:
        what = "exec format error" if problem.errno == errno.ENOEXEC else str(problem.strerror).lower()
        raise StartFailure(f"exec {path}: {what}") from None


def _run(program: Program, spec: ProcessSpec) -> NoReturn:
    linux.set_name(Path(spec.argv[0]).name)
    linux.set_command_line(spec.argv)
    sys.argv = list(spec.argv)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), line_buffering=True)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = program(list(spec.argv))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code & 0xFF)
