"""`clusters/images.toml` as data: which images the lab uses, by which digest, and where that was read."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from labkit.cluster.places import clusters_folder
from labkit.pocket import images as standins

from .errors import ImageError
from .reference import Reference, canonical

DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_FIELDS = {"reference", "digest", "source", "used"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One image: `reference` as manifests write it, `digest` of its index ("" when not known), who uses it."""

    reference: str
    digest: str = ""
    source: str = ""
    used: tuple[str, ...] = ()

    @property
    def pinned(self) -> str:
        """The reference to pull: with the digest where there is one. The same spelling as in the manifest."""
        return f"{self.reference}@{self.digest}" if self.digest else self.reference

    @property
    def stand_in(self) -> str:
        """What the stand-in of this image says of itself; "" when there is none."""
        image = standins.find(self.reference)
        return image.note if image else ""


@dataclass(frozen=True, slots=True)
class Table:
    """All images, and the file that they were read from."""

    entries: tuple[Entry, ...]
    path: Path

    def find(self, reference: str) -> Entry | None:
        """The entry for a reference in any spelling, with or without a digest; None when the table has none."""
        wanted = str(Reference.parse(reference).tagged)
        return next((entry for entry in self.entries if canonical(entry.reference) == wanted), None)

    @property
    def with_stand_in(self) -> tuple[str, ...]:
        """The references that can be played by a stand-in."""
        return tuple(entry.reference for entry in self.entries if entry.stand_in)


def read(path: Path | None = None) -> Table:
    """The table of this checkout, or of a file. Raises ImageError that names the file and the entry."""
    where = path or clusters_folder() / "images.toml"
    try:
        with where.open("rb") as file:
            found = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as problem:
        raise ImageError(f"{where} cannot be read: {problem}") from None
    entries = tuple(_entry(each, where) for each in found.get("image", []))
    names = [canonical(entry.reference) for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ImageError(f"{where} has {', '.join(twice)} more than once.")
    return Table(entries, where)


def _entry(each: dict[str, object], where: Path) -> Entry:
    reference, digest = str(each.get("reference", "")), str(each.get("digest", ""))
    if "@" in reference or standins.repository(reference) == reference:
        raise ImageError(
            f"{where}: an image needs a reference with a tag, and without a digest: {reference!r}"
        )
    if digest and not DIGEST.match(digest):
        raise ImageError(
            f"{where}: the digest of {reference} is no sha256: and 64 hexadecimal digits: {digest!r}"
        )
    if unknown := sorted(set(each) - _FIELDS):
        raise ImageError(f"{where}: {reference} has {', '.join(unknown)}, which nobody reads.")
    used = each.get("used", [])
    return Entry(
        reference,
        digest,
        str(each.get("source", "")),
        tuple(map(str, used)) if isinstance(used, list) else (),
    )
