"""Talking to processes: an exec's own streams, and attachments to a container's. They are `runtime.ExecSession`s."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from labkit.pocket.node.processes import Process, read

_CHUNKS_AT_MOST = 64


class ExecProcess:
    """A process that exec started; it ends with its client."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def write_stdin(self, data: bytes) -> None:
        """Hand bytes to the process and wait until it has room for more."""
        await write(self._process, data)

    def close_stdin(self) -> None:
        """End of input; with a terminal the client sends ^D itself."""
        if self._process.stdin is not None and not self._process.has_terminal:
            self._process.stdin.close()

    async def read_stdout(self) -> bytes:
        """The next output."""
        return await read(self._process.stdout)

    async def read_stderr(self) -> bytes:
        """The next output on standard error."""
        return await read(self._process.stderr)

    def resize(self, columns: int, rows: int) -> None:
        """Set the terminal's size."""
        self._process.resize(columns, rows)

    async def wait(self) -> int:
        """The exit code."""
        return await self._process.wait()

    def kill(self) -> None:
        """The client has gone: end the process and close its streams."""
        self._process.signal(signal.SIGKILL)
        self._process.release()


class EndedProcess:
    """A client that came when all was over: the streams are at their end, and the exit code is known."""

    def __init__(self, code: int, missed: bytes = b"") -> None:
        self._code = code
        self._missed = missed

    async def write_stdin(self, data: bytes) -> None:
        """Nobody reads it."""

    def close_stdin(self) -> None:
        """Nobody reads it."""

    async def read_stdout(self) -> bytes:
        """What it wrote since its log was read, then the end."""
        missed, self._missed = self._missed, b""
        return missed

    async def read_stderr(self) -> bytes:
        """Nothing any more."""
        return b""

    def resize(self, columns: int, rows: int) -> None:
        """There is no terminal any more."""

    async def wait(self) -> int:
        """The exit code."""
        return self._code

    def kill(self) -> None:
        """There is nothing to let go of."""


class Attachment:
    """A client at a container's own streams. The container's log pump feeds it; a slow client slows the container."""

    def __init__(
        self, process: Process, *, stdin: bool, detach: Callable[[Attachment], None], missed: bytes = b""
    ) -> None:
        self._process = process
        self.stdin = stdin
        self._detach = detach
        self._queues: dict[str, asyncio.Queue[bytes]] = {
            name: asyncio.Queue(_CHUNKS_AT_MOST) for name in ("stdout", "stderr")
        }
        self._gone = asyncio.Event()
        self._over: set[str] = set()
        if missed:
            self._queues["stdout"].put_nowait(missed)

    async def feed(self, stream: str, data: bytes) -> None:
        """Output of the container, from its log pump; `b""` at the end of the stream."""
        if self._gone.is_set():
            return
        put = asyncio.ensure_future(self._queues[stream].put(data))
        gone = asyncio.ensure_future(self._gone.wait())
        await asyncio.wait((put, gone), return_when=asyncio.FIRST_COMPLETED)
        put.cancel()
        gone.cancel()

    async def write_stdin(self, data: bytes) -> None:
        """Hand bytes to the container, if it was made with stdin."""
        if self.stdin:
            await write(self._process, data)

    def close_stdin(self) -> None:
        """End of input, for a container without a terminal."""
        if self.stdin and self._process.stdin is not None and not self._process.has_terminal:
            self._process.stdin.close()

    async def read_stdout(self) -> bytes:
        """The next output."""
        return await self._read("stdout")

    async def read_stderr(self) -> bytes:
        """The next output on standard error; nothing with a terminal."""
        return b"" if self._process.has_terminal else await self._read("stderr")

    async def _read(self, stream: str) -> bytes:
        if stream in self._over or (self._gone.is_set() and self._queues[stream].empty()):
            return b""
        data = await self._queues[stream].get()
        if not data:
            self._over.add(stream)
        return data

    def resize(self, columns: int, rows: int) -> None:
        """Set the terminal's size."""
        self._process.resize(columns, rows)

    async def wait(self) -> int:
        """The container's exit code."""
        return await self._process.wait()

    def kill(self) -> None:
        """The client has gone; the container goes on."""
        if self._gone.is_set():
            return
        self._gone.set()
        self._detach(self)
        for queue in self._queues.values():
            if queue.empty():
                queue.put_nowait(b"")


async def write(process: Process, data: bytes) -> None:
    """Bytes to a process' standard input; dropped when it has none or has ended."""
    if process.stdin is None or process.stdin.is_closing():
        return
    try:
        process.stdin.write(data)
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError, OSError):
        pass  # it has closed its input or ended
