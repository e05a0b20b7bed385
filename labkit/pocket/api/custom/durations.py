"""Durations as Go writes and reads them: `2160h`, `1h30m`, `1h0m0s`."""

from __future__ import annotations

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds(text: str) -> float | None:
    """The length of a duration (time.ParseDuration), or None when it is none."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    total, at = 0.0, 0
    while at < len(rest):
        match = _PART.match(rest, at)
        if match is None:
            return None
        total += float(match[1]) * _UNITS[match[2]]
        at = match.end()
    return sign * total if rest else None


def text(length: float) -> str:
    """A length in seconds as Go prints it (time.Duration.String), to the second."""
    whole = int(length)
    sign, whole = ("-", -whole) if whole < 0 else ("", whole)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{sign}{hours}h{minutes}m{left}s"
    return f"{sign}{minutes}m{left}s" if minutes else f"{sign}{left}s"
