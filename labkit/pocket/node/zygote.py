"""The zygote: pid 1 of the cluster's PID namespace; makes pod sandboxes and forks every container on request.

It is forked before the daemon grows, imports the stand-ins and then only waits: single-threaded, so that forking is safe, and
small, so that a container costs little. Requests come on a SEQPACKET socket as JSON with
file descriptors; answers carry the request's number; `{"exit": pid, "code": n}` comes on its own. A request is never
waited for: what takes time happens in the forked process. When the daemon goes, the zygote ends, and the kernel ends
every process of the cluster with it.

A sandbox needs no pause process: its network, UTS and IPC namespaces live as long as the zygote holds them open.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from labkit.pocket.node import linux, process
from labkit.pocket.node.machine import Machine
from labkit.pocket.node.spec import ProcessSpec

_OF_A_POD = (("net", linux.CLONE_NEWNET), ("uts", linux.CLONE_NEWUTS), ("ipc", linux.CLONE_NEWIPC))
_FDS_AT_MOST = 8
_SANDBOX_SYSCTLS = {
    # As containerd sets them: ping without privileges. (The group range of a user namespace with one id.)
    "net/ipv4/ping_group_range": "0 0",
}


@dataclass(frozen=True)
class Sandbox:
    """A pod's namespaces, by open file descriptors."""

    net: int
    uts: int
    ipc: int

    def fds(self) -> tuple[int, ...]:
        return (self.net, self.uts, self.ipc)


def fork_daemon(run: str, log: int) -> socket.socket:
    """Fork the daemon proper from the zygote to be; returns in the daemon, with its end of the socket.

    Call single-threaded, as the first process of a new PID namespace: this process stays, as the zygote, and does not
    return. That the daemon is its child matters: the namespace can end only when the daemon has been collected, and not
    every machine has an init that does so. `run`: an empty directory on a tmpfs for the zygote's mounts; `log`: a
    descriptor for its complaints.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    daemon = os.fork()
    if daemon == 0:
        theirs.close()
        return ours
    try:
        ours.close()
        control = theirs.detach()
        os.dup2(os.open("/dev/null", os.O_RDWR), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for fd in sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir()):
            if fd > 2 and fd != control:
                try:
                    os.close(fd)
                except OSError:
                    pass  # the one that listed the directory
        Zygote(socket.socket(fileno=control), run, daemon).serve()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


class Zygote:
    """The process' state: sandboxes by key, and which of its children are worth telling about."""

    def __init__(self, control: socket.socket, run: str, daemon: int) -> None:
        self.control = control
        self.daemon = daemon
        self.root = f"{run}/root"
        self.machine = Machine(f"{run}/machine")
        self.sandboxes: dict[str, Sandbox] = {}
        self.children: dict[int, int] = {}  # pid -> pidfd
        self.host = Sandbox(*(self._open(name) for name, _ in _OF_A_POD))
        self.pid_namespace = self._open("pid_for_children")

    @staticmethod
    def _open(name: str) -> int:
        # /proc may be the machine's own, in which "self" is this process by the machine's numbers: right either way.
        return os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)

    def serve(self) -> NoReturn:
        """Answer requests until the daemon goes away."""
        linux.set_name("pocket-init")
        os.umask(0o022)  # the daemon's own files are private; a container's are as everywhere
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        Path(self.root).mkdir()
        self.machine.prepare()
        _preload()
        gc.collect()
        gc.freeze()  # what is here now stays shared with the children
        gc.disable()
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == wake_read:
                    os.read(wake_read, 4096)
                    self._reap()
                elif not self._answer():
                    os._exit(0)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.daemon:
                os._exit(0)
            pidfd = self.children.pop(pid, None)
            if pidfd is not None:
                os.close(pidfd)
                code = os.waitstatus_to_exitcode(status)
                self._send({"exit": pid, "code": code if code >= 0 else 128 - code})

    def _send(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        try:
            socket.send_fds(self.control, [json.dumps(message).encode()], fds or [])
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)

    def _answer(self) -> bool:
        """Serve one request; False at the end of the daemon."""
        data, fds, _, _ = socket.recv_fds(self.control, 65536, _FDS_AT_MOST)
        if not data:
            return False
        request: dict[str, Any] = json.loads(data)
        try:
            answer, sent = self._operations[request["op"]](self, request, fds)
        except Exception as problem:
            answer, sent = {"error": f"{request['op']}: {type(problem).__name__}: {problem}"}, []
        for fd in fds:
            try:
                os.close(fd)
            except OSError:
                pass  # read and closed with its contents
        self._send({"id": request["id"], **answer}, sent)
        return True

    # The operations. Each takes the request and the descriptors that came with it.

    def _sandbox(self, request: dict[str, Any], _fds: list[int]) -> tuple[dict[str, Any], list[int]]:
        """New namespaces for a pod (with `hostNetwork` only UTS and IPC are); answers with the network's."""
        shared = request.get("host_network", False)
        flags = sum(flag for name, flag in _OF_A_POD if not (shared and name == "net"))
        linux.unshare(flags)
        try:
            if not shared:
                _loopback_up()
                for name, value in _SANDBOX_SYSCTLS.items():
                    _sysctl(name, value)
            linux.sethostname(request["hostname"][:63])
            sandbox = Sandbox(*(self._open(name) for name, _ in _OF_A_POD))
        finally:
            self._enter(self.host)
        self.sandboxes[request["sandbox"]] = sandbox
        return {}, [sandbox.net]

    def _enter(self, sandbox: Sandbox) -> None:
        for fd, (_, flag) in zip(sandbox.fds(), _OF_A_POD, strict=True):
            linux.setns(fd, flag)

    def _drop(self, request: dict[str, Any], _fds: list[int]) -> tuple[dict[str, Any], list[int]]:
        """Let go of a pod's namespaces; they end with their last process."""
        sandbox = self.sandboxes.pop(request["sandbox"], None)
        for fd in sandbox.fds() if sandbox else ():
            os.close(fd)
        return {}, []

    def _container(self, request: dict[str, Any], fds: list[int]) -> tuple[dict[str, Any], list[int]]:
        """Start a container: the spec, stdin, stdout, stderr, report (without the middle three with a terminal)."""
        sandbox = self.sandboxes[request["sandbox"]]
        if "beside" in request:  # an ephemeral container that shall see another one's processes
            linux.setns(self.children[request["beside"]], linux.CLONE_NEWPID)
        else:
            linux.unshare(linux.CLONE_NEWPID)  # the next child is the first process of a new PID namespace
        try:
            return self._fork(lambda: self._begin_container(sandbox, fds))
        finally:
            linux.setns(self.pid_namespace, linux.CLONE_NEWPID)

    def _begin_container(self, sandbox: Sandbox, fds: list[int]) -> None:
        self._enter(sandbox)
        process.first(fds[0], _channels(fds), self.machine, self.root)

    def _exec(self, request: dict[str, Any], fds: list[int]) -> tuple[dict[str, Any], list[int]]:
        """Start a process in the running container whose first process has this pid; descriptors as above."""
        container = self.children[request["container"]]
        linux.setns(container, linux.CLONE_NEWPID)
        try:
            return self._fork(lambda: self._begin_exec(container, fds))
        finally:
            linux.setns(self.pid_namespace, linux.CLONE_NEWPID)

    def _begin_exec(self, container: int, fds: list[int]) -> None:
        spec = ProcessSpec.from_memory_file(fds[0])  # before /dev and the rest of the machine are gone
        linux.setns(
            container, linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC
        )
        process.later(spec, _channels(fds))

    def _fork(self, begin: Callable[[], None]) -> tuple[dict[str, Any], list[int]]:
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                begin()
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(127)
        pidfd = os.pidfd_open(pid)
        self.children[pid] = pidfd
        return {"pid": pid}, [pidfd]

    _operations = {"sandbox": _sandbox, "drop": _drop, "container": _container, "exec": _exec}  # noqa: RUF012


def _channels(fds: list[int]) -> process.Channels:
    if len(fds) == 2:
        return process.Channels(-1, -1, -1, fds[1])
    return process.Channels(*fds[1:5])


def _preload() -> None:
    """Import every stand-in once, for all containers."""
    try:
        from labkit.pocket import images

        images.preload()
    except Exception:
        # A stand-in that cannot be imported must not cost the cluster; its container will say why.
        import traceback

        traceback.print_exc(file=sys.stderr)


def _loopback_up() -> None:
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # struct ifreq: the name, then the flags IFF_UP | IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))


def _sysctl(name: str, value: str) -> None:
    try:
        Path("/proc/sys", name).write_text(value)
    except OSError:
        pass  # /proc/sys is read-only within some containers; ping then needs its capability, which it has
