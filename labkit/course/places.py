"""Where things are: the chapters, the demos, and the lab's home folder."""

from __future__ import annotations

import os
from pathlib import Path


class NotFoundError(Exception):
    """A chapter or a file is not where it should be; the message says where was looked."""


def home() -> Path:
    """The lab's own folder on this machine, where clusters and progress lie side by side."""
    from labkit.pocket.places import default_home

    return default_home()


def root() -> Path:
    """The folder that holds `notebooks` and `clusters`: LABKIT_ROOT, else the nearest one at or above here, else the checkout."""
    if given := os.environ.get("LABKIT_ROOT"):
        return Path(given)
    for folder in (Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[2]):
        if (folder / "notebooks").is_dir() and (folder / "clusters").is_dir():
            return folder
    raise NotFoundError(
        f"No folder with `notebooks` and `clusters` at or above {Path.cwd()}."
        " Start the notebook from the lab's folder, or set LABKIT_ROOT."
    )


def chapter_folder(chapter: str) -> Path:
    """The folder of a chapter, by its name, for example "02-and-or"."""
    folder = root() / "notebooks" / chapter
    if not (folder / "steps.yaml").is_file():
        known = ", ".join(sorted(path.parent.name for path in (root() / "notebooks").glob("*/steps.yaml")))
        raise NotFoundError(f"There is no chapter {chapter!r}. The chapters here are: {known or 'none'}.")
    return folder


def manifest(chapter: Path, name: str) -> Path:
    """A manifest that a chapter names: a file of its own folder, or one of `clusters/demos`."""
    for path in (chapter / name, root() / "clusters" / "demos" / name):
        if path.is_file():
            return path
    raise NotFoundError(
        f"{chapter.name} names the manifest {name!r}, which is neither in {chapter} nor in clusters/demos."
    )
