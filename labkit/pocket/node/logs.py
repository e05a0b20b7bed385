"""Container logs: written in the format of the container runtime interface, read back in parts, followed.

One file per start of a container, `<folder>/<number>.log`, lines of `TIME STREAM F|P text`; two are kept, for
`kubectl logs --previous`. Readers are woken by the writer: nothing polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from labkit.pocket.runtime import LogOptions

_LINE_AT_MOST = 16 * 1024  # longer lines are cut into partial ones (P), as containerd does
_FILE_AT_MOST = 10 * 1024 * 1024  # kubelet's containerLogMaxSize
_CHUNK = 64 * 1024


def _stamp() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"


class LogFile:
    """The log of one start of a container, while it runs."""

    def __init__(self, folder: Path, number: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.log*"):
            if int(old.name.split(".")[0]) < number - 1:
                old.unlink()
        self.path = folder / f"{number}.log"
        self._file: BinaryIO = self.path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._rest: dict[str, bytes] = {"stdout": b"", "stderr": b""}
        self._changed = asyncio.Event()
        self.closed = False

    def write(self, stream: str, data: bytes) -> None:
        """Add what the container wrote to `stdout` or `stderr`."""
        stamp = _stamp()
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        out = []
        for line in lines:
            while len(line) > _LINE_AT_MOST:
                out.append(f"{stamp} {stream} P ".encode() + line[:_LINE_AT_MOST] + b"\n")
                line = line[_LINE_AT_MOST:]
            out.append(f"{stamp} {stream} F ".encode() + line + b"\n")
        while len(rest) > _LINE_AT_MOST:
            out.append(f"{stamp} {stream} P ".encode() + rest[:_LINE_AT_MOST] + b"\n")
            rest = rest[_LINE_AT_MOST:]
        self._rest[stream] = rest
        self._put(b"".join(out))

    def unfinished(self) -> bytes:
        """What was written after the last end of a line, such as a prompt: readers of the log do not see it yet."""
        return b"" if self.closed else b"".join(self._rest.values())

    def close(self) -> None:
        """The container has ended. A last line without an end is kept as a partial one."""
        if self.closed:
            return
        for stream, rest in self._rest.items():
            if rest:
                self._put(f"{_stamp()} {stream} P ".encode() + rest + b"\n")
        self.closed = True
        self._file.close()
        self._changed.set()

    def _put(self, data: bytes) -> None:
        if not data or self.closed:
            return
        if self._size > _FILE_AT_MOST:
            self._file.close()
            self.path.replace(self.path.with_suffix(".log.old"))
            self._file = self.path.open("ab", buffering=0)
            self._size = 0
        self._file.write(data)
        self._size += len(data)
        self._changed.set()

    async def changed(self) -> None:
        """Wait for more to read, or for the end."""
        self._changed.clear()
        if not self.closed:
            await self._changed.wait()


def _entries(data: bytes) -> Iterator[tuple[str, bool, bytes]]:
    """(time, whether the line ends here, text) of complete lines in the format."""
    for line in data.split(b"\n"):
        stamp, _, rest = line.partition(b" ")
        _, _, rest = rest.partition(b" ")
        tag, _, text = rest.partition(b" ")
        if tag:
            yield stamp.decode(), tag == b"F", text


def _moment(since: datetime | None) -> str:
    """As text that sorts with the stamps in the file."""
    if since is None:
        return ""
    return since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


class _Shaper:
    """Turns entries of the file into what the client asked for."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._since = _moment(options.since)
        self._left = options.limit_bytes
        self._at_line_start = True
        self.full = False

    def shape(self, entries: Iterator[tuple[str, bool, bytes]]) -> bytes:
        out = bytearray()
        for stamp, ends, text in entries:
            if stamp < self._since:
                continue
            if self._options.timestamps and self._at_line_start:
                out += stamp.encode() + b" "
            out += text + (b"\n" if ends else b"")
            self._at_line_start = ends
        if self._left is not None:
            del out[self._left :]
            self._left -= len(out)
            self.full = self._left <= 0
        return bytes(out)


def _tail(path: Path, lines: int) -> int:
    """Where the last `lines` lines begin (partial entries count with the line they belong to)."""
    starts: deque[int] = deque(maxlen=lines + 1)
    position = 0
    at_start = True
    with path.open("rb") as file:
        for line in file:
            if at_start:
                starts.append(position)
            position += len(line)
            at_start = line.split(b" ", 3)[2:3] == [b"F"]
    if lines == 0:
        return position
    return starts[-lines] if len(starts) >= lines else 0


async def read(path: Path, writer: LogFile | None, options: LogOptions) -> AsyncIterator[bytes]:
    """The log at `path` in chunks; with `follow` and its `writer` until that is closed."""
    shaper = _Shaper(options)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        if options.tail_lines is not None:
            file.seek(_tail(path, options.tail_lines))
        rest = b""
        while not shaper.full:
            last = writer is None or writer.closed
            data = file.read(_CHUNK)
            if not data:
                if not options.follow or last or writer is None:
                    return
                if _replaced(path, file):
                    file = stack.enter_context(
                        path.open("rb")
                    )  # a new file after the old one had become long
                    continue
                await writer.changed()
                continue
            complete, newline, rest_after = (rest + data).rpartition(b"\n")
            rest = rest_after if newline else rest + data
            if newline:
                chunk = shaper.shape(_entries(complete))
                if chunk:
                    yield chunk


async def read_now(path: Path, options: LogOptions) -> bytes:
    """What the log holds at this moment."""
    return b"".join([chunk async for chunk in read(path, None, options)])


def _replaced(path: Path, file: BinaryIO) -> bool:
    """Whether another file has this name by now."""
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
