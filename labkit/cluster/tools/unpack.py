"""The one program out of what was downloaded: out of a tar.gz, a zip, or the download itself."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from .cache import writing
from .errors import ToolError


def install(download: Path, member: str, program: Path) -> Path:
    """Put the program in its place, executable; there whole or not at all. Raises ToolError, CannotKeep."""
    with writing(program.parent):
        program.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=program.parent, prefix=f".{program.name}-")
        new = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as target:
                _copy(download, member, target)
            new.chmod(0o755)
            new.replace(program)
        finally:
            new.unlink(missing_ok=True)
    return program


def _copy(download: Path, member: str, target: IO[bytes]) -> None:
    if not member:
        with download.open("rb") as source:
            shutil.copyfileobj(source, target, 1 << 20)
        return
    try:
        if zipfile.is_zipfile(download):
            with zipfile.ZipFile(download) as zipped, zipped.open(member) as unzipped:
                shutil.copyfileobj(unzipped, target, 1 << 20)
            return
        with tarfile.open(download) as archive:
            # By name alone, and only the content of a regular file: paths and links in an archive decide nothing here.
            for one in archive:
                if one.isfile() and one.name.removeprefix("./") == member:
                    inner = archive.extractfile(one)
                    assert inner is not None
                    shutil.copyfileobj(inner, target, 1 << 20)
                    return
        raise KeyError(member)
    except KeyError:
        raise ToolError(f"{download} has no file {member}; `inside` in components.toml is wrong.") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as problem:
        raise ToolError(f"{download} cannot be unpacked: {problem}") from None
