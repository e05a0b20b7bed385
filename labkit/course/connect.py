"""Which cluster a notebook works on, and which part of it a chapter looks at."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from labkit.cluster.paper import PaperCluster
from labkit.policy import ObjectKey, World

# Set by `labkit lab` where this machine can run no cluster; its value is the reason, for the learner to read.
PAPER = "LABKIT_PAPER"


def connect() -> Any:
    """The cluster that KUBECONFIG or the running lab names; one on paper where the lab was opened without any."""
    if why := os.environ.get(PAPER):
        return PaperCluster(why)
    from labkit.cluster import Cluster

    return Cluster.connect()


def default_namespaces(world: World, namespaces: Iterable[str]) -> World:
    """The world without the namespaces that are none of the chapter's business, so that pictures show what matters."""
    kept = set(namespaces)
    return world.without(*(ObjectKey("Namespace", "", name) for name in world.namespaces if name not in kept))
