"""Building: base + stand-ins → one archive with an image for every reference that the lab's chapters name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit.pocket import images as standins_of_pocket

from . import base, layers, packing, standins
from .errors import ImageError
from .reference import canonical


@dataclass(frozen=True, slots=True)
class Built:
    """What was built: the archive, its size in bytes, and reference (in full) → digest of its image."""

    file: Path
    size: int
    platform: str
    base: str
    digests: dict[str, str]


def build(
    file: Path,
    references: Iterable[str],
    *,
    on: str | None = None,
    platform: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Built:
    """Write an archive of stand-ins for these references to `file`.

    on: the base as `base.find` takes it. platform: as "linux/arm64" (default: this machine's). No engine is needed, and the
    same base, references and labkit give the same bytes. Raises ImageError.
    """
    say = progress or (lambda _line: None)
    chosen = {canonical(name): standins_of_pocket.find(name) for name in references}
    unknown = sorted(name for name, image in chosen.items() if image is None)
    if unknown:
        raise ImageError(
            f"There is no stand-in for {', '.join(unknown)}. There are some for: {', '.join(standins_of_pocket.known())}"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".images-", dir=file.parent) as folder:
        work = Path(folder)
        ground = base.find(on, platform, work)
        version = ".".join(map(str, ground.version))
        say(f"Base: {ground.title} ({ground.platform}, Python {version})")
        common = layers.write(standins.common_tree(ground), work / "common.tar")
        whole = []
        for number, image in enumerate(standins_of_pocket.images()):
            names = tuple(name for name, each in chosen.items() if each is image)
            if names:
                top = layers.write(standins.image_tree(image, ground), work / f"top-{number}.tar")
                stack = (*ground.layers, common, top)
                whole.append(packing.Image(names, standins.config(image, ground, stack), stack))
        digests = packing.write(whole, file)
    say(f"{len(digests)} references to {len(whole)} stand-ins, {file.stat().st_size / 1e6:.0f} MB")
    return Built(file, file.stat().st_size, ground.platform, ground.title, digests)
