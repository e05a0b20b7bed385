"""What chapters need, read from their files: demos, components, and with them images, tools and manifests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.cluster.images.reference import Reference, canonical
from labkit.cluster.images.table import Table as ImageTable
from labkit.cluster.tools import Table

from .errors import BoxError

_IMAGE = re.compile(r"""(?:\bimage:[ \t]*|--image[= ])["']?([a-z0-9][\w./:@-]*)""")
_REQUIRE = re.compile(r"""\brequire\(\s*["']([\w-]+)["']""")


@dataclass(frozen=True, slots=True)
class Wanted:
    """For these chapters: images as manifests name them, component names, tools, and manifests of the table."""

    chapters: tuple[str, ...]
    images: tuple[str, ...]
    components: tuple[str, ...]
    tools: tuple[str, ...]
    manifests: tuple[str, ...]


def by(
    root: Path, chapters: Sequence[str], table: ImageTable, known: Table, components: Iterable[str] = ()
) -> Wanted:
    """What chapters need, given by number ("01") or name; none means all. Raises BoxError naming those there are."""
    folders = [_folder(root, chapter) for chapter in chapters] or sorted(
        path.parent for path in (root / "notebooks").glob("*/steps.yaml")
    )
    images: dict[str, None] = {}
    needed: dict[str, None] = dict.fromkeys(components)
    users = {"probes"}
    for folder in folders:
        demos = [root / "clusters" / "demos" / demo for demo in _demos(folder)]
        users |= {folder.name, *(demo.parent.name for demo in demos)}
        for manifest in [*(demo for demo in demos if demo.is_file()), *_manifests(folder)]:
            images |= dict.fromkeys(images_of(manifest.read_text(encoding="utf-8"), str(manifest)))
        for text in _prose(root, folder):
            # What is talked of may be no image at all ("image: imagined"); only what the table knows is one.
            images |= {name: None for name in images_in(text) if table.find(name)}
            needed |= dict.fromkeys(_REQUIRE.findall(text))
    if unknown := [name for name in needed if name not in known.components]:
        raise BoxError(f"There is no component {unknown[0]!r}; there are: {', '.join(known.components)}.")
    users |= set(needed)
    images |= {entry.reference: None for entry in table.entries if users & set(entry.used)}
    needs = [known.components[name] for name in needed]
    images |= {image: None for one in needs for image in one.images}
    tools = ["kind", *(tool for one in needs for tool in one.tools)]
    manifests = [manifest for one in needs for manifest in one.manifests]
    return Wanted(
        tuple(folder.name for folder in folders), tuple(once(images)), tuple(needed),
        tuple(dict.fromkeys(tools)), tuple(dict.fromkeys(manifests)),
    )  # fmt: skip


def _folder(root: Path, chapter: str) -> Path:
    known = sorted(path.parent for path in (root / "notebooks").glob("*/steps.yaml"))
    for folder in known:
        if folder.name == chapter or folder.name.partition("-")[0] == chapter:
            return folder
    names = ", ".join(folder.name for folder in known) or "none"
    raise BoxError(f"There is no chapter {chapter!r} in {root / 'notebooks'}. There are: {names}.")


def _demos(folder: Path) -> list[str]:
    import yaml

    steps = yaml.safe_load((folder / "steps.yaml").read_text(encoding="utf-8"))
    demo = steps.get("demo") or []
    return [demo] if isinstance(demo, str) else [str(one) for one in demo]


def _manifests(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.yaml")):
        if path.name != "steps.yaml":
            yield path


def _prose(root: Path, folder: Path) -> Iterator[str]:
    """The chapter's own text, and its solutions where they are here."""
    for path in [
        folder / "steps.yaml",
        folder / "lesson.py",
        *sorted((root / "solutions" / folder.name).glob("*.*")),
    ]:
        if path.is_file() and path.suffix in (".yaml", ".py"):
            yield path.read_text(encoding="utf-8")


def images_of(manifests: str, where: str) -> Iterator[str]:
    """The images of the containers in manifests; what only looks like one (a template in a ConfigMap, say) is none."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a mesh renders a megabyte
    try:
        for document in yaml.load_all(manifests, loader):
            yield from _containers(document)
    except yaml.YAMLError as problem:
        raise BoxError(f"{where} is not YAML: {problem}") from None


def _containers(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _containers(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in ("containers", "initContainers") and isinstance(inner, list):
                yield from (str(one["image"]) for one in inner if isinstance(one, dict) and one.get("image"))
            yield from _containers(inner)


def images_in(text: str) -> list[str]:
    """The images that a text for people names, in a manifest or a command."""
    return _IMAGE.findall(text)


def once(images: Iterable[str]) -> Iterator[str]:
    """Each image once, however it is spelled; a digest in a manifest is dropped for the table's."""
    seen = set()
    for image in images:
        reference = str(Reference.parse(image).tagged)
        if canonical(reference) not in seen:
            seen.add(canonical(reference))
            yield image.partition("@")[0]
