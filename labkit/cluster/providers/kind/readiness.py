"""When a fresh cluster can be worked with: its API answers, its nodes are ready, names resolve, pods have an account."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import ClusterError, WaitTimeout
from labkit.cluster.steps import Steps

_LEASES = "kube-node-lease"
_PAUSE = 0.5  # seconds between two questions to an API that does not answer yet


def until_ready(
    kubeconfig: Path,
    context: str,
    nodes: int,
    timeout: float,
    steps: Steps,
    *,
    own_network: bool = True,
    woken: bool = False,
) -> None:
    """Wait for all that; without a network of its own (`own_network` False) only for the API and the nodes' registration.

    `woken`: the cluster was there before, and what it says of its nodes may be what it knew then.

    Raises ClusterUnreachable, WaitTimeout with what is missing: the cluster stays as it is.
    """
    deadline = time.monotonic() + timeout
    steps.begin("Waiting for the API to answer")
    cluster = Cluster.connect(kubeconfig, context)
    try:
        _answer(cluster, deadline)
        if woken:
            _heard_of_nodes(cluster, deadline)
        cluster.wait("serviceaccounts", "default", namespace="default", timeout=_left(deadline))
        steps.begin(f"Waiting for {nodes} node{'s' if nodes > 1 else ''}")
        if not own_network:
            _nodes(cluster, nodes, deadline, lambda _node: True)
            steps.warn(
                "The nodes stay NotReady until a network is installed, since the configuration leaves out kind's own"
                " (disableDefaultCNI): labkit install calico"
            )
            return
        _nodes(cluster, nodes, deadline, _ready)
        steps.begin("Waiting for cluster DNS")
        cluster.wait("deployments", "coredns", namespace="kube-system", timeout=_left(deadline))
    except WaitTimeout as late:
        raise WaitTimeout(
            f"The cluster of context {context} runs, but is not ready after {timeout:g} s: {late}\n"
            f"It is kept, so that you can look: kubectl --kubeconfig {kubeconfig} get nodes,pods -A -o wide",
            late.last,
        ) from None
    finally:
        cluster.close()


def _nodes(cluster: Cluster, count: int, deadline: float, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until there are so many nodes and all of them are as they should be."""
    while True:
        found = cluster.wait("nodes", condition=holds, timeout=_left(deadline))
        if len(found) >= count:
            return
        if time.monotonic() >= deadline:
            raise WaitTimeout(f"{len(found)} of {count} nodes have registered", found[0] if found else None)
        time.sleep(_PAUSE)


def _ready(node: dict[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _answer(cluster: Cluster, deadline: float) -> None:
    """Wait until the API answers, and lets us in: for a while after its start it does not know yet who may do what."""
    while True:
        try:
            cluster.version()
            return
        except ClusterError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE)


def _heard_of_nodes(cluster: Cluster, deadline: float) -> None:
    """Wait until every node has renewed its lease (a kubelet does every 10 s): then what is said of it is new."""
    before = {lease["metadata"]["name"]: _renewed(lease) for lease in cluster.list("leases", _LEASES)}

    def renewed(lease: dict[str, Any]) -> bool:
        return _renewed(lease) != before.get(lease["metadata"]["name"])

    cluster.wait("leases", namespace=_LEASES, condition=renewed, timeout=_left(deadline))


def _renewed(lease: dict[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("renewTime", ""))


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
