"""The lab's cache on this machine: which file lies where, what is known of it, and who may write it now.

files/COMPONENT/VERSION/NAME            as published, each with NAME.record.json beside it
programs/TOOL/VERSION/OS-ARCH/TOOL      ready to run
parts/...                               downloads that are not whole yet; never used
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit.cluster.places import cache_folder

from .errors import CannotKeep
from .machine import Platform
from .table import RemoteFile, Tool


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a kept file. `checked_by`: pinned, as published, first use, by hand, or box."""

    address: str
    sha256: str
    size: int
    checked_by: str


@dataclass(frozen=True, slots=True)
class Cache:
    """The places in one cache folder."""

    root: Path

    @classmethod
    def default(cls) -> Cache:
        """That of this user, or of $LABKIT_CACHE."""
        return cls(cache_folder())

    def file(self, remote: RemoteFile) -> Path:
        """Where a published file is kept."""
        return self.root / "files" / remote.component / remote.version / remote.name

    def program(self, tool: Tool, platform: Platform) -> Path:
        """Where a tool is ready to run."""
        folder = f"{platform.os}-{platform.arch}"
        return self.root / "programs" / tool.name / tool.version / folder / tool.name

    def part(self, remote: RemoteFile) -> Path:
        """Where a download grows; one name for one address, so that another version's part is never continued."""
        key = hashlib.sha256(remote.address.encode()).hexdigest()[:16]
        return self.root / "parts" / f"{key}-{remote.name}"

    def record(self, file: Path) -> Record | None:
        """What is known of a kept file; None when it was never accepted, or is not the file that was."""
        try:
            known = Record(**json.loads(_record_of(file).read_text()))
            return known if file.stat().st_size == known.size else None
        except (OSError, ValueError, TypeError):
            return None

    def accept(self, file: Path, record: Record) -> None:
        """Write down that a file in its place is good. The last step of keeping it: without this, it is not used."""
        with writing(self.root):
            write_whole(_record_of(file), json.dumps(asdict(record), indent=1).encode())

    @contextmanager
    def lock(self, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Only one process (or thread) at a time has the lock of a name; `waiting` is called once when another has it."""
        path = self.root / "locks" / f"{name}.lock"
        with writing(self.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def sweep(root: Path, *, older: float = 86_400.0) -> None:
    """Remove work files that a killed program left in a cache, if nobody has touched them for `older` seconds."""
    # In our own folders alone: LABKIT_CACHE may name one in which other things lie, too.
    work = [f"{folder}/**/.*-????????" for folder in ("files", "programs", "layers", "wheels")]
    for pattern in ("parts/box-*", "parts/archive-*", *work):
        for path in root.glob(pattern):
            try:
                if time.time() - path.stat().st_mtime < older:
                    continue
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            except OSError:
                pass  # gone meanwhile, or not ours


def _record_of(file: Path) -> Path:
    return file.with_name(file.name + ".record.json")


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        new.write_bytes(content)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns the operating system's refusal to write there into CannotKeep."""
    try:
        yield
    except OSError as problem:
        raise CannotKeep(
            f"{problem.filename or folder} cannot be written: {problem.strerror}."
            " Let LABKIT_CACHE name a folder that you may write, with room for about 1 GB."
        ) from problem
