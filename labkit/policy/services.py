"""Where a flow to a Service ends up: which endpoints, and on which of their ports."""

from __future__ import annotations

from dataclasses import dataclass

from .ends import End, find_source
from .flow import Family, Flow, Verdict
from .model import Address, EndpointSlice, Node, Pod, Service, ServicePort
from .world import World


@dataclass(frozen=True, slots=True)
class Backend:
    """One endpoint and its own port, after translation; nearly always a pod."""

    end: End
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
        return _open_question(Verdict.OK, note)
    slices = _slices(world, service)
    if service.selector is None and not slices:
        note = f"Service {service.key} has no selector, and the endpoints set by hand are not in the model"
        return _open_question(Verdict.TIMEOUT, note)
    if service.headless:
        found = tuple(Backend(End.of_pod(pod), flow.port) for pod in _ready_pods(world, service))
        note = "" if found else f"headless Service {service.key} has no ready pod, so its name has no address"
        return Backends(found, verdict=Verdict.OK if found else Verdict.DNS, note=note)
    port = next((p for p in service.ports if p.port == flow.port and p.protocol == flow.protocol), None)
    if port is None:
        has = ", ".join(f"{p.port}/{p.protocol}" for p in service.ports) or "none"
        note = f"Service {service.key} has no port {flow.port}/{flow.protocol} (its ports: {has})"
        return _open_question(Verdict.TIMEOUT, note)
    found = _listed(world, slices, port) if service.selector is None else _selected(world, service, port)
    address = _cluster_ip(service, flow)
    return Backends(found, address) if found else _nobody(service, flow, address)


def backends_at(world: World, destination: End, flow: Flow) -> Backends | None:
    """The endpoints published on a node's address (NodePort, hostPort) or on a load balancer's.

    None when nothing is published there: the flow then goes to the node, or outside, itself.
    """
    address, node = destination.addresses[0], destination.node_object
    for service in world.services.values():
        for port in service.ports:
            if port.protocol != flow.protocol:
                continue
            by_node = node is not None and port.node_port == flow.port and port.node_port != 0
            if by_node or (address in service.external_ips and port.port == flow.port):
                return _published(world, service, port, flow, address, node)
    if node is None:
        return None
    host_ports = tuple(
        Backend(End.of_pod(pod), port.port)
        for pod in world.pods.values()
        if pod.on_network and not pod.host_network and pod.node in ("", node.name)
        for port in pod.ports
        if port.host_port == flow.port and port.host_port and port.protocol == flow.protocol
    )
    return Backends(host_ports, address, rewriting_nodes=(node,)) if host_ports else None


def _published(
    world: World, service: Service, port: ServicePort, flow: Flow, address: Address, node: Node | None
) -> Backends:
    found = _selected(world, service, port)
    if not found:
        return _nobody(service, flow, address)
    if not service.local_traffic_only:
        return Backends(found, address, rewriting_nodes=(node,) if node else tuple(world.nodes.values()))
    if node is not None:
        # externalTrafficPolicy: Local keeps the client's address and never leaves the node that was asked.
        found = tuple(b for b in found if b.end.pod is not None and b.end.pod.node in ("", node.name))
    if not found:
        note = (
            f"Service {service.key} keeps traffic on the node that was asked, and none of its pods is there"
        )
        return Backends((), address, Verdict.TIMEOUT, note=note)
    return Backends(found, address)


def _open_question(verdict: Verdict, note: str) -> Backends:
    return Backends((), verdict=verdict, defined=False, note=note)


def _nobody(service: Service, flow: Flow, address: Address | None) -> Backends:
    # kube-proxy rejects connections to a Service without endpoints, so the client does not wait.
    note = f"Service {service.key} has no ready pod behind port {flow.port}"
    return Backends((), address, Verdict.REFUSED, note=note)


def _ready_pods(world: World, service: Service) -> list[Pod]:
    selector = service.selector
    if selector is None:
        return []
    return [
        pod
        for pod in world.pods.values()
        if pod.namespace == service.namespace
        and pod.on_network
        and (pod.ready or service.publish_not_ready)
        and selector.matches(pod.labels)
    ]


def _selected(world: World, service: Service, port: ServicePort) -> tuple[Backend, ...]:
    found = []
    for pod in _ready_pods(world, service):
        if isinstance(port.target, int):
            found.append(Backend(End.of_pod(pod), port.target))
        else:
            # A pod without a port of that name is no endpoint of this port.
            numbers = sorted(pod.port_named(port.target, port.protocol))
            found += [Backend(End.of_pod(pod), number) for number in numbers[:1]]
    return tuple(found)


def _slices(world: World, service: Service) -> list[EndpointSlice]:
    wanted = (service.namespace, service.name)
    return [piece for piece in world.endpoint_slices.values() if (piece.namespace, piece.service) == wanted]


def _listed(world: World, slices: list[EndpointSlice], port: ServicePort) -> tuple[Backend, ...]:
    """Endpoints that were set by hand: addresses, some of which may be a pod's or a node's."""
    return tuple(
        Backend(find_source(world, str(address)), listed.port)
        for piece in slices
        for listed in piece.ports
        if (listed.name, listed.protocol) == (port.name, port.protocol)
        for address in piece.addresses
    )


def _cluster_ip(service: Service, flow: Flow) -> Address | None:
    wanted = [ip for ip in service.cluster_ips if flow.family is None or Family.of(ip.version) is flow.family]
    named = [ip for ip in wanted if str(ip) == flow.destination]
    return next(iter(named or wanted), None)
