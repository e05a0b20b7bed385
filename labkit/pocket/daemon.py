"""The daemon of one cluster: everything of a pocket cluster hangs on this process and ends with it.

`python -m labkit.pocket.daemon HOME NAME READY_FD`, started by `labkit.pocket.lifecycle`. In this order: hold the
cluster's lock, bind the API's socket on the machine's loopback, enter new namespaces, fork the zygote while still
small, and only then import and start the rest. READY_FD gets one JSON object: how it went.
"""

from __future__ import annotations

import fcntl
import gc
import json
import logging
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from labkit.pocket.errors import StartFailed
from labkit.pocket.node import linux
from labkit.pocket.places import Places

log = logging.getLogger("labkit.pocket.daemon")

NAMESPACES = (
    linux.CLONE_NEWUSER
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWNS
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWIPC
)


def main() -> None:
    """Run the daemon until SIGTERM."""
    home, name, ready = sys.argv[1:]
    places = Places(name, Path(home))
    report = int(ready)
    logging.basicConfig(
        level=os.environ.get("LABKIT_LOG", "INFO"), stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )  # fmt: skip
    try:
        _run(places, report)
    except StartFailed as problem:
        log.error("%s: %s", problem.stage, problem)
        _tell(report, {"error": problem.stage, "message": str(problem)})
        sys.exit(1)
    except Exception as problem:
        log.exception("the cluster %s did not start, or ended by a mistake of ours", name)
        _tell(report, {"error": "daemon", "message": f"{type(problem).__name__}: {problem}"})
        sys.exit(1)


def _run(places: Places, report: int) -> None:
    began = time.monotonic()
    os.umask(0o077)
    _hold(places)
    listening, port = _listen(places)
    enter_namespaces()
    run = places.run
    run.mkdir(exist_ok=True)
    linux.mount("tmpfs", str(run), "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=0755")
    resolv = _text("/etc/resolv.conf")
    for name in ("zygote", "pods"):
        (run / name).mkdir()

    from labkit.pocket.node import zygote

    # The daemon proper is inside the PID namespace too: a process that has given its children a new PID namespace may
    # make no threads. And whoever started us is not to be our parent: nobody there would collect us.
    if os.fork():
        os._exit(0)
    init = machine_pid()
    control = zygote.fork_daemon(str(run / "zygote"), 2)
    log.debug("namespaces and zygote after %.0f ms", (time.monotonic() - began) * 1000)

    import asyncio

    from labkit.pocket.cluster import PocketCluster

    cluster = PocketCluster(places, listening, control, machine_resolv_conf=resolv)

    def ready() -> None:
        seconds = time.monotonic() - began
        info = {
            "pid": machine_pid(),
            "init": init,
            "port": port,
            "server": f"https://127.0.0.1:{port}",
            "started": int(time.time()),
        }
        _write_info(places, info)
        _tell(report, {"ready": True, **info})
        log.info("cluster %s serves on 127.0.0.1:%d, %.2f s after the start", places.name, port, seconds)
        gc.collect()
        gc.freeze()

    code = asyncio.run(cluster.run(ready))
    # The lock is held to the last moment. When this process has gone, the zygote sees it, ends, and with it, as it is
    # the first process of the PID namespace, every other one.
    log.info("cluster %s ends", places.name)
    sys.exit(code)


def _hold(places: Places) -> None:
    """Be the only daemon of this cluster, for as long as this process lives (the descriptor stays open)."""
    fd = os.open(places.life_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StartFailed("running", "another daemon of this cluster is alive") from None


def _listen(places: Places) -> tuple[socket.socket, int]:
    """The API's socket on the machine's loopback: on the same port as last time, so that kubeconfigs stay right."""
    remembered = 0
    try:
        remembered = int(json.loads(places.info.read_text())["port"])
    except (OSError, ValueError, KeyError):
        pass  # the first start
    for port in dict.fromkeys((remembered, 0)):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as problem:
            listening.close()
            log.warning("port %d is taken by somebody else now: %s", port, problem)
            continue
        listening.listen(128)
        return listening, int(listening.getsockname()[1])
    raise StartFailed("port", "no port on 127.0.0.1 could be bound")


def enter_namespaces() -> None:
    """Leave the machine: new user, network, mount, UTS, IPC namespaces, and a PID namespace for the children.

    Raises StartFailed with the stage that the machine refused. Call single-threaded.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        linux.unshare(NAMESPACES)
    except OSError as problem:
        raise StartFailed("unshare", str(problem)) from None
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as problem:
        raise StartFailed("id-map", str(problem)) from None
    try:
        linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
        linux.sethostname("pocket")
    except OSError as problem:
        # Ubuntu's AppArmor lets anybody make a user namespace, and takes every capability away in it.
        raise StartFailed("capabilities", str(problem)) from None


def machine_pid() -> int:
    """This process' number as the machine counts: /proc here is still the machine's."""
    return int(Path("/proc/self").readlink().name)


def _write_info(places: Places, info: dict[str, Any]) -> None:
    fresh = places.info.with_suffix(".new")
    fresh.write_text(json.dumps(info) + "\n")
    fresh.replace(places.info)


def _tell(report: int, message: dict[str, Any]) -> None:
    try:
        os.write(report, json.dumps(message).encode() + b"\n")
        os.close(report)
    except OSError:
        pass  # whoever asked has gone; the log has it as well


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
