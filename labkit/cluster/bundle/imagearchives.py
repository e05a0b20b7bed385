"""Image archives out of the layers that boxes brought: of one platform, each layer once, as `kind load` wants them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from labkit.cluster.images.layers import Layer
from labkit.cluster.images.packing import Image, write
from labkit.cluster.tools import Cache
from labkit.cluster.tools.cache import writing
from labkit.cluster.tools.checksums import sha256_of

from .contents import BoxedImage
from .errors import DamagedBox


@contextmanager
def work_folder(cache: Cache) -> Iterator[Path]:
    """A folder for an archive while it is needed; in the cache, since a machine's /tmp may be small. Raises CannotKeep."""
    parts = cache.root / "parts"
    with writing(cache.root):
        parts.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parts, prefix="archive-") as work:
        yield Path(work)


def is_whole(image: BoxedImage, cache: Cache) -> bool:
    """Whether all that belongs to an image is in the cache."""
    return all(path.is_file() for path in _files(image, cache))


def write_archive(images: Sequence[BoxedImage], cache: Cache, file: Path) -> dict[str, str]:
    """Write the images as one archive; gives reference (in full) → digest of its manifest in it.

    Raises DamagedBox, CannotKeep.
    """
    layers: dict[str, Layer] = {}
    written = []
    for image in images:
        if missing := [path for path in _files(image, cache) if not path.is_file()]:
            raise DamagedBox(f"{missing[0]} is gone, which {image.references[0]} needs. Load the box again.")
        for one in image.layers:
            if one.part not in layers:
                path = _place(one.part, cache)
                digest = f"sha256:{sha256_of(path)}"
                layers[one.part] = Layer(path, digest, one.diff_id, path.stat().st_size, one.media_type)
        config = json.loads(_place(image.config, cache).read_bytes())
        written.append(Image(image.references, config, tuple(layers[one.part] for one in image.layers)))
    with writing(cache.root):
        return write(written, file)


def _files(image: BoxedImage, cache: Cache) -> list[Path]:
    return [_place(name, cache) for name in (image.config, *(one.part for one in image.layers))]


def _place(part: str, cache: Cache) -> Path:
    return cache.root / "layers" / part.rpartition("/")[2]
