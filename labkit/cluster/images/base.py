"""What the stand-ins run on: a root file system with a Python, from a folder, an image archive, an engine or this machine."""

from __future__ import annotations

import os
import platform as machine_platform
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import machine
from .archives import Archive, opened
from .errors import ImageError
from .layers import Entry, Layer, from_folder, write

OLDEST = (3, 11)  # what labkit's programs are written for
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PYTHONS = ("/usr/local/bin/python3", "/usr/bin/python3", f"{machine.HOME}/bin/python3")
_INSTEAD = "python:3.13-slim"  # where this machine's own Python will not do
_SAVING = 900.0  # seconds: a gigabyte on a slow disk
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "AMD64": "amd64"}


@dataclass(frozen=True)
class Base:
    """A base ready to build on.

    `python`: its interpreter's path, `version` as (3, 13), `library` the folder of its standard library. `search`: its PATH.
    `paths`: everything in it. `read`: the content of some of its files. `title`: what it was made from, for people.
    """

    title: str
    platform: str
    layers: tuple[Layer, ...]
    search: str
    python: str
    version: tuple[int, int]
    library: str
    paths: frozenset[str]
    read: Callable[[Iterable[str]], Mapping[str, bytes]]

    def has(self, tool: str) -> bool:
        """Whether a program of that name lies on its PATH."""
        return any(f"{place}/{tool}" in self.paths for place in self.search.split(":"))


def own_platform() -> str:
    """The platform of containers on this machine, as "linux/amd64"."""
    word = machine_platform.machine()
    return f"linux/{_ARCHITECTURES.get(word, word)}"


def find(given: str | None, platform: str | None, work: Path) -> Base:
    """The base that was asked for: a folder, an archive, an image of the engine here, or (None) this machine's own Python.

    On a machine that is no Linux, None is the engine's image `python:3.13-slim`.
    `work`: a folder for its layers, which must stay until the image is written. Raises ImageError.
    """
    wanted = platform or own_platform()
    if given is None and not machine.is_linux():
        return from_engine(_INSTEAD, wanted, work)
    if given is None:
        if wanted != own_platform():
            raise ImageError(
                f"This machine's own Python is for {own_platform()}, not for {wanted}: name a base image for it, "
                f"for example --base {_INSTEAD}"
            )
        return from_tree(machine.tree(), "this machine's own Python", wanted, work)
    path = Path(given)
    if path.is_dir():
        return from_tree(from_folder(path), str(path), wanted, work)
    if path.is_file():
        with opened(path) as archive:
            return from_archive(archive, "", wanted, work)
    return from_engine(given, wanted, work)


def from_tree(tree: Mapping[str, Entry], title: str, platform: str, work: Path) -> Base:
    """A base of one layer."""
    links = {path: entry.link for path, entry in tree.items() if entry.link}
    layer = write(tree, work / "base.tar")

    def read(paths: Iterable[str]) -> Mapping[str, bytes]:
        return {path: tree[path].content() for path in paths if path in tree and not tree[path].link}

    return _base(title, platform, (layer,), _PATH, frozenset(tree), links, read)


def from_archive(archive: Archive, reference: str, platform: str, work: Path) -> Base:
    """An image of an archive, with its own layers as they are."""
    image = archive.chosen(reference, platform)
    layers = tuple(archive.layer(image, number, work) for number in range(len(image.layers)))
    tree = archive.tree(image)
    environment = dict(
        word.split("=", 1) for word in (image.config.get("config") or {}).get("Env") or [] if "=" in word
    )
    file, links = (
        archive.file,
        {path: member.linkname for path, (_, member) in tree.items() if member.issym()},
    )

    def read(paths: Iterable[str]) -> Mapping[str, bytes]:
        with opened(file) as again:
            return again.read(image, {path: tree[path][0] for path in paths if path in tree})

    title = " ".join(image.references) or image.digest
    return _base(title, platform, layers, environment.get("PATH", _PATH), frozenset(tree), links, read)


def from_engine(image: str, platform: str, work: Path) -> Base:
    """An image that the container engine here has. Raises ImageError when it has none of that name."""
    file = work / "base-image.tar"
    save(image, file, platform)
    with opened(file) as archive:
        return from_archive(archive, "", platform, work)


def save(image: str, file: Path, platform: str) -> None:
    """Save an image of the engine here as an archive. Raises ImageError with the engine's own words."""
    from labkit.cluster.providers.engine import NoEngine, find_engine

    try:
        engine = find_engine()
    except NoEngine as problem:
        raise ImageError(
            f"{image} is neither a folder nor an archive here, and no container engine can be asked for an image of that "
            f"name.\n{problem}"
        ) from None
    # An engine that keeps images of several platforms would save an index whose other platforms are missing.
    for extra in (["--platform", platform], []):
        done = engine.run("save", *extra, "-o", str(file), image, check=False, seconds=_SAVING)
        if done.returncode == 0:
            return
        if "unknown flag" not in done.stderr and "API version" not in done.stderr:
            break
    words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise ImageError(
        f"{engine.name} cannot save {image}: {words}\nPull it first, where there is a line: {engine.name} pull {image}"
    )


def _base(
    title: str,
    platform: str,
    layers: tuple[Layer, ...],
    search: str,
    paths: frozenset[str],
    links: Mapping[str, str],
    read: Callable[[Iterable[str]], Mapping[str, bytes]],
) -> Base:
    python = next((path for path in _PYTHONS if path in paths), "")
    if not python:
        raise ImageError(
            f"{title} has no python3 in {', '.join(p.rpartition('/')[0] for p in _PYTHONS)}, and the stand-ins are "
            f"written in Python. Take a base that has one, for example {_INSTEAD}."
        )
    real = _followed(python, links)
    prefix = str(Path(real).parent.parent)
    found = [re.fullmatch(rf"{re.escape(prefix)}/lib(?:64)?/python3\.(\d+)/os\.py", path) for path in paths]
    minors = sorted((int(match[1]), str(Path(match[0]).parent)) for match in found if match)
    named = re.fullmatch(r"python3\.(\d+)", Path(real).name)
    mine = [each for each in minors if not named or each[0] == int(named[1])]
    if not mine:
        raise ImageError(f"{title} has {python}, but not the standard library that belongs to it.")
    minor, library = mine[-1]
    if (3, minor) < OLDEST:
        raise ImageError(f"{title} has Python 3.{minor}; the stand-ins need 3.{OLDEST[1]} or later.")
    return Base(title, platform, layers, search, python, (3, minor), library, paths, read)


def _followed(path: str, links: Mapping[str, str]) -> str:
    for _ in range(20):
        if path not in links:
            return path
        path = os.path.normpath(str(Path(path).parent / links[path]))
    return path
