"""World: a snapshot of the objects that decide traffic, the only input of `policy`.

A world never changes; `replace` and `without` give new ones, for "what if" questions, and share what stayed
the same.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .bits import PodIndex
from .mesh.meshconfig import MeshConfig
from .mesh.objects import KINDS as MESH_KINDS
from .mesh.objects import MeshObject, is_mesh_config, read_mesh_config, read_mesh_object
from .model import (
    Address,
    EndpointSlice,
    Namespace,
    Node,
    ObjectKey,
    Pod,
    Service,
    WorldError,
    parse_address,
    read_endpoint_slice,
    read_namespace,
    read_node,
    read_pod,
    read_service,
)
from .networkpolicy import CompiledPolicy, compile_policy
from .yamlseam import SourcedObject, SourceMap

if TYPE_CHECKING:
    from .mesh.view import MeshView

_KINDS = {
    "Namespace": ("v1",),
    "Pod": ("v1",),
    "Service": ("v1",),
    "Node": ("v1",),
    "EndpointSlice": ("discovery.k8s.io/v1",),
    # Calico's own policy has the same kind in another group.
    "NetworkPolicy": ("networking.k8s.io/v1",),
    **MESH_KINDS,
}
_READERS: Mapping[str, Callable[[Mapping[str, Any], str], Any]] = {
    "Pod": read_pod,
    "Service": read_service,
    "EndpointSlice": read_endpoint_slice,
}
# Where the addresses of imagined pods come from: the far end of the pod network that kubeadm, kind and
# pocket use.
_ASSUMED_IPV4 = int(ipaddress.IPv4Address("10.244.255.254"))
_ASSUMED_NODE = ipaddress.ip_address("192.0.2.1")


class World:
    """Namespaces, pods, services, nodes and compiled policies, each a mapping from "namespace/name" (or
    "name").
    """

    def __init__(
        self,
        objects: Mapping[str, Mapping[str, Any]],
        externals: tuple[str, ...] = (),
        mesh_config: MeshConfig | None = None,
    ) -> None:
        """Objects that are read already, by kind and path; `from_objects` is the way in."""
        pods: Mapping[str, Pod] = objects.get("Pod", {})
        nodes: Mapping[str, Node] = objects.get("Node", {})
        self.namespaces: Mapping[str, Namespace] = MappingProxyType(
            _with_implied(objects.get("Namespace", {}), pods)
        )
        self.pods: Mapping[str, Pod] = MappingProxyType(_with_addresses(pods, nodes))
        self.services: Mapping[str, Service] = MappingProxyType(dict(objects.get("Service", {})))
        self.endpoint_slices: Mapping[str, EndpointSlice] = MappingProxyType(
            dict(objects.get("EndpointSlice", {}))
        )
        self.nodes: Mapping[str, Node] = MappingProxyType(dict(nodes))
        self.policies: Mapping[str, CompiledPolicy] = MappingProxyType(dict(objects.get("NetworkPolicy", {})))
        self.mesh_objects: Mapping[str, Mapping[str, MeshObject]] = MappingProxyType(
            {kind: MappingProxyType(dict(objects.get(kind, {}))) for kind in MESH_KINDS}
        )
        self.mesh_config = mesh_config or MeshConfig()
        self.externals = externals

    @classmethod
    def from_objects(
        cls,
        objects: Iterable[Mapping[str, Any] | SourcedObject],
        sources: Mapping[ObjectKey, SourceMap] | None = None,
        *,
        default_namespace: str = "default",
        externals: Iterable[str] = (),
    ) -> World:
        """Read Namespaces, Pods, Services, EndpointSlices, Nodes, NetworkPolicies and the kinds of a mesh.

        Other kinds are passed over, but for the ConfigMap with the mesh's settings.

        A later object replaces an earlier one of the same key. `externals` are addresses outside the
        cluster that tables should show. Raises PolicyError for a policy that no API server accepts,
        WorldError for other objects that cannot be read.
        """
        return cls({}, _external_addresses(externals)).replace(
            *objects, sources=sources, default_namespace=default_namespace
        )

    def replace(
        self,
        *objects: Mapping[str, Any] | SourcedObject,
        sources: Mapping[ObjectKey, SourceMap] | None = None,
        default_namespace: str = "default",
    ) -> World:
        """The world with these objects added, or put in the place of those with the same key."""
        parts = {kind: dict(items) for kind, items in self._parts().items()}
        mesh_config = self.mesh_config
        for item in objects:
            obj, source = (item.object, item.source) if isinstance(item, SourcedObject) else (item, None)
            kind = str(obj.get("kind"))
            if is_mesh_config(obj):
                mesh_config = read_mesh_config(obj)
            versions = _KINDS.get(kind)
            if versions is None or obj.get("apiVersion", versions[0]) not in versions:
                continue
            key = ObjectKey.of(obj, default_namespace)
            if not key.name:
                raise WorldError(f"a {kind} has no metadata.name")
            if kind == "NetworkPolicy":
                source = source or (sources or {}).get(key)
                parts[kind][key.path] = compile_policy(obj, source, default_namespace=default_namespace)
            elif kind in MESH_KINDS:
                source = source or (sources or {}).get(key)
                parts[kind][key.path] = read_mesh_object(obj, source, default_namespace=default_namespace)
            elif kind in ("Namespace", "Node"):
                parts[kind][key.path] = read_namespace(obj) if kind == "Namespace" else read_node(obj)
            else:
                parts[kind][key.path] = _READERS[kind](obj, default_namespace)
        return self._derive(World(parts, self.externals, mesh_config))

    def without(self, *keys: ObjectKey) -> World:
        """The world without these objects. A namespace takes with it what is in it, as deleting it would."""
        gone = {(key.kind, key.path) for key in keys}
        emptied = {key.name for key in keys if key.kind == "Namespace"}

        parts = {
            kind: {
                path: item
                for path, item in items.items()
                if (kind, path) not in gone and getattr(item, "namespace", None) not in emptied
            }
            for kind, items in self._parts().items()
        }
        return self._derive(World(parts, self.externals, self.mesh_config))

    def with_externals(self, *addresses: str) -> World:
        """The world with these addresses outside the cluster, besides those it has."""
        merged = tuple(dict.fromkeys((*self.externals, *_external_addresses(addresses))))
        return self._derive(World(self._parts(), merged, self.mesh_config))

    def _parts(self) -> dict[str, Mapping[str, Any]]:
        return {
            "Namespace": self.namespaces,
            "Pod": self.pods,
            "Service": self.services,
            "EndpointSlice": self.endpoint_slices,
            "Node": self.nodes,
            "NetworkPolicy": self.policies,
            **self.mesh_objects,
        }

    def _derive(self, other: World) -> World:
        # An edit of a policy leaves the pods as they are: keep the index with the selector masks computed
        # so far.
        if "index" in self.__dict__ and other.namespaces == self.namespaces and other.pods == self.pods:
            other.__dict__["index"] = self.index
        return other

    @cached_property
    def mesh(self) -> MeshView:
        """The service mesh: which pods have a proxy, and what is compiled for them."""
        from .mesh.view import MeshView

        return MeshView(self)

    @cached_property
    def index(self) -> PodIndex:
        """The pods as bit sets, for tables."""
        return PodIndex(self.namespaces, tuple(pod for pod in self.pods.values() if pod.on_network))

    @cached_property
    def policies_by_namespace(self) -> Mapping[str, tuple[CompiledPolicy, ...]]:
        """The policies of each namespace that has some, by name."""
        result: dict[str, list[CompiledPolicy]] = {}
        for policy in sorted(self.policies.values(), key=lambda p: p.key):
            result.setdefault(policy.namespace, []).append(policy)
        return {namespace: tuple(policies) for namespace, policies in result.items()}

    @cached_property
    def _pods_by_ip(self) -> dict[Address, Pod]:
        return {
            ip: pod for pod in self.pods.values() if pod.on_network and not pod.host_network for ip in pod.ips
        }

    @cached_property
    def _services_by_ip(self) -> dict[Address, Service]:
        return {ip: service for service in self.services.values() for ip in service.cluster_ips}

    @cached_property
    def _nodes_by_ip(self) -> dict[Address, Node]:
        return {ip: node for node in self.nodes.values() for ip in node.ips}

    def pod_at(self, address: Address) -> Pod | None:
        """The pod that has this address now; host-network pods have their node's, so they are not found."""
        return self._pods_by_ip.get(address)

    def service_at(self, address: Address) -> Service | None:
        """The Service with this ClusterIP."""
        return self._services_by_ip.get(address)

    def node_at(self, address: Address) -> Node | None:
        """The node with this address."""
        return self._nodes_by_ip.get(address)

    def labels_of_namespace(self, name: str) -> Mapping[str, str]:
        """The labels of a namespace of this world."""
        return self.namespaces[name].labels

    def __repr__(self) -> str:
        return (
            f"World({len(self.namespaces)} namespaces, {len(self.pods)} pods, {len(self.services)} services, "
            f"{len(self.policies)} policies)"
        )


def _external_addresses(texts: Iterable[str]) -> tuple[str, ...]:
    result = []
    for text in texts:
        address = parse_address(text)
        if address is None:
            raise WorldError(f"{text!r} is not an IP address")
        result.append(str(address))
    return tuple(result)


def _with_implied(namespaces: Mapping[str, Namespace], pods: Mapping[str, Pod]) -> dict[str, Namespace]:
    result = dict(namespaces)
    for pod in pods.values():
        if pod.namespace not in result:
            plain = read_namespace({"kind": "Namespace", "metadata": {"name": pod.namespace}})
            result[pod.namespace] = Namespace(plain.name, plain.labels, implied=True)
    return result


def _with_addresses(pods: Mapping[str, Pod], nodes: Mapping[str, Node]) -> dict[str, Pod]:
    result = dict(pods)
    if all(pod.ips or not pod.assumed for pod in pods.values()):
        return result
    taken = {ip for pod in pods.values() for ip in pod.ips}
    following = _ASSUMED_IPV4
    for path, pod in pods.items():
        if pod.ips or not pod.assumed:
            continue
        if pod.host_network:
            node = nodes.get(pod.node) or (next(iter(nodes.values())) if len(nodes) == 1 else None)
            ips: tuple[Address, ...] = (node.ips if node else ()) or (_ASSUMED_NODE,)
        else:
            while ipaddress.IPv4Address(following) in taken:
                following -= 1
            ips = (ipaddress.IPv4Address(following),)
            following -= 1
        result[path] = replace(pod, ips=ips, assumed=True)
    return result
