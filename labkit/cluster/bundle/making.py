"""Making a box: fetch what is wanted, list it, and write it all into one tar, the list first."""

from __future__ import annotations

import importlib.metadata
import io
import os
import platform as python_platform
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from labkit.cluster.images import table as image_table
from labkit.cluster.places import clusters_folder
from labkit.cluster.providers.engine import Engine, find_engine
from labkit.cluster.tools import Cache, Platform, container_platform, fetch, this_platform
from labkit.cluster.tools import read as read_table
from labkit.cluster.tools.cache import sweep, writing
from labkit.cluster.tools.checksums import sha256_of
from labkit.cluster.tools.download import room
from labkit.cluster.tools.sizes import in_words
from labkit.cluster.tools.table import RemoteFile, Table

from . import engineimages, wheels
from .contents import NAME, BoxedImage, BoxedLayer, Contents, Part
from .errors import BoxError, NoRoom
from .rendering import component_images
from .wanted import Wanted, by, once

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What goes into a box. Empty `chapters` means all; `tools`, `components` and `images` come on top of what they need."""

    chapters: tuple[str, ...] = ()
    platform: Platform = field(default_factory=this_platform)
    tools: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    node: str = ""
    wheels: bool = True
    lab: bool = True
    with_images: bool = True
    local: bool = False
    python: str = ""


def create(recipe: Recipe, box: Path, *, progress: Tell | None = None) -> Contents:
    """Make the box; it is there whole or not at all. Raises BoxError, ToolError, ImageError."""
    tell = progress or (lambda _line: None)
    root = clusters_folder().parent
    table, images = read_table(), image_table.read()
    wanted = by(root, recipe.chapters, images, table, recipe.components)
    for name in recipe.tools:
        table.tool(name)
    cache = Cache.default()
    own = ".".join(python_platform.python_version_tuple()[:2])
    python = (recipe.python or own) if recipe.wheels else ""
    if box.is_dir() or not box.absolute().parent.is_dir():
        raise BoxError(f"{box} cannot be written: name a file in a folder that exists, for example box.tar")
    with ExitStack() as stack:
        with writing(cache.root):
            (cache.root / "parts").mkdir(parents=True, exist_ok=True)
        sweep(cache.root)
        work = Path(stack.enter_context(TemporaryDirectory(dir=cache.root / "parts", prefix="box-")))
        loose = _Loose()
        if recipe.wheels:
            script = Path(__file__).with_name("install.py")
            loose.add(script.name, script, "install", "sets the lab up on a laptop that has nothing of it")
        _files(loose, recipe, wanted, table, cache, tell)
        if recipe.wheels:
            _wheels(loose, recipe.platform, python, root, work, tell)
        if recipe.lab:
            _lab(loose, root, work, tell)
        boxed: list[BoxedImage] = []
        if recipe.with_images:
            boxed = _images(loose, recipe, wanted, table, images, cache, tell)
        contents = Contents(
            datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), _made_by(recipe), str(recipe.platform),
            wanted.chapters, tuple(loose.parts), tuple(boxed), python,
        )  # fmt: skip
        tell(f"writing {box}: {in_words(contents.size)}")
        _write(box, contents, loose.sources)
    return contents


class _Loose:
    """Parts while they are gathered, and the files that they are now."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.sources: dict[str, Path] = {}

    def add(
        self, path: str, source: Path, kind: str, title: str, checked_by: str = "", address: str = ""
    ) -> None:
        if path not in self.sources:
            size, sha256 = source.stat().st_size, sha256_of(source)
            self.parts.append(Part(path, size, sha256, kind, title, checked_by, address))
            self.sources[path] = source

    def add_remote(self, one: RemoteFile, source: Path, kind: str) -> None:
        path = f"files/{one.component}/{one.version}/{one.name}"
        title = f"{one.component} {one.version}" + (f" {one.name}" if kind == "manifest" else "")
        self.add(path, source, kind, title, one.checked_by, one.address)


def _files(loose: _Loose, recipe: Recipe, wanted: Wanted, table: Table, cache: Cache, tell: Tell) -> None:
    names = [*wanted.tools, *recipe.tools]
    if not recipe.wheels:
        names.append("kubectl")  # else its wheel brings it
    for name in dict.fromkeys(names):
        one = table.tool(name).file(recipe.platform)
        loose.add_remote(one, fetch(one, cache, progress=tell), "tool")
    for name in wanted.manifests:
        for one in table.component(name).files:
            loose.add_remote(one, fetch(one, cache, progress=tell), "manifest")


def _wheels(loose: _Loose, platform: Platform, python: str, root: Path, work: Path, tell: Tell) -> None:
    tell(f"fetching the Python packages for {platform}, Python {python}")
    folder = work / "wheels"
    found = wheels.download(root / "requirements.lock", folder, platform, python)
    pip = sorted((root / "scripts" / "vendor").glob("pip-*.whl"))  # for a Python that has none
    for wheel in [folder / wheels.REQUIREMENTS, *found, wheels.own_wheel(root, folder), *pip]:
        loose.add(f"wheels/{wheel.name}", wheel, "wheel", wheel.name, "lock")


def _lab(loose: _Loose, root: Path, work: Path, tell: Tell) -> None:
    """The chapters and tables as files, so that a laptop needs no checkout; solutions stay with the instructor."""
    tell("packing notebooks and clusters")
    archive = work / "lab.tar.gz"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "notebooks", "clusters"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode == 0 and tracked.stdout:
        names = sorted(name for name in tracked.stdout.split("\0") if name and (root / name).is_file())
    else:
        found = (path for folder in ("notebooks", "clusters") for path in (root / folder).rglob("*"))
        names = sorted(
            str(path.relative_to(root)) for path in found if path.is_file() and "/." not in str(path)
        )
    with tarfile.open(archive, "w:gz", compresslevel=6) as packed:
        for name in names:
            packed.add(root / name, name, recursive=False)
    loose.add("lab.tar.gz", archive, "lab", f"notebooks and clusters ({len(names)} files)")


def _images(
    loose: _Loose,
    recipe: Recipe,
    wanted: Wanted,
    table: Table,
    known: image_table.Table,
    cache: Cache,
    tell: Tell,
) -> list[BoxedImage]:
    engine = find_engine()
    platform = str(container_platform(recipe.platform))
    folder = cache.root / "layers"
    with writing(cache.root):
        folder.mkdir(parents=True, exist_ok=True)
    asked = component_images(wanted, table, cache, tell)
    pairs = [(name, _digest(known, name)) for name in once([*wanted.images, *asked, *recipe.images])]
    node = recipe.node or table.node.tagged
    node_digest = table.node.digest if node == table.node.tagged else ""
    boxed = [_boxed(loose, engine, node, node_digest, platform, folder, recipe, True, tell)]
    for name, digest in pairs:
        boxed.append(_boxed(loose, engine, name, digest, platform, folder, recipe, False, tell))
    return boxed


def _digest(known: image_table.Table, name: str) -> str:
    entry = known.find(name)
    return name.partition("@")[2] or (entry.digest if entry else "")


def _boxed(
    loose: _Loose, engine: Engine, name: str, digest: str, platform: str, folder: Path, recipe: Recipe,
    node: bool, tell: Tell,
) -> BoxedImage:  # fmt: skip
    name = name.partition("@")[0]
    image = engineimages.obtain(engine, name, digest, platform, folder, local=recipe.local, tell=tell)
    for layer in image.layers:
        loose.add(f"layers/{layer.path.name}", layer.path, "layer", name)
    config = folder / f"{_hex(image.config)}.json"
    config.write_bytes(image.config)
    loose.add(f"images/{config.name}", config, "image", name)
    layers = tuple(BoxedLayer(f"layers/{one.path.name}", one.diff_id, one.media_type) for one in image.layers)
    return BoxedImage(image.references, image.digest, image.origin, f"images/{config.name}", layers, node)


def _hex(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def _made_by(recipe: Recipe) -> dict[str, str]:
    return {
        "labkit": importlib.metadata.version("labkit"),
        "python": python_platform.python_version(),
        "machine": str(this_platform()),
        "for": str(recipe.platform),
    }


def _write(box: Path, contents: Contents, sources: dict[str, Path]) -> None:
    free = room(box.absolute().parent)
    if contents.size > free:
        raise NoRoom(
            f"The box has {in_words(contents.size)}, and {box.absolute().parent} has {in_words(free)} free."
            " Name a file on another disk, or put less into it."
        )
    part = box.with_name(f".{box.name}.{os.getpid()}.part")
    try:
        with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
            text = contents.to_json()
            tar.addfile(_member(NAME, len(text)), io.BytesIO(text))
            for one in contents.parts:
                with sources[one.path].open("rb") as source:
                    tar.addfile(_member(one.path, one.size), source)
        part.replace(box)
    except OSError as problem:
        raise NoRoom(f"{box} cannot be written: {problem.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _member(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info


def chapters_here(root: Path) -> Sequence[str]:
    """The chapters of a checkout, by name."""
    return sorted(path.parent.name for path in (root / "notebooks").glob("*/steps.yaml"))
