"""Waiting for other processes to end, without polling."""

from __future__ import annotations

import contextlib
import os
import select
import time
from pathlib import Path

_INIT = "pocket-init\n"  # the zygote's name, as it gives it to itself


def has_ended(pid: int | None, seconds: float) -> bool:
    """Wait shortly for a process that is about to end."""
    if pid is None:
        return True
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return gone([fd], seconds)
    finally:
        os.close(fd)


def wait_for_init(pid: int | None, seconds: float) -> None:
    """After a kill of the daemon the kernel ends the rest by itself; that takes a moment."""
    with contextlib.suppress(OSError, TypeError):
        fd = os.pidfd_open(pid)  # type: ignore[arg-type]
        try:
            if Path(f"/proc/{pid}/comm").read_text() == _INIT:
                gone([fd], seconds)
        finally:
            os.close(fd)


def gone(pidfds: list[int], seconds: float) -> bool:
    """Wait for processes to end."""
    deadline = time.monotonic() + seconds
    poll = select.poll()  # not select(): a notebook's kernel may have more than 1024 descriptors
    for fd in pidfds:
        poll.register(fd, select.POLLIN)
    left = len(pidfds)
    while left:
        ended = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ended:
            return False
        for fd, _ in ended:
            poll.unregister(fd)
        left -= len(ended)
    return True
