"""Sizes and downloads in words."""

from __future__ import annotations

import time
from collections.abc import Callable


def in_words(size: float) -> str:
    """Bytes for people: 512 B, 10 kB, 9.8 MB, 1.2 GB (powers of ten)."""
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.5 or unit == "GB":
            return f"{size:.1f} {unit}" if size < 100 and unit != "kB" else f"{size:.0f} {unit}"
    raise AssertionError("not reached")


def as_lines(
    what: str, tell: Callable[[str], None], *, every: float = 2.0
) -> Callable[[int, int | None], None]:
    """A listener to bytes that tells a line now and then: every so many seconds, and nothing of what is done at once."""
    last = time.monotonic()

    def heard(done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < every:
            return
        last = now
        of = f" of {in_words(total)} ({100 * done // total} %)" if total else ""
        tell(f"{what}: {in_words(done)}{of}")

    return heard
