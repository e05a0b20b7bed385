"""A published file in the cache: there already, put there by hand, or downloaded; always checked before it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import download
from .cache import Cache, Record, writing
from .checksums import published_for, sha256_of
from .errors import CannotDownload, ToolError, WrongChecksum
from .sizes import as_lines, in_words
from .table import RemoteFile

Tell = Callable[[str], None]


def _silent(_line: str) -> None:
    """Nobody listens."""


def kept(remote: RemoteFile, cache: Cache) -> Path | None:
    """The file in the cache, where it is there and good; asks nobody. One whose pinned checksum has changed since is not good."""
    path = cache.file(remote)
    known = cache.record(path)
    if known is None or (remote.sha256 and remote.sha256 != known.sha256):
        return None
    return path


def fetch(remote: RemoteFile, cache: Cache | None = None, *, progress: Tell | None = None) -> Path:
    """The file, from the cache or else downloaded and checked. Nothing is downloaded twice, also not by two at once.

    Raises CannotDownload (saying how to go on without internet), WrongChecksum, CannotKeep.
    """
    cache = cache or Cache.default()
    tell = progress or _silent
    if found := kept(remote, cache):
        return found
    label = f"{remote.component} {remote.version}"
    with cache.lock(
        f"{remote.component}-{remote.name}", lambda: tell(f"{label}: another program fetches it; waiting")
    ):
        if found := kept(remote, cache):
            return found
        path = cache.file(remote)
        with writing(cache.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            cache.part(remote).parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return _by_hand(remote, path, cache)
        return _downloaded(remote, path, cache, tell)


def _downloaded(remote: RemoteFile, path: Path, cache: Cache, tell: Tell) -> Path:
    label = f"{remote.component} {remote.version}"
    part = cache.part(remote)
    tell(f"{label}: downloading {remote.address}")
    try:
        expected = remote.sha256 or _published(remote)
        sha256 = _into(part, remote, expected, tell)
    except CannotDownload as problem:
        raise CannotDownload(f"{problem}\n{_without_internet(remote, path)}") from None
    size = part.stat().st_size
    with writing(cache.root):
        part.replace(path)
        cache.accept(path, Record(remote.address, sha256, size, remote.checked_by))
    tell(f"{label}: {in_words(size)}, checksum {remote.checked_by}")
    return path


def _into(part: Path, remote: RemoteFile, expected: str, tell: Tell) -> str:
    """Download and give the checksum, which is the expected one where one is. Raises WrongChecksum.

    What was pieced together and is wrong is fetched once more as a whole: the file may have changed between the pieces.
    """
    listener = as_lines(f"{remote.component} {remote.version}", tell)
    with writing(part.parent):
        while True:
            pieced = download.download(remote.address, part, progress=listener)
            sha256 = sha256_of(part)
            if not expected or sha256 == expected:
                return sha256
            download.forget(part)
            if not pieced:
                raise _wrong(remote, expected, sha256)


def _published(remote: RemoteFile) -> str:
    """What the publisher's checksum file says; "" where there is none to ask. Raises CannotDownload."""
    if not remote.published:
        return ""
    said = published_for(remote.address.rpartition("/")[2], download.text(remote.published))
    if not said:
        raise CannotDownload(f"{remote.published} has no checksum of {remote.name}")
    return said


def _by_hand(remote: RemoteFile, path: Path, cache: Cache) -> Path:
    """Check a file that somebody put into its place. It is theirs: a wrong one is refused and stays where it is."""
    beside = path.with_name(remote.published.rpartition("/")[2]) if remote.published else None
    if remote.sha256:
        expected, checked_by = remote.sha256, "pinned"
    elif beside and beside.exists():
        expected, checked_by = (
            published_for(remote.address.rpartition("/")[2], beside.read_text()),
            "as published",
        )
    elif remote.published:
        try:
            expected, checked_by = _published(remote), "as published"
        except CannotDownload as problem:
            raise ToolError(
                f"{path} was put there by hand, and nothing here says what its checksum must be. ({problem})\n"
                f"Put the publisher's checksum file, {remote.published}, beside it."
            ) from None
    else:
        expected, checked_by = "", "by hand"
    sha256 = sha256_of(path)
    if checked_by != "by hand" and sha256 != expected:
        raise WrongChecksum(
            f"{path} is not what it should be: its SHA-256 is {sha256}, expected is {expected or 'unknown'}."
            " Remove it, and labkit downloads it."
        )
    cache.accept(path, Record(remote.address, sha256, path.stat().st_size, checked_by))
    return path


def _wrong(remote: RemoteFile, expected: str, got: str) -> WrongChecksum:
    return WrongChecksum(
        f"{remote.address} is not what it should be: its SHA-256 is {got}, expected ({remote.checked_by}) is {expected}."
        " It has been thrown away. A proxy or a portal that asks for a login may have answered instead; try again elsewhere."
    )


def _without_internet(remote: RemoteFile, path: Path) -> str:
    also = f", and {remote.published} beside it" if remote.published and not remote.sha256 else ""
    return (
        f"Without internet here: fetch the file elsewhere and put it at {path}{also};\n"
        f"or bring a box made with `labkit bundle create --tools {remote.component}` and run: labkit bundle load BOX"
    )
