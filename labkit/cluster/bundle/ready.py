"""What loaded boxes have for a new cluster: the node image, and the images of the chapters, put onto its nodes."""

from __future__ import annotations

from collections.abc import Callable

from labkit.cluster.images import loaded, loading
from labkit.cluster.tools import Cache

from .contents import BoxedImage, Contents, from_json
from .errors import BoxError
from .imagearchives import is_whole, work_folder, write_archive


def loaded_boxes(cache: Cache | None = None) -> list[Contents]:
    """The lists of contents of all boxes loaded on this machine, the newest last."""
    folder = (cache or Cache.default()).root / "boxes"
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            found.append(from_json(path.read_bytes(), str(path)))
        except BoxError:
            continue  # of another release of labkit: nothing to use here
    return sorted(found, key=lambda contents: contents.created)


def loaded_images(cache: Cache | None = None) -> list[BoxedImage]:
    """The chapters' images that boxes brought and that are whole, each once: of two boxes that have one, the newer one's."""
    cache = cache or Cache.default()
    found: dict[str, BoxedImage] = {}
    for contents in loaded_boxes(cache):
        for image in contents.images:
            if not image.node and is_whole(image, cache):
                found |= dict.fromkeys(image.references, image)
    return list(dict.fromkeys(found.values()))


def load_into(kind_name: str, *, progress: Callable[[str], None] | None = None) -> list[str]:
    """Put the boxes' images that a kind cluster lacks onto all its nodes, and write down in the cluster which they are.

    kind_name: kind's own name of the cluster. Gives the references; does nothing where no box was loaded. Raises ClusterError.
    """
    cache = Cache.default()
    images = loaded_images(cache)
    if not images:
        return []
    with loading.connected(kind_name) as cluster:
        known = {name for name, one in loaded.read(cluster).items() if one.origin == loaded.BUNDLE}
    missing = [image for image in images if not known.issuperset(image.references)]
    if not missing:
        return []
    with work_folder(cache) as work:
        archive = work / "images of the box.tar"
        write_archive(missing, cache, archive)
        done = loading.load(archive, kind_name, origin=loaded.BUNDLE, progress=progress)
    return [one.reference for one in done]
