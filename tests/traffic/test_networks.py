"""A cluster's network is named by what it leaves in the cluster; where nothing tells, nothing is claimed."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.cluster import ClusterUnreachable, Denied, NotFound
from labkit.traffic.networks import network


class Objects:
    """A double of a cluster: DaemonSets and Nodes, or the error that asking for them gives."""

    def __init__(self, daemonsets: list[Any] | Exception = (), nodes: list[Any] | Exception = ()) -> None:  # type: ignore[assignment]
        self.kinds = {"daemonsets.apps": daemonsets, "nodes": nodes}

    def list(self, kind: str) -> Any:
        found = self.kinds[kind]
        if isinstance(found, Exception):
            raise found
        return list(found)


def daemonset(name: str, image: str = "some/image:1", path: str = "") -> dict[str, Any]:
    volumes = [{"name": "cni", "hostPath": {"path": path}}] if path else []
    return {
        "metadata": {"namespace": "kube-system", "name": name},
        "spec": {"template": {"spec": {"containers": [{"name": "one", "image": image}], "volumes": volumes}}},
    }


def node(**annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": "one", "annotations": annotations}}


PROXY = daemonset("kube-proxy", path="/lib/modules")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["kindnet"], "kindnet"),
        (["calico-node"], "Calico"),
        (["cilium", "cilium-envoy"], "Cilium"),
        (["kube-flannel-ds"], "Flannel"),
        (["kube-flannel-ds", "calico-node"], "Calico"),  # who enforces is the one that matters
        (["canal"], "Canal"),
    ],
)
def test_a_known_network_is_named_by_its_daemonset(names: list[str], expected: str) -> None:
    found = network(Objects([PROXY, *map(daemonset, names)]))  # type: ignore[arg-type]
    assert (found.name, found.known) == (expected, True)


def test_the_traces_tell_one_release_of_a_network_from_another() -> None:
    found = network(Objects([daemonset("kindnet", "docker.io/kindest/kindnetd:v20240202-8f1494ea")]))  # type: ignore[arg-type]
    assert found.traces == ("DaemonSet kube-system/kindnet, image docker.io/kindest/kindnetd:v20240202-8f1494ea",)  # fmt: skip


def test_a_network_without_a_daemonset_is_named_by_what_it_writes_onto_its_nodes() -> None:
    k3s = Objects([PROXY], [node(**{"flannel.alpha.coreos.com/backend-type": "vxlan"})])
    assert str(network(k3s)) == "Flannel"  # type: ignore[arg-type]


def test_an_unknown_one_is_named_by_the_daemonset_that_writes_cni_configuration() -> None:
    found = network(Objects([PROXY, daemonset("offline-cni", path="/etc/cni/net.d")], [node()]))  # type: ignore[arg-type]
    assert (found.name, found.known) == ("offline-cni", False)


@pytest.mark.parametrize("problem", [NotFound("no such kind", code=404), Denied("no", code=403)])
def test_where_nothing_can_be_seen_nothing_is_claimed(problem: Exception) -> None:
    found = network(Objects(problem, problem))  # type: ignore[arg-type]
    assert (found.name, found.known, found.traces) == ("", False, ())
    assert str(found) == "unknown"


def test_a_cluster_that_does_not_answer_is_not_a_network_without_traces() -> None:
    with pytest.raises(ClusterUnreachable):
        network(Objects(ClusterUnreachable("down")))  # type: ignore[arg-type]
