"""Where components come from: the tools and manifests of `clusters/components.toml`, and the lab's own settings beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from labkit.cluster import tools
from labkit.cluster.places import clusters_folder

from .shape import ComponentError


@dataclass(frozen=True, slots=True)
class Texts:
    """A component's manifests as published: their version, and (file name, text) in the order in which they are applied."""

    version: str
    files: tuple[tuple[str, str], ...]


class Sources(Protocol):
    """Gives tools and manifests. Raises ClusterError saying what to do where one cannot be had."""

    def tool(self, name: str, progress: Callable[[str], None] | None = None) -> Path:
        """A program that can be run."""

    def manifests(self, name: str, progress: Callable[[str], None] | None = None) -> Texts:
        """The manifests of a component."""

    def settings(self, path: str) -> Path:
        """A file of the lab's own, such as "istio/lab.yaml"."""


class Pinned:
    """The versions of the table."""

    def tool(self, name: str, progress: Callable[[str], None] | None = None) -> Path:
        """The program: what the environment names (LABKIT_ISTIOCTL), on PATH, in the cache, or downloaded."""
        return tools.find(name, progress=progress)

    def manifests(self, name: str, progress: Callable[[str], None] | None = None) -> Texts:
        """The component's files, from the cache or downloaded, checked by their checksums."""
        found = tools.read().component(name)
        files = [(one.name, tools.fetch(one, progress=progress)) for one in found.files]
        return Texts(found.version, tuple((name, path.read_text(encoding="utf-8")) for name, path in files))

    def settings(self, path: str) -> Path:
        """A file of the folder `clusters`."""
        found = clusters_folder() / path
        if not found.is_file():
            raise ComponentError(f"{found} is missing: the folder `clusters` is not complete.")
        return found
