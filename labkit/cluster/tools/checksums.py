"""SHA-256 of files, and what publishers' checksum files say."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_HEX = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in small hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def published_for(name: str, text: str) -> str:
    """The checksum of the file `name` in a publisher's checksum file; "" when it has none.

    Takes `sha256sum`'s lines (`HEX  NAME`, `HEX *NAME`), BSD's (`SHA256 (NAME) = HEX`), and a checksum alone.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        found = _HEX.search(line)
        if found and name in re.split(r"[\s*()=/]+", line[: found.start()] + " " + line[found.end() :]):
            return found.group().lower()
    if len(lines) == 1 and _HEX.fullmatch(lines[0]):
        return lines[0].lower()
    return ""
