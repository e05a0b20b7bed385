"""Which cluster a notebook works on, and which part of it a chapter looks at."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from labkit.policy import ObjectKey, World

# Set by `labkit lab` where this machine can run no cluster; its value is the reason, for the learner to read.
PAPER = "LABKIT_PAPER"


def connect() -> Any:
    """The cluster to learn on: KUBECONFIG's, if it looks like a lab cluster; else a running one of the lab's own.

    On paper where the lab was opened without any cluster. Raises ClusterError with what to do: NotALab for a cluster
    that nobody should play with, ClusterUnreachable where nothing runs.
    """
    if why := os.environ.get(PAPER):
        from labkit.cluster.paper import PaperCluster

        return PaperCluster(why)
    from labkit.cluster import Cluster, ClusterUnreachable, providers

    if os.environ.get("KUBECONFIG"):
        return providers.connect_existing()
    wanted = os.environ.get("LABKIT_CLUSTER")
    for provider in providers.names():
        for found in providers.get(provider).list():
            if found.running and found.kubeconfig and wanted in (None, found.name):
                return Cluster.connect(found.kubeconfig, found.context)
    raise ClusterUnreachable(
        "No cluster is running. Start one in a terminal with `labkit up`, then run this cell again."
    )


def default_namespaces(world: World, namespaces: Iterable[str]) -> World:
    """The world without the namespaces that are none of the chapter's business, so that pictures show what matters."""
    kept = set(namespaces)
    return world.without(*(ObjectKey("Namespace", "", name) for name in world.namespaces if name not in kept))
