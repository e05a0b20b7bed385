"""Completes the checksums in `components.toml`: asks publishers, compares with what stands there, writes what is missing.

The file is changed as text, a line at a time, so that its comments stay.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import download
from .checksums import published_for, sha256_of
from .errors import CannotDownload, ToolError
from .table import RemoteFile, Table, read


@dataclass
class Pinned:
    """What asking gave: every (component, address) whose checksum is new, as it was, or another; and those without, with why."""

    new: dict[tuple[str, str], str] = field(default_factory=dict)
    same: list[tuple[str, str]] = field(default_factory=list)
    other: dict[tuple[str, str], str] = field(default_factory=dict)
    silent: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether everything was answered, and nothing contradicts the table."""
        return not self.other and not self.silent

    def lines(self) -> Iterator[str]:
        """For people."""
        for (component, name), sha256 in self.new.items():
            yield f"new       {component} {name} {sha256}"
        for (component, name), sha256 in self.other.items():
            yield f"DIFFERS   {component} {name}: the publisher now says {sha256}; the table was left as it is"
        for (component, name), why in self.silent.items():
            yield f"no answer {component} {name}: {why}"
        yield f"{len(self.same)} as they were, {len(self.new)} new, {len(self.other)} differ, {len(self.silent)} without answer"


def pin(
    table: Table,
    *,
    names: Sequence[str] = (),
    write: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Pinned:
    """Ask for the checksum of every file of the table, or of the components of these names, and write those that are missing.

    A publisher's checksum file is asked where there is one; else the file itself is downloaded and summed. Raises ToolError.
    """
    known = [*table.tools, *table.manifests]
    if unknown := set(names) - set(known):
        raise ToolError(f"{table.path} has no {', '.join(sorted(unknown))}; it has: {', '.join(known)}")
    result = Pinned()
    asked: dict[str, str] = {}  # one checksum file often has several files' sums
    for one in _files(table):
        if names and one.component not in names:
            continue
        if progress:
            progress(f"{one.component} {one.name}")
        key = (one.component, one.address)
        try:
            sha256 = _ask(one, asked)
        except CannotDownload as problem:
            result.silent[key] = str(problem)
            continue
        if not one.sha256:
            result.new[key] = sha256
        elif one.sha256 == sha256:
            result.same.append(key)
        else:
            result.other[key] = sha256
    if write and result.new:
        _write(table, result.new)
    return result


def _files(table: Table) -> Iterator[RemoteFile]:
    for tool in table.tools.values():
        yield from tool.files.values()
    for component in table.manifests.values():
        yield from component.files


def _ask(one: RemoteFile, asked: dict[str, str]) -> str:
    if one.published:
        if one.published not in asked:
            asked[one.published] = download.text(one.published)
        said = published_for(one.address.rpartition("/")[2], asked[one.published])
        if not said:
            raise CannotDownload(f"{one.published} has no checksum of it")
        return said
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        download.download(one.address, part)
        return sha256_of(part)


def _write(table: Table, new: dict[tuple[str, str], str]) -> None:
    """Put checksums into the lines of the files they belong to, and check that the table then says so."""
    lines = table.path.read_text(encoding="utf-8").splitlines(keepends=True)
    wanted: dict[tuple[str, str], str] = {}
    for tool in table.tools.values():
        for platform, one in tool.files.items():
            if sha256 := new.get((tool.name, one.address)):
                wanted[(f"tools.{tool.name}.files", str(platform))] = sha256
    for component in table.manifests.values():
        for one in component.files:
            if sha256 := new.get((component.name, one.address)):
                wanted[(f"manifests.{component.name}.files", one.name)] = sha256
    section = ""
    for number, line in enumerate(lines):
        if header := re.match(r"\s*\[([^\]]+)\]", line):
            section = header.group(1).strip()
        elif (entry := re.match(r'\s*"([^"]+)"\s*=\s*\{(.*)\}', line)) and (
            sha256 := wanted.pop((section, entry.group(1)), "")
        ):
            inside = entry.group(2).strip()
            inside = f'{inside}, sha256 = "{sha256}"' if inside else f'sha256 = "{sha256}"'
            start, end = entry.span(2)
            lines[number] = f"{line[:start]} {inside} {line[end:]}"
    if wanted:
        missed = ", ".join(f"[{section}] {name}" for section, name in wanted)
        raise ToolError(f'{table.path}: no line of the form "NAME" = {{...}} was found for {missed}')
    table.path.write_text("".join(lines), encoding="utf-8")
    read(table.path)
