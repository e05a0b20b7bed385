"""What the programs write with: fd 1 and 2 without a buffer of Python's, so that a line is in the log when it is written.

A program runs in a process that the node forked, after fd 0, 1 and 2 were replaced: `sys.stdout` may still be the
parent's idea of a file, the descriptors are not.
"""

from __future__ import annotations

import os
import sys
import time


def out(text: str | bytes = "", end: str = "\n") -> None:
    """Write text (and a line's end) or bytes (as they are) to standard output."""
    _write(1, text if isinstance(text, bytes) else (text + end).encode("utf-8", "surrogateescape"))


def err(text: str | bytes = "", end: str = "\n") -> None:
    """Write to standard error."""
    _write(2, text if isinstance(text, bytes) else (text + end).encode("utf-8", "surrogateescape"))


def log(message: str) -> None:
    """One line on standard error as agnhost 2.56 writes it: klog's head, then the message."""
    now = time.time()
    stamp = time.strftime("%m%d %H:%M:%S", time.localtime(now))
    err(f"I{stamp}.{int(now % 1 * 1e6):06d} {os.getpid():7d} log.go:244] {message}")


def reason(problem: OSError) -> str:
    """What the kernel said, in strerror's words (asyncio puts its own into a failed connect)."""
    return os.strerror(problem.errno) if problem.errno else str(problem)


def read_input() -> bytes:
    """All of standard input."""
    chunks = []
    while chunk := os.read(0, 65536):
        chunks.append(chunk)
    return b"".join(chunks)


def read_line() -> bytes:
    """Standard input up to the end of its first line: a task can be read although the input never ends."""
    line = b""
    while not line.endswith(b"\n") and (chunk := os.read(0, 65536)):
        line += chunk
    return line


def flush() -> None:
    """Empty Python's own buffers (a library may have printed), so that nothing is lost when the process ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # closed, a broken pipe, or none at all


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
