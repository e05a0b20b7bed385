"""Loading a box on a machine without internet: every part checked and put where the lab looks for it; twice does no harm.

CACHE/files/...     tools and manifests, as if they had been downloaded
CACHE/layers/...    layers and configurations of images
CACHE/wheels/...    Python packages
CACHE/boxes/...     the list of contents of each box that was loaded, written last
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labkit.cluster.providers.engine import Engine, NoEngine, find_engine
from labkit.cluster.tools import Cache, Platform, this_platform
from labkit.cluster.tools.cache import Record, sweep, write_whole, writing
from labkit.cluster.tools.checksums import sha256_of
from labkit.cluster.tools.download import room
from labkit.cluster.tools.sizes import in_words

from . import engineimages
from .boxes import Box, opened
from .contents import BoxedImage, Contents, Part
from .errors import BoxError, NoRoom
from .imagearchives import work_folder, write_archive

Tell = Callable[[str], None]
_UNPACKED = 3  # a node image is about three times as big unpacked as in the box


@dataclass(frozen=True, slots=True)
class Loading:
    """What loading did. `skipped` parts were there and good; `node` is the node image that is in the engine now, "" for none."""

    contents: Contents
    loaded: int
    skipped: int
    node: str
    wheels: Path | None
    lab: Path | None
    warnings: tuple[str, ...]


def place(cache: Cache, part: Part) -> Path:
    """Where a part goes. Raises BoxError for a path that leads anywhere else."""
    words = _below(part.path)
    folders = {"images": "layers"}
    return cache.root.joinpath(folders.get(words[0], words[0]), *words[1:])


def _below(path: str) -> list[str]:
    """The folders of a path that stays below where it begins. Raises BoxError for any other."""
    words = path.split("/")
    if ".." in words or "" in words or "\\" in path:
        raise BoxError(f"The box names a file {path!r}, which leads out of its folder; it is not loaded.")
    return words


def load(
    file: Path, *, lab: Path | None = None, engine: bool = True, progress: Tell | None = None
) -> Loading:
    """Load a box; a second call after an interruption goes on, and skips what is there and good.

    lab: a folder for `notebooks` and `clusters`, which must have neither. engine: put the node image into the container engine.
    Raises BoxError, DamagedBox, NoRoom, CannotKeep.
    """
    tell = progress or (lambda _line: None)
    cache = Cache.default()
    with opened(file) as box:
        _fits(box.contents, file)
        with cache.lock("box", lambda: tell("another program loads a box; waiting")):
            sweep(cache.root)
            loaded, skipped = _parts(box, cache, tell)
            with writing(cache.root):
                text = box.contents.to_json()
                write_whole(cache.root / "boxes" / f"{hashlib.sha256(text).hexdigest()[:16]}.json", text)
        warnings: list[str] = []
        node = _node(box.contents, cache, tell, warnings) if engine else ""
        unpacked = _unpack(box.contents, cache, lab, tell) if lab else None
    wheels = cache.root / "wheels" if any(part.kind == "wheel" for part in box.contents.parts) else None
    return Loading(box.contents, loaded, skipped, node, wheels, unpacked, tuple(warnings))


def _fits(contents: Contents, file: Path) -> None:
    here = this_platform()
    if Platform.parse(contents.platform) != here:
        raise BoxError(
            f"{file} was made for {contents.platform}, and this machine is {here}."
            f" On a machine with internet: labkit bundle create --platform {here} ..."
        )


def _parts(box: Box, cache: Cache, tell: Tell) -> tuple[int, int]:
    parts = [part for part in box.contents.parts if part.kind != "install"]
    missing = [part for part in parts if not _good(place(cache, part), part)]
    needed = sum(part.size for part in missing)
    free = room(cache.root)
    if needed > free:
        raise NoRoom(
            f"{box.file} needs {in_words(needed)} more in {cache.root}, where {in_words(free)} are free. Nothing was unpacked."
            " Make room, or let LABKIT_CACHE name a folder on another disk (for `labkit up`, too)."
        )
    done = 0
    for number, part in enumerate(missing, 1):
        if part.size > 5_000_000 or part.kind in ("tool", "manifest", "lab"):
            percent = 100 * done // needed if needed else 100
            tell(f"{part.title} ({in_words(part.size)}; part {number} of {len(missing)}, {percent} %)")
        _keep(box, part, place(cache, part), cache)
        done += part.size
    return len(missing), len(parts) - len(missing)


def _good(path: Path, part: Part) -> bool:
    return path.is_file() and path.stat().st_size == part.size and sha256_of(path) == part.sha256


def _keep(box: Box, part: Part, path: Path, cache: Cache) -> None:
    """Write a part beside its place, check it, and move it there."""
    with writing(cache.root):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        new = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as target:
                box.copy(part, target)
            new.chmod(0o644)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    if part.kind in ("tool", "manifest"):
        # The table's own pinned checksum, where there is one, is compared again when the file is used.
        cache.accept(path, Record(part.address, part.sha256, part.size, part.checked_by or "box"))


def _node(contents: Contents, cache: Cache, tell: Tell, warnings: list[str]) -> str:
    """Put the node image into the engine, where kind looks for it."""
    nodes = [image for image in contents.images if image.node]
    if not nodes:
        return ""
    reference = nodes[0].references[0]
    try:
        engine = find_engine()
        identity = f"sha256:{Path(nodes[0].config).stem}"
        if not engineimages.has(engine, reference, identity):
            _room_in(engine, nodes, contents)
            tell(f"putting the node image {reference} into {engine.name}")
            load_into_engine(engine, nodes, cache)
    except NoEngine as problem:
        warnings.append(
            f"No container engine answers, so the node image waits in the cache: {problem.finding.explanation}\n"
            "When one runs, load the box again (what is there is skipped)."
        )
        return ""
    return reference


def _room_in(engine: Engine, images: list[BoxedImage], contents: Contents) -> None:
    """Say before an image is put into the engine that its disk is too small, where it is this machine's."""
    if not engine.local or not engine.folder:
        return
    packed = sum(contents.part(layer.part).size for image in images for layer in image.layers)
    try:
        free = room(Path(engine.folder))
    except OSError:
        return  # a folder that this user may not even look at
    if _UNPACKED * packed > free:
        raise NoRoom(
            f"The node image needs about {in_words(_UNPACKED * packed)} in {engine.name}'s own folder, {engine.folder}, where"
            f" {in_words(free)} are free. Make room there ({engine.name} system prune), and load the box again:"
            " what is loaded stays, and is skipped."
        )


def load_into_engine(engine: Engine, images: list[BoxedImage], cache: Cache) -> None:
    """Put images into the engine. Raises BoxError."""
    with work_folder(cache) as work:
        archive = work / "images.tar"
        write_archive(images, cache, archive)
        engineimages.load(engine, archive)


def _unpack(contents: Contents, cache: Cache, folder: Path, tell: Tell) -> Path | None:
    """The notebooks and tables into a folder of the learner's. Raises BoxError rather than overwrite anything."""
    import tarfile

    part = next((one for one in contents.parts if one.kind == "lab"), None)
    if part is None:
        return None
    if there := [name for name in ("notebooks", "clusters") if (folder / name).exists()]:
        raise BoxError(f"{folder / there[0]} is there already; name another folder for the notebooks.")
    tell(f"unpacking the notebooks into {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(place(cache, part)) as packed:
            # Regular files alone, each below the folder. (tarfile's own filter="data" is not in every Python 3.11.)
            for member in packed:
                _below(member.name)
                inner = packed.extractfile(member) if member.isfile() else None
                if inner is not None:
                    target = folder / member.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(inner.read())
    except (tarfile.TarError, OSError) as problem:
        raise BoxError(f"The notebooks cannot be unpacked into {folder}: {problem}") from None
    return folder
