"""The ends of a flow: a name or an address becomes a pod, a node, something outside, or a Service."""

from __future__ import annotations

from dataclasses import dataclass

from .flow import Family
from .model import Address, Node, Pod, Service, WorldError, parse_address
from .party import Party
from .world import World


@dataclass(frozen=True, slots=True)
class End:
    """One end of a flow. `pod` None: a node or something outside the cluster. `addresses`: those that may
    be used.
    """

    name: str
    addresses: tuple[Address, ...]
    pod: Pod | None = None
    node_object: Node | None = None

    @classmethod
    def of_pod(cls, pod: Pod, address: Address | None = None) -> End:
        """A pod; `address` when the flow names one of its addresses instead of the pod."""
        return cls(pod.key, (address,) if address else pod.ips, pod)

    @classmethod
    def of_node(cls, node: Node, family: Family) -> End | None:
        """A node at its address of a family, if it has one."""
        for ip in node.ips:
            if Family.of(ip.version) is family:
                return cls(f"node {node.name}", (ip,), None, node)
        return None

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of the addresses that may be used, primary first."""
        return tuple(Family.of(ip.version) for ip in self.addresses)

    def node(self, world: World) -> Node | None:
        """The node whose own address this end has: a node's address, or a pod on the host network."""
        if self.pod is None:
            return self.node_object
        if not self.pod.host_network:
            return None
        if self.pod.node:
            return world.nodes.get(self.pod.node) or Node(self.pod.node, self.pod.ips)
        return next((n for ip in self.pod.ips if (n := world.node_at(ip))), None) or Node("", self.pod.ips)

    def party(self, family: Family, *, as_pod: bool = False) -> Party:
        """The end as policy sees it. A host-network pod is seen as its node's address, unless `as_pod`."""
        address = next(ip for ip in self.addresses if Family.of(ip.version) is family)
        if self.pod is not None and (as_pod or not self.pod.host_network):
            return Party(self.name, self.pod, address)
        if self.pod is not None:
            hides = "on its node's network, where selectors commonly do not see it"
        elif self.node_object is not None:
            hides = f"the address of node {self.node_object.name}"
        else:
            hides = "outside the cluster"
        return Party(self.name, None, address, hides=hides)


def find_source(world: World, name: str) -> End:
    """The end that a flow starts from. Raises WorldError."""
    if name.startswith("service:"):
        raise WorldError(f"a flow starts at a pod or an address, not at a Service ({name})")
    return _find(world, name)


def find_destination(world: World, name: str) -> tuple[Service | None, End | None]:
    """The Service, or else the end, that a flow goes to. Raises WorldError."""
    if name.startswith("service:"):
        key = name.removeprefix("service:")
        service = world.services.get(key)
        if service is None:
            raise WorldError(f"there is no Service {key}{_known(world.services)}")
        return service, None
    address = parse_address(name)
    if address is not None and (service := world.service_at(address)) is not None:
        return service, None
    return None, _find(world, name)


def family_of(source: End, destination: End, wanted: Family | None) -> Family | None:
    """The family between two ends: the wanted one, or the destination's first that the source has too."""
    shared = [family for family in destination.families if family in source.families]
    if wanted is not None:
        return wanted if wanted in shared else None
    return shared[0] if shared else None


def name_family(end: End) -> str:
    """ "an IPv4 address", "IPv4 and IPv6 addresses"."""
    if len(end.families) == 1:
        return f"an {end.families[0]} address"
    return " and ".join(end.families) + " addresses"


def _find(world: World, name: str) -> End:
    address = parse_address(name)
    if address is None:
        pod = world.pods.get(name)
        if pod is None:
            raise WorldError(f"there is no pod {name}{_known(world.pods)}")
        return End.of_pod(pod)
    pod = world.pod_at(address)
    if pod is not None:
        return End.of_pod(pod, address)
    return End(str(address), (address,), None, world.node_at(address))


def _known(items: object) -> str:
    names = sorted(items)  # type: ignore[call-overload]
    if not names:
        return " (there are none)"
    shown = ", ".join(names[:8])
    return f" (there are {shown}{', ...' if len(names) > 8 else ''})"
