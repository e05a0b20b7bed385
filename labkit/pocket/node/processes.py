"""Running processes as the daemon holds them: their streams, their end, signals."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios

_STREAM_LIMIT = 1 << 16


class Process:
    """A running container or exec. Its streams are asyncio's; with a terminal all output is on `stdout`."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid  # as the zygote numbers it
        self._pidfd = pidfd
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._reading: list[asyncio.ReadTransport] = []
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
        for transport in self._reading:
            transport.close()
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None

    def has_exited(self, code: int) -> None:
        """The zygote has told its exit code."""
        os.close(self._pidfd)
        if not self._exit.done():
            self._exit.set_result(code)


class Pipes:
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
        """The process has its ends."""
        for fd in self.theirs:
            os.close(fd)

    def close_ours(self) -> None:
        """There is no process."""
        for fd in self.ours:
            os.close(fd)

    async def connect(self, process: Process, terminal: int | None) -> None:
        """Give the process object our ends, or those of its terminal."""
        if terminal is not None:
            process._terminal = os.dup(terminal)
            process._has_terminal = True
            process.stdout = await _reader(process, terminal)
            if self.want_stdin:
                process.stdin = await _writer(os.dup(terminal))
            return
        ours = list(self.ours)
        if self.want_stdin:
            process.stdin = await _writer(ours.pop(0))
        process.stdout = await _reader(process, ours[0])
        process.stderr = await _reader(process, ours[1])


async def _reader(process: Process, fd: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_STREAM_LIMIT)
    file = os.fdopen(fd, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), file
    )
    process._reading.append(transport)
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
