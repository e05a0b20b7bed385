"""The daemon's side of the zygote: sandboxes, containers and execs as awaitable calls, processes as objects."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import signal
import socket
from typing import Any

from labkit.pocket.node.processes import Pipes, Process
from labkit.pocket.node.spec import ProcessSpec

log = logging.getLogger(__name__)

_IN_FLIGHT = 32  # requests; so that neither side's socket buffer can fill up while both write


class StartError(Exception):
    """The process could not start; the text is runc's (`exec: "nosuch": executable file not found in $PATH`)."""


class ZygoteGone(Exception):  # noqa: N818
    """The zygote has ended: the cluster is going down."""


class Spawner:
    """Requests to the zygote over its socket. `start` before use; `closed` ends when the zygote has."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[tuple[Process | None, list[int]]]] = {}
        self._processes: dict[int, Process] = {}
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self.closed = asyncio.Event()

    def start(self) -> None:
        """Begin to listen to the zygote on the running loop."""
        asyncio.get_running_loop().add_reader(self._control, self._readable)

    async def sandbox(self, key: str, hostname: str, *, host_network: bool = False) -> int:
        """Make a pod's namespaces; returns a descriptor of its network namespace, for the caller to close."""
        _, fds = await self._ask(
            {"op": "sandbox", "sandbox": key, "hostname": hostname, "host_network": host_network}
        )
        return fds[0]

    async def drop(self, key: str) -> None:
        """Let a pod's namespaces go."""
        await self._ask({"op": "drop", "sandbox": key})

    async def container(
        self, key: str, spec: ProcessSpec, *, stdin: bool = False, beside: Process | None = None
    ) -> Process:
        """Start a container in the sandbox `key`. Returns when its program runs; raises StartError.

        `beside`: the container whose processes it shall see, and with which it ends.
        """
        request: dict[str, Any] = {"op": "container", "sandbox": key}
        if beside is not None:
            request["beside"] = beside.pid
        return await self._start(request, spec, stdin)

    async def exec(self, container: Process, spec: ProcessSpec, *, stdin: bool = False) -> Process:
        """Start another process in a running container. Raises StartError."""
        return await self._start({"op": "exec", "container": container.pid}, spec, stdin)

    async def _start(self, request: dict[str, Any], spec: ProcessSpec, stdin: bool) -> Process:
        report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        pipes = Pipes(spec.tty, stdin)
        memory = spec.to_memory_file()
        try:
            process, _ = await self._ask(request, [memory, *pipes.theirs, theirs.fileno()])
        except BaseException:
            pipes.close_ours()
            report.close()
            raise
        finally:
            os.close(memory)
            theirs.close()
            pipes.close_theirs()
        assert process is not None
        try:
            terminal = await _outcome(report)
        except BaseException:
            pipes.close_ours()
            process.signal(signal.SIGKILL)
            raise
        finally:
            report.close()
        await pipes.connect(process, terminal)
        return process

    async def _ask(
        self, request: dict[str, Any], fds: list[int] | None = None
    ) -> tuple[Process | None, list[int]]:
        async with self._slots:
            if self.closed.is_set():
                raise ZygoteGone("the node is shutting down")
            number = next(self._numbers)
            future = asyncio.get_running_loop().create_future()
            self._waiting[number] = future
            try:
                socket.send_fds(self._control, [json.dumps({"id": number, **request}).encode()], fds or [])
            except OSError as problem:
                self._waiting.pop(number)
                raise ZygoteGone(str(problem)) from None
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                future.add_done_callback(
                    _discard
                )  # the answer brings a process or descriptors that nobody wants now
                raise

    def _readable(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, 65536, 4, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if not data:
            asyncio.get_running_loop().remove_reader(self._control)
            self.closed.set()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ZygoteGone("the zygote has ended"))
            return
        message = json.loads(data)
        if "exit" in message:
            self._processes.pop(message["exit"]).has_exited(message["code"])
            return
        future = self._waiting.pop(message["id"])
        if "error" in message:
            future.set_exception(StartError(message["error"]))
        elif "pid" in message:
            # Known from here on: the message that it has ended may be the next one.
            process = self._processes[message["pid"]] = Process(message["pid"], fds[0])
            future.set_result((process, []))
        else:
            future.set_result((None, list(fds)))


def _discard(future: asyncio.Future[tuple[Process | None, list[int]]]) -> None:
    if future.cancelled() or future.exception() is not None:
        return
    process, fds = future.result()
    for fd in fds:
        os.close(fd)
    if process is not None:
        process.signal(signal.SIGKILL)


async def _outcome(report: socket.socket) -> int | None:
    """Wait for the program to run. Returns the terminal's master, if there is one."""
    loop = asyncio.get_running_loop()
    report.setblocking(False)
    terminal: int | None = None
    while True:
        readable = loop.create_future()
        loop.add_reader(report, _set, readable)
        try:
            await readable
        finally:
            loop.remove_reader(report)
        data, fds, _, _ = socket.recv_fds(report, 65536, 1)
        if not data:
            return terminal
        told = json.loads(data)
        if "failure" in told:
            if terminal is not None:
                os.close(terminal)
            if "trace" in told:
                log.error("a container could not be made:\n%s", told["trace"])
            raise StartError(told["failure"])
        terminal = fds[0]


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
