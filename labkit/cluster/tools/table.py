"""`clusters/components.toml` as data: which tools and manifests, which versions, from where, with which checksums."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.cluster.places import clusters_folder

from .errors import ToolError
from .machine import Platform

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that somebody publishes. `sha256` is "" where none is pinned; `published` is where the publisher's checksums are."""

    component: str
    version: str
    name: str
    address: str
    sha256: str = ""
    published: str = ""

    @property
    def checked_by(self) -> str:
        """How a download is checked: "pinned", "as published", or "first use"."""
        return "pinned" if self.sha256 else "as published" if self.published else "first use"


@dataclass(frozen=True, slots=True)
class Tool:
    """A program. `asks` are the arguments that make it say its version, `says` the pattern whose first group that is."""

    name: str
    about: str
    version: str
    minimum: str
    asks: tuple[str, ...]
    says: str
    files: Mapping[Platform, RemoteFile]
    inside: str = ""
    wheel: str = ""
    conda: str = ""

    def file(self, platform: Platform) -> RemoteFile:
        """What to download for a platform. Raises ToolError naming the platforms there are."""
        try:
            return self.files[platform]
        except KeyError:
            known = ", ".join(map(str, sorted(self.files)))
            raise ToolError(
                f"{self.name} {self.version} is not published for {platform}, only for {known}."
            ) from None

    def member(self, platform: Platform) -> str:
        """The program's path in the archive that is downloaded; "" when the download is the program."""
        return self.inside.format(os=platform.os, arch=platform.arch, version=self.version)


@dataclass(frozen=True, slots=True)
class Manifests:
    """What a component is installed from, in the order in which it is applied."""

    name: str
    version: str
    files: tuple[RemoteFile, ...]

    def file(self, name: str) -> RemoteFile:
        """One of the files. Raises ToolError naming those there are."""
        for one in self.files:
            if one.name == name:
                return one
        raise ToolError(f"{self.name} has no {name}; it has: {', '.join(one.name for one in self.files)}")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a component needs besides a cluster. `renders`: commands (a tool of the table first) whose output names images."""

    tools: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    renders: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class NodeImage:
    """The node image of clusters made with kind."""

    image: str
    tag: str
    digest: str

    @property
    def tagged(self) -> str:
        """How people write it."""
        return f"{self.image}:{self.tag}"

    @property
    def pinned(self) -> str:
        """With its digest: what is pulled."""
        return f"{self.tagged}@{self.digest}" if self.digest else self.tagged


@dataclass(frozen=True, slots=True)
class Table:
    """The whole table, in its own order."""

    path: Path
    node: NodeImage
    tools: Mapping[str, Tool]
    manifests: Mapping[str, Manifests]
    components: Mapping[str, Needs]

    def tool(self, name: str) -> Tool:
        """A tool by name. Raises ToolError naming those there are."""
        if name not in self.tools:
            raise ToolError(f"{self.path} has no tool {name!r}; it has: {', '.join(self.tools)}")
        return self.tools[name]

    def component(self, name: str) -> Manifests:
        """A component's manifests by name. Raises ToolError naming those there are."""
        if name not in self.manifests:
            raise ToolError(
                f"{self.path} has no manifests of {name!r}; it has those of: {', '.join(self.manifests)}"
            )
        return self.manifests[name]


def read(path: Path | None = None) -> Table:
    """The table in that file, or in the lab's `clusters` folder. Raises ToolError naming the entry that is wrong."""
    path = path or clusters_folder() / "components.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as problem:
        raise ToolError(f"{path} cannot be read: {problem}") from None
    where = ""
    try:
        where = "node"
        node = NodeImage(**content["node"])
        tools = {}
        for name, entry in content.get("tools", {}).items():
            where = f"tools.{name}"
            tools[name] = _tool(name, entry)
        manifests = {}
        for name, entry in content.get("manifests", {}).items():
            where = f"manifests.{name}"
            manifests[name] = _manifests(name, entry)
        versions = {name: one.version for name, one in tools.items()}
        versions |= {name: found.version for name, found in manifests.items()}
        components = {}
        for name, entry in content.get("components", {}).items():
            where = f"components.{name}"
            components[name] = _needs(entry, versions)
    except (KeyError, TypeError, ValueError) as problem:
        what = f"lacks {problem}" if isinstance(problem, KeyError) else f"is wrong: {problem}"
        raise ToolError(f"{path}: [{where}] {what}") from None
    return Table(path, node, tools, manifests, components)


def _tool(name: str, entry: Mapping[str, Any]) -> Tool:
    files = {}
    for platform, one in entry.get("files", {}).items():
        files[Platform.parse(platform)] = _file(name, entry, one["file"], one)
    says = entry["says"]["as"]
    if re.compile(says).groups != 1:
        raise ValueError(f"says.as must have one group, the version: {says!r}")
    return Tool(
        name, entry.get("about", ""), entry["version"], entry.get("minimum", entry["version"]),
        tuple(entry["says"]["with"]), says, files,
        entry.get("inside", ""), entry.get("wheel", ""), entry.get("conda", ""),
    )  # fmt: skip


def _manifests(name: str, entry: Mapping[str, Any]) -> Manifests:
    files = tuple(_file(name, entry, file, one) for file, one in entry["files"].items())
    return Manifests(name, entry["version"], files)


def _needs(entry: Mapping[str, Any], versions: Mapping[str, str]) -> Needs:
    needs = Needs(
        tuple(entry.get("tools", ())), tuple(entry.get("manifests", ())),
        tuple(image.format(**versions) for image in entry.get("images", ())),
        tuple(tuple(command) for command in entry.get("renders", ())),
    )  # fmt: skip
    named = [*needs.tools, *needs.manifests, *(command[0] for command in needs.renders)]
    if unknown := [name for name in named if name not in versions]:
        raise ValueError(f"there is no {unknown[0]}")
    return needs


def _file(component: str, entry: Mapping[str, Any], file: str, one: Mapping[str, Any]) -> RemoteFile:
    version = entry["version"]
    file = file.format(version=version)
    base = entry["from"].format(version=version)
    published = entry.get("published", "").format(version=version, file=file)
    sha256 = one.get("sha256", "")
    if sha256 and not _SHA256.match(sha256):
        raise ValueError(f"the sha256 of {file} is not 64 small hexadecimal digits: {sha256!r}")
    # The whole of it: some publishers tell platforms apart by folders alone.
    return RemoteFile(
        component, version, file.replace("/", "-"), base + file, sha256, published and base + published
    )
