"""A kind cluster as the container engine sees it: containers with kind's labels, and the network they share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.cluster.errors import ClusterError
from labkit.cluster.providers.engine import Engine

# kind's own labels: pkg/cluster/internal/providers/docker/constants.go
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
NETWORK = "kind"


@dataclass(frozen=True, slots=True)
class Node:
    """A container that is a node."""

    name: str
    cluster: str
    role: str
    running: bool
    image: str

    def __str__(self) -> str:
        return f"{self.name} ({self.role}, {'running' if self.running else 'stopped'})"


def nodes(engine: Engine, cluster: str = "") -> list[Node]:
    """The nodes of a cluster (kind's name for it), or of all; control planes first. Raises ClusterError."""
    label = f"label={CLUSTER_LABEL}" + (f"={cluster}" if cluster else "")
    listed = engine.run("ps", "-a", "--filter", label, "--format", "{{.Names}}").stdout.split()
    if not listed:
        return []
    # A container may go between the two questions: what is left is still told on standard output.
    told = json.loads(engine.run("inspect", *listed, check=False).stdout or "[]")
    return sorted((_node(one) for one in told), key=lambda node: (node.role, node.name))


def remove(engine: Engine, found: Iterable[Node]) -> None:
    """End and remove nodes with their volumes, as `kind delete cluster` does. Raises ClusterError."""
    names = [node.name for node in found]
    if names:
        engine.run("rm", "-f", "-v", *names, seconds=120)


def start(engine: Engine, found: Sequence[Node]) -> None:
    """Start stopped nodes, control planes first: they then have the best chance to get the addresses they had."""
    for node in found:
        if not node.running:
            engine.run("start", node.name)


def network_is_there(engine: Engine) -> bool:
    """Whether the engine has kind's network already."""
    return NETWORK in engine.run("network", "ls", "--format", "{{.Name}}").stdout.split()


def remove_network(engine: Engine) -> bool:
    """Remove kind's network if nobody uses it; whether it is gone."""
    if nodes(engine):
        return False
    if not network_is_there(engine):
        return True
    try:
        engine.run("network", "rm", NETWORK)
    except ClusterError:  # somebody's container is in it
        return False
    return True


def _node(told: dict[str, Any]) -> Node:
    config = told.get("Config") or {}
    labels = config.get("Labels") or {}
    return Node(
        name=str(told["Name"]).lstrip("/"),
        cluster=labels.get(CLUSTER_LABEL, ""),
        role=labels.get(ROLE_LABEL, ""),
        running=bool((told.get("State") or {}).get("Running")),
        image=str(config.get("Image") or ""),
    )
