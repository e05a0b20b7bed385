"""Which version a program is, by its own word, and whether that is new enough."""

from __future__ import annotations

import re
import subprocess
from functools import lru_cache
from pathlib import Path

_SECONDS = 20  # the first start of a big program from a cold disk takes a few


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers to compare: "edge-26.6.3" and "v26.6.3" are (26, 6, 3)."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def is_at_least(version: str, minimum: str) -> bool:
    """Whether a version is as new as the minimum, or newer."""
    return numbers(version) >= numbers(minimum)


def version_of(program: Path, asks: tuple[str, ...], says: str) -> str:
    """The version that a program says it has; "" when it cannot be run or says something else."""
    try:
        state = program.stat()
    except OSError:
        return ""
    return _asked(program, asks, says, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _asked(program: Path, asks: tuple[str, ...], says: str, _changed: int, _size: int) -> str:
    try:
        done = subprocess.run(
            [str(program), *asks],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(says, done.stdout + "\n" + done.stderr)
    return found.group(1) if found else ""
