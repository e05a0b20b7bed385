"""Renewing `clusters/images.toml`: the digest of each tag as its registry has it now, written into the file as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import registry
from .errors import ImageError
from .reference import canonical
from .table import Entry, Table


@dataclass
class Renewed:
    """What asking gave, by reference: digests that are new, as they were, other than they were; and who did not answer."""

    new: dict[str, str] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)
    other: dict[str, str] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> dict[str, str]:
        """What the file does not say yet."""
        return self.new | self.other


def renew(
    table: Table,
    *,
    names: Sequence[str] = (),
    write: bool = True,
    ask: Callable[[str], str] = registry.digest,
    progress: Callable[[str], None] | None = None,
) -> Renewed:
    """Ask for every image of the table, or for those named, and write what has changed. Raises ImageError for unknown names."""
    wanted = {canonical(name) for name in names}
    known = {canonical(entry.reference): entry for entry in table.entries}
    if unknown := sorted(wanted - set(known)):
        raise ImageError(
            f"{table.path} has no {', '.join(unknown)}; it has: {', '.join(e.reference for e in table.entries)}"
        )
    result = Renewed()
    for name, entry in known.items():
        if wanted and name not in wanted:
            continue
        if progress:
            progress(entry.reference)
        try:
            found = ask(entry.reference)
        except ImageError as problem:
            result.silent[entry.reference] = str(problem)
            continue
        _sort(result, entry, found)
    if write and result.changed:
        _write(table.path, result.changed)
    return result


def _sort(result: Renewed, entry: Entry, found: str) -> None:
    if found == entry.digest:
        result.same.append(entry.reference)
    elif entry.digest:
        result.other[entry.reference] = found
    else:
        result.new[entry.reference] = found


def _write(path: Path, digests: dict[str, str]) -> None:
    """Change lines and no others, so that comments and order stay; the file is replaced whole."""
    blocks = re.split(r"(?m)^(?=\[\[image\]\])", path.read_text(encoding="utf-8"))
    for number, block in enumerate(blocks):
        match = re.search(r'(?m)^reference\s*=\s*"([^"]+)"', block)
        if match and match[1] in digests:
            blocks[number] = _with(_with(block, "source", "the registry"), "digest", digests[match[1]])
    part = path.with_name(f".{path.name}.part")
    part.write_text("".join(blocks), encoding="utf-8")
    part.replace(path)


def _with(block: str, key: str, value: str) -> str:
    line = f'{key} = "{value}"'
    changed, times = re.subn(rf'(?m)^{key}\s*=\s*"[^"]*"', lambda _match: line, block, count=1)
    if times:
        return changed
    return re.sub(r"(?m)^(reference\s*=.*)$", lambda match: f"{match[1]}\n{line}", block, count=1)
