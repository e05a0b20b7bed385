"""What decides traffic, read once from Kubernetes objects: namespaces, pods, services, nodes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .flow import Family
from .labels import Selector
from .sidecar import NO_SIDECAR, Sidecar, read_sidecar

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
NAME_LABEL = "kubernetes.io/metadata.name"


class WorldError(ValueError):
    """An object that cannot be read, or a flow between things that are not in the world."""


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Which object: kind, namespace ("" for objects without one) and name."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, obj: Mapping[str, Any], default_namespace: str = "default") -> ObjectKey:
        """The key of a Kubernetes object; a missing metadata.namespace is what `kubectl apply` would put
        there.
        """
        kind = str(obj.get("kind") or "")
        metadata = obj.get("metadata") or {}
        namespace = (
            "" if kind in ("Namespace", "Node") else str(metadata.get("namespace") or default_namespace)
        )
        return cls(kind, namespace, str(metadata.get("name") or ""))

    @property
    def path(self) -> str:
        """ "namespace/name", or the name alone."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace; `implied` when only its pods or policies speak of it."""

    name: str
    labels: Mapping[str, str]
    implied: bool = False


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A port that a container declares. Declaring opens nothing; it gives the port a name."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. `assumed` when its addresses were made up because the object has no status (a pod that is
    imagined).
    """

    namespace: str
    name: str
    labels: Mapping[str, str]
    ips: tuple[Address, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    host_network: bool = False
    phase: str = "Running"
    node: str = ""
    ready: bool = True
    assumed: bool = False
    service_account: str = "default"
    sidecar: Sidecar = NO_SIDECAR

    @property
    def key(self) -> str:
        """ "namespace/name"."""
        return f"{self.namespace}/{self.name}"

    @property
    def ended(self) -> bool:
        """Succeeded or Failed: its address may already belong to another pod."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def on_network(self) -> bool:
        """Has an address and has not ended: can be an end of a flow and a peer."""
        return bool(self.ips) and not self.ended

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of its addresses, primary first."""
        return tuple(Family.of(ip.version) for ip in self.ips)

    def ip(self, family: Family) -> Address | None:
        """Its address of a family."""
        return next((ip for ip in self.ips if Family.of(ip.version) is family), None)

    def port_named(self, name: str, protocol: str) -> frozenset[int]:
        """The numbers of its container ports with this name and protocol."""
        return frozenset(p.port for p in self.ports if p.name == name and p.protocol == protocol)


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service; `target` is a number or the name of a container port. app_protocol None: not written."""

    port: int
    target: int | str
    protocol: str = "TCP"
    name: str = ""
    node_port: int = 0
    app_protocol: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A Service. `selector` None: its endpoints are not derived from pods."""

    namespace: str
    name: str
    selector: Selector | None
    ports: tuple[ServicePort, ...]
    cluster_ips: tuple[Address, ...] = ()
    headless: bool = False
    external_name: str = ""
    external_ips: tuple[Address, ...] = ()
    publish_not_ready: bool = False
    local_traffic_only: bool = False
    created: str = ""

    @property
    def key(self) -> str:
        """ "namespace/name"."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """The ready endpoints of a Service, as the cluster lists them; used for Services without a selector."""

    namespace: str
    name: str
    service: str
    addresses: tuple[Address, ...]
    ports: tuple[ContainerPort, ...]

    @property
    def key(self) -> str:
        """ "namespace/name"."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Node:
    """A node and its own addresses."""

    name: str
    ips: tuple[Address, ...] = ()


def read_namespace(obj: Mapping[str, Any]) -> Namespace:
    """Read a Namespace; the label with its name is there even when the YAML does not write it."""
    key = ObjectKey.of(obj)
    return Namespace(key.name, {**_labels(obj), NAME_LABEL: key.name})


def read_pod(obj: Mapping[str, Any], default_namespace: str = "default") -> Pod:
    """Read a Pod.

    An object without status is a pod as written in a manifest: it is taken for running, with addresses that
    the world makes up. A status without podIP is a pod that has no address yet.
    """
    key = ObjectKey.of(obj, default_namespace)
    spec, status = _mapping(obj, "spec"), _mapping(obj, "status")
    addresses = [item.get("ip") for item in status.get("podIPs") or () if isinstance(item, Mapping)]
    if not addresses and status.get("podIP"):
        addresses = [status["podIP"]]
    phase = str(status.get("phase") or ("Pending" if status and not addresses else "Running"))
    ready = next(
        (c.get("status") == "True" for c in status.get("conditions") or () if c.get("type") == "Ready"), True
    )
    return Pod(
        namespace=key.namespace,
        name=key.name,
        labels=_labels(obj),
        ips=_addresses(addresses, f"{key}: status.podIPs"),
        ports=tuple(_container_ports(spec)),
        host_network=bool(spec.get("hostNetwork")),
        phase=phase,
        node=str(spec.get("nodeName") or ""),
        ready=ready,
        assumed=not status,
        service_account=str(spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"),
        sidecar=read_sidecar(_labels(obj), _mapping(_mapping(obj, "metadata"), "annotations"), spec),
    )


def _container_ports(spec: Mapping[str, Any]) -> Iterable[ContainerPort]:
    # Named ports are looked up in containers and in restartable init containers (sidecars), never in init
    # containers that run to completion: pkg/api/v1/pod.FindPort.
    sidecars = (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")
    for container in (*(spec.get("containers") or ()), *sidecars):
        for port in container.get("ports") or ():
            yield ContainerPort(
                int(port.get("containerPort") or 0),
                str(port.get("name") or ""),
                str(port.get("protocol") or "TCP"),
                int(port.get("hostPort") or 0),
            )


def read_service(obj: Mapping[str, Any], default_namespace: str = "default") -> Service:
    """Read a Service."""
    key = ObjectKey.of(obj, default_namespace)
    spec = _mapping(obj, "spec")
    ips = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    balancer = _mapping(_mapping(obj, "status"), "loadBalancer").get("ingress") or ()
    external = [*(spec.get("externalIPs") or ()), *(item["ip"] for item in balancer if item.get("ip"))]
    selector = spec.get("selector")
    return Service(
        namespace=key.namespace,
        name=key.name,
        selector=Selector.from_labels(selector) if selector else None,
        ports=tuple(
            ServicePort(
                int(port["port"]),
                port.get("targetPort") or int(port["port"]),
                str(port.get("protocol") or "TCP"),
                str(port.get("name") or ""),
                int(port.get("nodePort") or 0),
                None if port.get("appProtocol") is None else str(port["appProtocol"]),
            )
            for port in spec.get("ports") or ()
        ),
        cluster_ips=_addresses([ip for ip in ips if ip != "None"], f"{key}: spec.clusterIPs"),
        headless="None" in ips,
        external_name=str(spec.get("externalName") or "") if spec.get("type") == "ExternalName" else "",
        external_ips=_addresses(external, f"{key}: external addresses"),
        publish_not_ready=bool(spec.get("publishNotReadyAddresses")),
        local_traffic_only=spec.get("externalTrafficPolicy") == "Local",
        created=str(_mapping(obj, "metadata").get("creationTimestamp") or ""),
    )


def read_endpoint_slice(obj: Mapping[str, Any], default_namespace: str = "default") -> EndpointSlice:
    """Read an EndpointSlice."""
    key = ObjectKey.of(obj, default_namespace)
    addresses = [
        address
        for endpoint in obj.get("endpoints") or ()
        # A missing condition counts as ready.
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint.get("addresses") or ()
    ]
    ports = tuple(
        ContainerPort(int(port["port"]), str(port.get("name") or ""), str(port.get("protocol") or "TCP"))
        for port in obj.get("ports") or ()
        if port.get("port")
    )
    service = _labels(obj).get("kubernetes.io/service-name", "")
    named = [address for address in addresses if parse_address(str(address)) is not None]
    return EndpointSlice(key.namespace, key.name, service, _addresses(named, str(key)), ports)


def read_node(obj: Mapping[str, Any]) -> Node:
    """Read a Node."""
    addresses = [
        item.get("address")
        for item in _mapping(obj, "status").get("addresses") or ()
        if item.get("type") in ("InternalIP", "ExternalIP")
    ]
    return Node(ObjectKey.of(obj).name, _addresses(addresses, f"{ObjectKey.of(obj)}: status.addresses"))


def parse_address(text: str) -> Address | None:
    """An IP address, or None when the text is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _labels(obj: Mapping[str, Any]) -> dict[str, str]:
    labels = _mapping(obj, "metadata").get("labels") or {}
    return {str(key): "" if value is None else str(value) for key, value in labels.items()}


def _mapping(obj: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = obj.get(field)
    if value is not None and not isinstance(value, Mapping):
        raise WorldError(f"{ObjectKey.of(obj)}: {field}: expected an object, found {value!r}")
    return value or {}


def _addresses(texts: Iterable[Any], where: str) -> tuple[Address, ...]:
    result: list[Address] = []
    for text in texts:
        address = parse_address(str(text))
        if address is None:
            raise WorldError(f"{where}: {text!r} is not an IP address")
        if address not in result:
            result.append(address)
    return tuple(result)
