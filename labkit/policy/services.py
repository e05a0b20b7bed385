"""Which pods a Service leads to, and on which of their ports."""

from __future__ import annotations

from dataclasses import dataclass

from .ends import End
from .flow import Family, Flow, Verdict
from .model import Address, Node, Pod, Service, ServicePort
from .world import World


@dataclass(frozen=True, slots=True)
class Backend:
    """One endpoint: a pod and its own port, after translation."""

    pod: Pod
    port: int


@dataclass(frozen=True, slots=True)
class Backends:
    """Where a flow to a Service can end up.

    When none is found, `verdict`, `defined` and `note` say what the client meets. address: what the client
    connected to. rewriting_nodes: the nodes that may replace the client's address by their own on the way.
    """

    found: tuple[Backend, ...]
    address: Address | None = None
    verdict: Verdict = Verdict.OK
    defined: bool = True
    note: str = ""
    rewriting_nodes: tuple[Node, ...] = ()


def backends_of(world: World, service: Service, flow: Flow) -> Backends:
    """The endpoints of a Service for a flow that names the Service or its ClusterIP."""
    if service.external_name:
        note = f"Service {service.key} is only another name for {service.external_name}, outside the cluster"
        return Backends((), verdict=Verdict.OK, defined=False, note=note)
    if service.selector is None:
        note = (
            f"Service {service.key} has no selector; its endpoints are set by hand and are not in the model"
        )
        return Backends((), verdict=Verdict.TIMEOUT, defined=False, note=note)
    if service.headless:
        found = tuple(Backend(pod, flow.port) for pod in _ready_pods(world, service))
        note = "" if found else f"headless Service {service.key} has no ready pod, so its name has no address"
        return Backends(found, verdict=Verdict.OK if found else Verdict.DNS, note=note)
    port = next((p for p in service.ports if p.port == flow.port and p.protocol == flow.protocol), None)
    if port is None:
        has = ", ".join(f"{p.port}/{p.protocol}" for p in service.ports) or "none"
        note = f"Service {service.key} has no port {flow.port}/{flow.protocol} (its ports: {has})"
        return Backends((), verdict=Verdict.TIMEOUT, defined=False, note=note)
    address = _cluster_ip(service, flow)
    found = _backends(world, service, port)
    if not found:
        # kube-proxy rejects connections to a Service without endpoints, so the client does not wait.
        note = f"Service {service.key} has no ready pod behind port {flow.port}"
        return Backends((), address, Verdict.REFUSED, note=note)
    return Backends(found, address)


def backends_at(world: World, destination: End, flow: Flow) -> Backends | None:
    """The endpoints published on a node's address (NodePort, hostPort) or on a load balancer's; None when
    none are.
    """
    address = destination.addresses[0]
    node = destination.node_object
    for service in world.services.values():
        for port in service.ports:
            if port.protocol != flow.protocol:
                continue
            by_node = node is not None and port.node_port == flow.port and port.node_port != 0
            if not by_node and not (address in service.external_ips and port.port == flow.port):
                continue
            found = _backends(world, service, port)
            if service.local_traffic_only and node is not None:
                found = tuple(b for b in found if b.pod.node in ("", node.name))
            if not found:
                note = f"Service {service.key} has no ready pod behind port {flow.port}"
                return Backends((), address, Verdict.REFUSED, note=note)
            nodes = () if service.local_traffic_only else (node,) if node else tuple(world.nodes.values())
            return Backends(found, address, rewriting_nodes=nodes)
    if node is None:
        return None
    host_ports = tuple(
        Backend(pod, port.port)
        for pod in world.pods.values()
        if pod.on_network and not pod.host_network and pod.node in ("", node.name)
        for port in pod.ports
        if port.host_port == flow.port and port.host_port and port.protocol == flow.protocol
    )
    return Backends(host_ports, address, rewriting_nodes=(node,)) if host_ports else None


def _ready_pods(world: World, service: Service) -> list[Pod]:
    assert service.selector is not None
    return [
        pod
        for pod in world.pods.values()
        if pod.namespace == service.namespace
        and pod.on_network
        and (pod.ready or service.publish_not_ready)
        and service.selector.matches(pod.labels)
    ]


def _backends(world: World, service: Service, port: ServicePort) -> tuple[Backend, ...]:
    if service.selector is None:
        return ()
    found = []
    for pod in _ready_pods(world, service):
        if isinstance(port.target, int):
            found.append(Backend(pod, port.target))
        else:
            # A pod without a port of that name is no endpoint of this port.
            numbers = sorted(pod.port_named(port.target, port.protocol))
            found += [Backend(pod, number) for number in numbers[:1]]
    return tuple(found)


def _cluster_ip(service: Service, flow: Flow) -> Address | None:
    wanted = [ip for ip in service.cluster_ips if flow.family is None or Family.of(ip.version) is flow.family]
    named = [ip for ip in wanted if str(ip) == flow.destination]
    return next(iter(named or wanted), None)
