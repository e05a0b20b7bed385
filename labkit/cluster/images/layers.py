"""Layers: file trees written as tar files, always the same bytes for the same tree.

Entries are sorted by path, belong to root and carry no time, so that a layer's digest is that of its content.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

TAR = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory or symbolic link. `data`: its content; `source`: or the file of this machine that has it."""

    mode: int = 0o644
    data: bytes | None = None
    source: Path | None = None
    link: str = ""
    directory: bool = False

    def content(self) -> bytes:
        """The file's bytes."""
        return self.data if self.data is not None else self.source.read_bytes() if self.source else b""


#: Absolute path in the image → what is there. Parent directories are made as needed.
Tree = Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in a file: `digest` of these bytes, `diff_id` of the tar within (the same unless it is compressed)."""

    file: Path
    digest: str
    diff_id: str
    size: int
    media_type: str = TAR


def write(tree: Tree, file: Path) -> Layer:
    """Write a tree as an uncompressed layer to `file`."""
    with file.open("wb") as raw:
        out = Digesting(raw)
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for path, entry in sorted(_with_parents(tree).items()):
                _add(tar, path.lstrip("/"), entry)
    return Layer(file, out.digest, out.digest, out.size)


def _with_parents(tree: Tree) -> dict[str, Entry]:
    whole = dict(tree)
    for path in tree:
        parent = path.rpartition("/")[0]
        while parent and parent not in whole:
            whole[parent] = Entry(0o755, directory=True)
            parent = parent.rpartition("/")[0]
    return whole


def _add(tar: tarfile.TarFile, name: str, entry: Entry) -> None:
    info = tarfile.TarInfo(name)
    info.mode = entry.mode
    if entry.directory:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        tar.addfile(info)
    elif entry.data is not None:
        info.size = len(entry.data)
        tar.addfile(info, io.BytesIO(entry.data))
    elif entry.source is not None:
        with entry.source.open("rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            tar.addfile(info, file)


def from_folder(folder: Path) -> dict[str, Entry]:
    """A root file system on this machine as a tree. Devices and sockets are left out, and what this user may not read."""
    tree: dict[str, Entry] = {}
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(base, name)
            inside = "/" + path.relative_to(folder).as_posix()
            found = path.lstat()
            mode = stat.S_IMODE(found.st_mode)
            if stat.S_ISLNK(found.st_mode):
                tree[inside] = Entry(link=str(path.readlink()))
            elif stat.S_ISDIR(found.st_mode):
                tree[inside] = Entry(mode, directory=True)
            elif stat.S_ISREG(found.st_mode) and os.access(path, os.R_OK):
                tree[inside] = Entry(mode, source=path)
    return tree


class Digesting(io.RawIOBase):
    """A file to write to that knows the SHA-256 (as "sha256:...") and size of what has gone through it."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._hash, self.size = raw, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._raw.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def sha256(data: bytes) -> str:
    """The digest of some bytes, as registries write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
