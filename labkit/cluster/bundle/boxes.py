"""Boxes as files: their list of contents, and their parts out of the tar, each checked on the way."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .contents import NAME, Contents, Part, from_json
from .errors import BoxError, DamagedBox

_CHUNK = 1 << 20
_LIST_LIMIT = 64 << 20  # bytes; a list of contents is a few hundred kB


class Box:
    """An opened box. Members are found by their place in the tar; names in it decide nothing about where files are written."""

    def __init__(
        self, file: Path, stream: IO[bytes], contents: Contents, offsets: dict[str, tuple[int, int]]
    ) -> None:
        self.file = file
        self.contents = contents
        self._stream = stream
        self._offsets = offsets

    def copy(self, part: Part, target: IO[bytes]) -> None:
        """Write a part's bytes, checking them. Raises DamagedBox naming the part; then what was written is worth nothing."""
        where = f"{self.file}: the part {part.path} ({part.title})"
        if part.path not in self._offsets:
            raise DamagedBox(f"{where} is missing. The box was not copied whole; copy it again.")
        start, size = self._offsets[part.path]
        if size != part.size:
            raise DamagedBox(f"{where} has {size} bytes instead of {part.size}. Get the box anew.")
        self._stream.seek(start)
        digest = hashlib.sha256()
        left = part.size
        while left:
            chunk = self._stream.read(min(_CHUNK, left))
            if not chunk:
                raise DamagedBox(f"{where} ends too early: the box was not copied whole; copy it again.")
            digest.update(chunk)
            target.write(chunk)
            left -= len(chunk)
        if digest.hexdigest() != part.sha256:
            raise DamagedBox(
                f"{where} is damaged: its checksum is another than the box's list says. Get the box anew."
            )


@contextmanager
def opened(file: Path) -> Iterator[Box]:
    """A box for reading. Raises BoxError for what is none, DamagedBox where even its list of contents cannot be read."""
    try:
        stream = file.open("rb")
    except OSError as problem:
        raise BoxError(f"{file} cannot be read: {problem.strerror}") from None
    with stream:
        contents, offsets = _index(file, stream)
        yield Box(file, stream, contents, offsets)


def listed(file: Path) -> Contents:
    """A box's list of contents alone: the first file of the tar. Raises BoxError."""
    with opened(file) as box:
        return box.contents


def _index(file: Path, stream: IO[bytes]) -> tuple[Contents, dict[str, tuple[int, int]]]:
    """The list of contents, and where each part lies. The headers of a box that is cut short are read as far as they go."""
    offsets: dict[str, tuple[int, int]] = {}
    contents: Contents | None = None
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                if contents is None:
                    inner = tar.extractfile(member) if member.name == NAME else None
                    if inner is None or member.size > _LIST_LIMIT:
                        raise BoxError(f"{file} is not a box: it does not begin with {NAME}.")
                    contents = from_json(inner.read(), str(file))
                offsets[member.name] = (member.offset_data, member.size)
    except tarfile.TarError as problem:
        if contents is None:
            raise BoxError(f"{file} is not a box, or is damaged at its beginning: {problem}") from None
    if contents is None:
        raise BoxError(f"{file} is not a box: it is empty.")
    return contents, offsets
