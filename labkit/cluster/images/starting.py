"""Waiting for pods whose images were pinned, where they may lie on the nodes by their tags without anybody having said so.

`kind load` tells nobody, and a node reports its images a minute or two late; until then `pinned` asks for a digest that no node
has and, without internet, no node can pull.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labkit.cluster.errors import CannotStart, ClusterError

from .loaded import ENGINE, Loaded, record
from .pinning import pinned_names

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster


def wait_ready(
    cluster: Cluster,
    manifest: Any,
    *,
    by_tag: Callable[[], object],
    progress: Callable[[str], None],
    timeout: float,
) -> None:
    """Wait for what was applied of `pinned(manifest)`. What cannot start is tried once more as the manifest names it.

    manifest: text or objects, with tags. `by_tag` applies it as it is. When that helps, it is written down in the cluster, so
    that the next `pinned` knows it. Raises what `Cluster.wait_ready` raises; of two failures, the first.
    """
    try:
        cluster.wait_ready(manifest, timeout=timeout, progress=progress)
    except CannotStart as problem:
        asked = pinned_names(manifest, cluster)
        if not asked:
            raise
        progress("An image cannot be pulled; looking whether the nodes have it by its tag ...")
        by_tag()
        try:
            cluster.wait_ready(manifest, timeout=timeout, progress=progress)
        except ClusterError:
            raise problem from None
        record(cluster, [Loaded(name, ENGINE) for name in asked])
