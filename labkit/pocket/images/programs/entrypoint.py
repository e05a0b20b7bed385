"""The entry points of images that decide what to run: they end by becoming that program."""

from __future__ import annotations

import os

from .console import err


def become(argv: list[str]) -> int:
    """Replace this process by argv, found through PATH, as a shell's `exec` does."""
    try:
        os.execvp(argv[0], argv)
    except OSError as problem:
        err(f"exec: {argv[0]}: {(problem.strerror or '').lower()}")
        return 127 if isinstance(problem, FileNotFoundError) else 126


def curl(argv: list[str]) -> int:
    """curlimages/curl: options or an address are curl's; a command that exists is run."""
    words = argv[1:] or ["curl"]
    if words[0].startswith("-") or not _is_command(words[0]):
        words = ["curl", *words]
    return become(words)


def _is_command(name: str) -> bool:
    if "/" in name:
        return name.startswith("/") and os.access(name, os.X_OK)
    return any(
        os.access(f"{place}/{name}", os.X_OK) for place in os.environ.get("PATH", os.defpath).split(":")
    )
