"""What is in a box: its `manifest.json` as data. It comes first in the tar, so that a box is listed without reading all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .errors import BoxError

FORMAT = "labkit-box/1"
NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the box. `kind`: tool, manifest, image, layer, wheel, lab, install. `checked_by`: how, when the box was made."""

    path: str
    size: int
    sha256: str
    kind: str
    title: str
    checked_by: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class BoxedLayer:
    """A layer of an image: which part has it, of which type, and the digest of the tar within."""

    part: str
    diff_id: str
    media_type: str


@dataclass(frozen=True, slots=True)
class BoxedImage:
    """An image for one platform. `digest`: upstream's, by which it was pulled; "" for one that only had a tag.

    `origin`: "registry", or "engine" for one that was taken as this machine's engine had it.
    """

    references: tuple[str, ...]
    digest: str
    origin: str
    config: str
    layers: tuple[BoxedLayer, ...]
    node: bool = False


@dataclass(frozen=True, slots=True)
class Contents:
    """The whole list. `platform`: of the laptops that it is for; their containers are Linux on the same processor."""

    created: str
    made_by: Mapping[str, str]
    platform: str
    chapters: tuple[str, ...]
    parts: tuple[Part, ...]
    images: tuple[BoxedImage, ...]
    python: str = ""

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)

    def part(self, path: str) -> Part:
        """A part by its path. Raises BoxError."""
        for one in self.parts:
            if one.path == path:
                return one
        raise BoxError(f"the box's list of contents names {path} and does not have it")

    def to_json(self) -> bytes:
        """As `manifest.json`."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode()


def from_json(text: bytes | str, where: str) -> Contents:
    """A box's `manifest.json`. `where` is for the message. Raises BoxError."""
    try:
        data: dict[str, Any] = json.loads(text)
        if data.pop("format") != FORMAT:
            raise BoxError(f"{where} is a box of another release of labkit; this one reads {FORMAT}.")
        data["parts"] = tuple(Part(**one) for one in data["parts"])
        data["images"] = tuple(_image(one) for one in data["images"])
        data["chapters"] = tuple(data["chapters"])
        return Contents(**data)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise BoxError(f"{where} is not a box, or its list of contents is damaged.") from None


def _image(one: dict[str, Any]) -> BoxedImage:
    layers = tuple(BoxedLayer(**layer) for layer in one.pop("layers"))
    return BoxedImage(tuple(one.pop("references")), layers=layers, **one)
