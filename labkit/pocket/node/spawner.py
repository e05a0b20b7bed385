"""The daemon's side of the zygote: sandboxes, containers and execs as awaitable calls, processes as objects."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import json
import logging
import os
import signal
import socket
import struct
import termios
from typing import Any

from labkit.pocket.node.spec import ProcessSpec

log = logging.getLogger(__name__)

_STREAM_LIMIT = 1 << 16
_IN_FLIGHT = 32  # requests; so that neither side's socket buffer can fill up while both write


class StartError(Exception):
    """The process could not start; the text is runc's (`exec: "nosuch": executable file not found in $PATH`)."""


class ZygoteGone(Exception):  # noqa: N818
    """The zygote has ended: the cluster is going down."""


class Process:
    """A running container or exec. Its streams are asyncio's; with a terminal all output is on `stdout`."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid  # as the zygote numbers it
        self._pidfd = pidfd
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._terminal: int | None = None
        self._has_terminal = False

    @property
    def ended(self) -> bool:
        return self._exit.done()

    @property
    def has_terminal(self) -> bool:
        """Whether it was started with a terminal."""
        return self._has_terminal

    async def wait(self) -> int:
        """The exit code, 128 + N when signal N ended it."""
        return await asyncio.shield(self._exit)

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def resize(self, columns: int, rows: int) -> None:
        """Set the terminal's size, if it has one."""
        if self._terminal is not None:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def release(self) -> None:
        """Close our ends of its streams. What it started and left behind gets SIGPIPE or a hang-up."""
        if self.stdin is not None:
            self.stdin.close()
        for reader in (self.stdout, self.stderr):
            transport = getattr(reader, "_transport", None)  # StreamReader has no public close
            if transport is not None:
                transport.close()
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None

    def _has_exited(self, code: int) -> None:
        os.close(self._pidfd)
        if not self._exit.done():
            self._exit.set_result(code)


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

    async def container(self, key: str, spec: ProcessSpec, *, stdin: bool = False) -> Process:
        """Start a container in the sandbox `key`. Returns when its program runs; raises StartError."""
        return await self._start({"op": "container", "sandbox": key}, spec, stdin)

    async def exec(self, container: Process, spec: ProcessSpec, *, stdin: bool = False) -> Process:
        """Start another process in a running container. Raises StartError."""
        return await self._start({"op": "exec", "container": container.pid}, spec, stdin)

    async def _start(self, request: dict[str, Any], spec: ProcessSpec, stdin: bool) -> Process:
        report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        pipes = _Pipes(spec.tty, stdin)
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
            self._processes.pop(message["exit"])._has_exited(message["code"])
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


class _Pipes:
    """The pipes to a process without a terminal; nothing with one (the process makes it)."""

    def __init__(self, tty: bool, stdin: bool) -> None:
        self.tty = tty
        self.want_stdin = stdin
        self.theirs: list[int] = []
        self.ours: list[int] = []
        if tty:
            return
        if stdin:
            read, write = os.pipe2(os.O_CLOEXEC)
            self.theirs.append(read)
            self.ours.append(write)
        else:
            self.theirs.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        for _ in ("stdout", "stderr"):
            read, write = os.pipe2(os.O_CLOEXEC)
            self.theirs.append(write)
            self.ours.append(read)

    def close_theirs(self) -> None:
        for fd in self.theirs:
            os.close(fd)

    def close_ours(self) -> None:
        for fd in self.ours:
            os.close(fd)

    async def connect(self, process: Process, terminal: int | None) -> None:
        if terminal is not None:
            process._terminal = os.dup(terminal)
            process._has_terminal = True
            process.stdout = await _reader(terminal)
            if self.want_stdin:
                process.stdin = await _writer(os.dup(terminal))
            return
        ours = list(self.ours)
        if self.want_stdin:
            process.stdin = await _writer(ours.pop(0))
        process.stdout = await _reader(ours[0])
        process.stderr = await _reader(ours[1])


async def _reader(fd: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_STREAM_LIMIT)
    file = os.fdopen(fd, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    return reader


async def _writer(fd: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    file = os.fdopen(fd, "wb", buffering=0)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, file)
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def read(reader: asyncio.StreamReader | None) -> bytes:
    """The next bytes of a process' stream; `b""` at its end. A terminal ends with EIO, which is an end as well."""
    if reader is None:
        return b""
    try:
        return await reader.read(_STREAM_LIMIT)
    except OSError:
        return b""
