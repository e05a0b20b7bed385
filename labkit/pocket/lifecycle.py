"""Start, find and end pocket clusters: `up`, `down`, `list_clusters`, `status`.

Imports little: what is heavy is in the daemon. Safe to call from several processes at once: two `up`s make one cluster.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.pocket import waiting
from labkit.pocket.errors import NoSuchCluster, NotSupported, PocketError
from labkit.pocket.places import Places, default_home

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_ANSWER_SECONDS = 5.0
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHON", "LABKIT_")
_STAGES_OF_THE_MACHINE = ("unshare", "id-map", "capabilities", "network")


@dataclass(frozen=True)
class ClusterInfo:
    """A cluster as seen from outside. `pid` is None when it is not running; `created`: by this call, not found."""

    name: str
    pid: int | None
    kubeconfig: Path
    server: str
    created: bool = False
    started: int | None = None  # seconds since the epoch

    @property
    def running(self) -> bool:
        """Whether its daemon lives."""
        return self.pid is not None

    @property
    def context(self) -> str:
        """Its name in the kubeconfig."""
        return f"labkit-{self.name}"

    def to_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "name": self.name, "running": self.running, "pid": self.pid, "kubeconfig": str(self.kubeconfig),
            "context": self.context, "server": self.server, "started": self.started,
        }  # fmt: skip


def up(
    name: str = "lab", *, home: Path | None = None, progress: Callable[[str], None] | None = None
) -> ClusterInfo:
    """Make sure that the cluster runs; returns when its API answers.

    A cluster that was there before (ended by a kill or a reboot) comes back with all its objects. `progress` is told
    what is done. Raises NotSupported when this machine refuses namespaces, PocketError when the start fails.
    """
    tell = progress or (lambda _text: None)
    places = Places(name, home or default_home())
    with _changing(places):
        running = _running(places)
        if running is not None and _answers(running, places):
            return running
        existed = places.state.exists()
        places.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tell(f"{'Waking' if existed else 'Creating'} cluster {name}")
        try:
            answer = _spawn(places)
        except NotSupported:
            if not existed:
                shutil.rmtree(places.directory, ignore_errors=True)
            raise
        tell(f"Cluster {name} serves on {answer['server']}")
        return ClusterInfo(name, answer["pid"], places.kubeconfig, answer["server"], True, answer["started"])


def down(name: str = "lab", *, home: Path | None = None) -> None:
    """End the cluster and delete everything it has. Raises NoSuchCluster."""
    places = Places(name, home or default_home())
    if not places.directory.exists():
        raise NoSuchCluster(name)
    with _changing(places, then_remove=True):
        if not places.directory.exists():
            raise NoSuchCluster(name)
        _end(places, signal.SIGKILL)  # nothing of it is to be kept
        shutil.rmtree(places.directory)


def stop(name: str = "lab", *, home: Path | None = None) -> None:
    """End the cluster's processes and keep its objects for the next `up`. Raises NoSuchCluster."""
    places = Places(name, home or default_home())
    if not places.directory.exists():
        raise NoSuchCluster(name)
    with _changing(places):
        _end(places, signal.SIGTERM)


def list_clusters(home: Path | None = None) -> list[ClusterInfo]:
    """All clusters of this home, by name."""
    clusters = (home or default_home()) / "clusters"
    if not clusters.is_dir():
        return []
    names = sorted(
        path.name for path in clusters.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    return [status(name, home) for name in names]


def status(name: str = "lab", home: Path | None = None) -> ClusterInfo:
    """What is known of the cluster. Raises NoSuchCluster."""
    places = Places(name, home or default_home())
    if not places.directory.exists():
        raise NoSuchCluster(name)
    return _running(places) or ClusterInfo(
        name, None, places.kubeconfig, str(_info(places).get("server", "")), started=None
    )


@contextlib.contextmanager
def _changing(places: Places, *, then_remove: bool = False) -> Iterator[None]:
    """Only one process at a time starts or ends a cluster."""
    try:
        places.clusters.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise PocketError(
            f"The lab's directory {places.clusters} cannot be made.",
            f"The system says: {problem.strerror}.",
            "Choose another with the environment variable LABKIT_HOME.",
        ) from None
    while True:
        fd = os.open(places.change_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if places.change_lock.stat().st_ino == os.fstat(fd).st_ino:
                break
        os.close(fd)  # whoever had it before has removed the file: ours locks nothing
    try:
        yield
    finally:
        if then_remove:
            places.change_lock.unlink(missing_ok=True)
        os.close(fd)


def _info(places: Places) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(places.info.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _alive(places: Places) -> bool:
    """Whether a daemon holds the cluster (a process id alone could be somebody else's by now)."""
    try:
        fd = os.open(places.life_lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _running(places: Places) -> ClusterInfo | None:
    if not _alive(places):
        return None
    info = _info(places)
    if "pid" not in info:
        return None  # it is about to start: the caller waits for the lock, or asks again
    return ClusterInfo(places.name, info["pid"], places.kubeconfig, info["server"], started=info["started"])


def _answers(running: ClusterInfo, places: Places) -> bool:
    """Whether its API answers; False when the daemon has ended meanwhile (as after a kill).

    Raises PocketError when it lives and says nothing.
    """
    import http.client
    import ssl

    context = ssl.create_default_context(cafile=str(places.pki / "ca.crt"))
    host, _, port = running.server.removeprefix("https://").partition(":")
    connection = http.client.HTTPSConnection(host, int(port), timeout=_ANSWER_SECONDS, context=context)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError as problem:
        if waiting.has_ended(running.pid, _ANSWER_SECONDS):
            return False
        raise PocketError(
            f"The cluster {running.name!r} runs and does not answer.",
            f"Its daemon is process {running.pid}; a request to {running.server} says: {problem}.",
            f"End its processes and start it again, it keeps its objects: kill -9 {running.pid} && labkit up {running.name}",
        ) from None
    finally:
        connection.close()


def _spawn(places: Places) -> dict[str, Any]:
    """Start the daemon and wait for its word."""
    read, write = os.pipe2(os.O_CLOEXEC)
    with places.log.open("ab") as log, contextlib.ExitStack() as stack:
        stack.callback(os.close, read)
        began_at = log.tell()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "labkit.pocket.daemon", str(places.home), places.name, str(write)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, pass_fds=(write,),
                env=_environment(),
            )  # fmt: skip
        finally:
            os.close(write)
        process.wait()  # it has forked itself away by then
        answer = _answer(read)
    if answer.get("ready"):
        return answer
    raise _failure(places, answer, began_at)


def _environment() -> dict[str, str]:
    """The daemon's environment: with this labkit importable, from a checkout as well, and without what is private.

    A container can read the environment that its ancestors were started with (/proc/1/environ), so of the learner's own
    variables only those go along that a Python needs.
    """
    source = str(Path(__file__).resolve().parents[2])
    path = os.environ.get("PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT_VARIABLES)}
    return {**kept, "PYTHONPATH": source + (os.pathsep + path if path else "")}


def _answer(read: int) -> dict[str, Any]:
    """The daemon's one message; {} when it ended, or said nothing for too long."""
    deadline = time.monotonic() + _START_SECONDS
    poll = select.poll()
    poll.register(read, select.POLLIN)
    data = b""
    while not data.endswith(b"\n"):
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return {}
        part = os.read(read, 65536)
        if not part:
            return {}
        data += part
    found: dict[str, Any] = json.loads(data)
    return found


def _failure(places: Places, answer: dict[str, Any], began_at: int) -> PocketError:
    stage = answer.get("error", "")
    if stage in _STAGES_OF_THE_MACHINE:
        from labkit.pocket import preflight

        advice = preflight.explain(stage, answer.get("message", ""))
        return NotSupported(
            f"This machine does not give a pocket cluster what it lives in: {advice.what}.",
            advice.why,
            advice.fix_command or "Run `labkit doctor` for what to do.",
        )
    lines = (
        places.log.read_text(errors="replace")[began_at:].strip().splitlines() if places.log.exists() else []
    )
    last = answer.get("message") or (lines[-1] if lines else "it ended without a word")
    return PocketError(
        f"The cluster {places.name!r} did not start.", f"Its daemon says: {last}", f"Its log: {places.log}"
    )


def _end(places: Places, how: signal.Signals) -> None:
    """End the daemon and wait until the last process of the cluster has gone."""
    info = _info(places)
    watched: list[tuple[int, int]] = []
    if _alive(places) and "pid" in info:
        for pid in (info["pid"], info["init"]):
            with contextlib.suppress(ProcessLookupError, OSError):
                watched.append((pid, os.pidfd_open(pid)))
    if not watched:
        waiting.wait_for_init(info.get("init"), _STOP_SECONDS)
        return
    try:
        # Still alive after the descriptors were opened: so they are the daemon's, and no later process'.
        if not _alive(places):
            return
        signal.pidfd_send_signal(watched[0][1], how)
        if not waiting.gone([fd for _, fd in watched], _STOP_SECONDS):
            for _, fd in watched:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
            if not waiting.gone([fd for _, fd in watched], _STOP_SECONDS):
                raise PocketError(
                    f"The processes of cluster {places.name!r} do not end.",
                    f"Process {info['pid']} ignores SIGKILL for now: the kernel is busy with it.",
                    "Try again in a while.",
                )
    finally:
        for _, fd in watched:
            os.close(fd)
