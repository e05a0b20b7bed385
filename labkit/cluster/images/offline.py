"""A cluster that need not pull: the stand-ins for all images of the table that its nodes lack, built and loaded."""

from __future__ import annotations

from collections.abc import Callable

from labkit.cluster.places import cache_folder

from . import loaded, table
from .building import build
from .loaded import Loaded
from .loading import connected, load
from .reference import canonical


def provide(
    kind_name: str, progress: Callable[[str], None] | None = None, *, base: str | None = None
) -> list[Loaded]:
    """Build and load stand-ins for the images of `clusters/images.toml` into a kind cluster (kind's own name for it).

    Real images that were loaded, or that every node has, are left alone; what was loaded before in the same form is not loaded
    again. base: as for `build` (default: this machine's own Python). Returns what was loaded. Raises ClusterError.
    """
    with connected(kind_name) as cluster:
        known = loaded.read(cluster)
        nodes = loaded.nodes(cluster)
    ours = {name for name, image in known.items() if image.origin == loaded.STAND_IN}
    real = (loaded.on_all(nodes) | set(known)) - ours
    wanted = [name for name in table.read().with_stand_in if canonical(name) not in real]
    if not wanted:
        return []
    platform = f"linux/{nodes[0]['status']['nodeInfo']['architecture']}" if nodes else None
    file = cache_folder() / "images" / f"stand-ins-{(platform or 'linux').replace('/', '-')}.tar"
    built = build(file, wanted, on=base, platform=platform, progress=progress)
    if all(name in known and known[name].digest == digest for name, digest in built.digests.items()):
        return []
    return load(file, kind_name, progress=progress)
