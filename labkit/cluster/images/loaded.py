"""What was loaded into a cluster, written down in the cluster: ConfigMap kube-system/labkit-images.

Its key `images.json` holds {reference in full: {"origin", "digest"}}. Who reads it knows which images need no pull, and which
of them are stand-ins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit.cluster.errors import ClusterError, ClusterUnreachable

from .reference import canonical

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster

NAMESPACE, NAME, KEY = "kube-system", "labkit-images", "images.json"
STAND_IN, BUNDLE, ENGINE = "stand-in", "bundle", "engine"


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image in a cluster. `origin`: "stand-in", "bundle" (an archive of real images) or "engine" (from this machine's)."""

    reference: str
    origin: str
    digest: str = ""
    size: int = 0


def read(cluster: Cluster) -> dict[str, Loaded]:
    """What was loaded, by reference in full; nothing where nothing was, or where it cannot be read. Raises ClusterUnreachable."""
    try:
        found = cluster.get("ConfigMap", NAME, NAMESPACE)
    except ClusterUnreachable:
        raise
    except ClusterError:
        return {}  # this user may not look there
    try:
        data = json.loads((found or {}).get("data", {}).get(KEY, "{}"))
        return {
            name: Loaded(name, str(each["origin"]), str(each.get("digest", "")), int(each.get("size", 0)))
            for name, each in data.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}  # somebody's own ConfigMap of that name


def record(cluster: Cluster, images: Iterable[Loaded]) -> None:
    """Add images to what is written down; those of the same reference are replaced. Raises ClusterError."""
    known = read(cluster) | {canonical(image.reference): image for image in images}
    data = {
        name: {"origin": each.origin, "digest": each.digest, "size": each.size}
        for name, each in sorted(known.items())
    }
    cluster.apply(
        {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "labkit"}},
            "data": {KEY: json.dumps(data, indent=1)},
        },
        "what labkit has loaded",
    )  # fmt: skip


def nodes(cluster: Cluster) -> list[dict[str, Any]]:
    """The cluster's nodes; none where this user may not see them. Raises ClusterUnreachable."""
    try:
        return cluster.list("nodes")
    except ClusterUnreachable:
        raise
    except ClusterError:
        return []


def on_all(nodes: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """References (in full, by tag) that every node says it has. A node says so a minute or two late, and names 50 at most."""
    names = [
        {
            canonical(name)
            for image in node.get("status", {}).get("images") or []
            for name in image.get("names") or []
            if "@" not in name
        }
        for node in nodes
    ]
    return frozenset.intersection(*map(frozenset, names)) if names else frozenset()
