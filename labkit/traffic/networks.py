"""Which program makes a cluster's pod network, by the traces that each leaves: its DaemonSet, or its nodes' annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.cluster import Cluster, ClusterError, ClusterUnreachable

# A DaemonSet's name, as each project's own manifests have it. Policy engines that stand beside a plain network come first:
# where Canal puts Calico's policies on Flannel's network, it is Calico that matters here.
_DAEMONSETS = {
    "canal": "Canal",
    "calico-node": "Calico",
    "cilium": "Cilium",
    "antrea-agent": "Antrea",
    "kube-router": "kube-router",
    "ovnkube-node": "OVN-Kubernetes",
    "kube-ovn-cni": "Kube-OVN",
    "weave-net": "Weave Net",
    "kindnet": "kindnet",
    "aws-node": "Amazon VPC CNI",
    "azure-cns": "Azure CNI",
    "kube-flannel-ds": "Flannel",
    "kube-flannel": "Flannel",
}
# What agents write onto their Node; for those that run without a DaemonSet (k3s has Flannel inside).
_ANNOTATIONS = {
    "projectcalico.org/": "Calico",
    "network.cilium.io/": "Cilium",
    "k8s.ovn.org/": "OVN-Kubernetes",
    "flannel.alpha.coreos.com/": "Flannel",
}
# Whoever writes here decides how pods are connected (https://github.com/containernetworking/cni).
_CNI_FOLDERS = ("/etc/cni", "/opt/cni")


@dataclass(frozen=True, slots=True)
class Network:
    """The pod network of a cluster.

    `name`: "" where nothing tells. `known`: whether it is one that we know by name. `traces`: what told, such as
    "DaemonSet kube-system/kindnet, image docker.io/kindest/kindnetd:v20250512-df8de77b"; they change when the network does.
    """

    name: str
    known: bool
    traces: tuple[str, ...]

    def __str__(self) -> str:
        return self.name or "unknown"


def network(cluster: Cluster) -> Network:
    """The network of a cluster, as far as it can be told from its objects. Raises ClusterUnreachable."""
    sets = _listed(cluster, "daemonsets.apps")
    named = [one for one in sets if one["metadata"]["name"] in _DAEMONSETS]
    if named:
        order = list(_DAEMONSETS)
        named.sort(key=lambda one: order.index(one["metadata"]["name"]))
        name = _DAEMONSETS[named[0]["metadata"]["name"]]
        return Network(name, True, tuple(_trace(one) for one in named))
    nodes = _listed(cluster, "nodes")
    for prefix, name in _ANNOTATIONS.items():
        for node in nodes:
            if any(key.startswith(prefix) for key in node["metadata"].get("annotations") or {}):
                return Network(name, True, (f"annotations {prefix}... of node {node['metadata']['name']}",))
    strangers = [one for one in sets if _writes_cni(one)]
    return Network(
        ", ".join(one["metadata"]["name"] for one in strangers),
        False,
        tuple(_trace(one) for one in strangers),
    )


def _listed(cluster: Cluster, kind: str) -> list[dict[str, Any]]:
    """Objects of a kind; none where the cluster has no such kind, or lets us see none."""
    try:
        return cluster.list(kind)
    except ClusterUnreachable:
        raise
    except ClusterError:
        return []


def _writes_cni(daemonset: Mapping[str, Any]) -> bool:
    volumes: Iterable[Mapping[str, Any]] = daemonset["spec"]["template"]["spec"].get("volumes") or ()
    paths = ((volume.get("hostPath") or {}).get("path", "") for volume in volumes)
    return any(path.startswith(_CNI_FOLDERS) for path in paths)


def _trace(daemonset: Mapping[str, Any]) -> str:
    meta, pod = daemonset["metadata"], daemonset["spec"]["template"]["spec"]
    images = ", ".join(dict.fromkeys(one.get("image", "") for one in pod["containers"]))
    return f"DaemonSet {meta['namespace']}/{meta['name']}, image {images}"
