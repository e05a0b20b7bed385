"""The ways in which an implementation may see one flow, where Kubernetes leaves it open.

Each reading says what policy is shown on either side. When all readings lead to the same outcome it is
defined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from .ends import End
from .flow import Family
from .model import Address, Node, Pod
from .party import Attempt
from .world import World

_NODE_UNKNOWN = "whether that node runs this pod is not known, and a pod's own node always reaches it"
_TO_OWN_NODE = "whether policy covers traffic from a pod to its own node is left to the implementation"
_HOST_NETWORK = "whether policy covers pods on the host network is left to the implementation"
_SERVICE_ADDRESS = (
    "whether an ipBlock is compared with a Service's address or the pod's behind it is left open"
)
_REWRITTEN = "a node may put its own address in place of the client's before policy looks"


@dataclass(frozen=True, slots=True)
class Reading:
    """What policy is asked on each side. `because` names the open question that this reading answers
    otherwise.
    """

    egress: Attempt
    ingress: Attempt
    egress_exempt: str = ""
    ingress_exempt: str = ""
    because: str = ""


def readings_between(
    world: World, source: End, destination: End, family: Family, port: int, protocol: str
) -> list[Reading]:
    """The readings of a flow with no Service in between; the commonest is the first."""
    attempt = Attempt(source.party(family), destination.party(family), port, protocol)
    readings = [Reading(attempt, attempt)]
    readings = _from_node(world, source, destination, readings)
    to_node = destination.node(world)
    if to_node is not None and _is_subject(source) and same_node(world, to_node, source.pod) is not False:
        exempt = "traffic to the pod's own node is exempt"
        readings += [replace(r, egress_exempt=exempt, because=_TO_OWN_NODE) for r in readings]
    if _on_host_network(source) or _on_host_network(destination):
        as_pods = Attempt(
            source.party(family, as_pod=True), destination.party(family, as_pod=True), port, protocol
        )
        readings.append(Reading(as_pods, as_pods, because=_HOST_NETWORK))
    return readings


def through_service(readings: Sequence[Reading], address: Address) -> list[Reading]:
    """The readings of a flow to a Service's address: ipBlocks may be compared with it before it is
    translated.
    """

    def before_translation(reading: Reading) -> Reading:
        destination = replace(reading.egress.destination, block_address=address)
        return replace(reading, egress=replace(reading.egress, destination=destination))

    return [*readings, *_otherwise(readings, before_translation, _SERVICE_ADDRESS)]


def through_nodes(
    world: World, readings: Sequence[Reading], nodes: Iterable[Node], pod: Pod | None, family: Family
) -> list[Reading]:
    """The readings of a flow that enters at a node: the pod may see the client's address, or the node's."""
    result = list(readings)
    for node in nodes:
        end = End.of_node(node, family)
        if end is None:
            continue
        party = end.party(family)
        own = same_node(world, node, pod) is not False
        exempt = "the connection comes from the pod's own node" if own else ""

        def rewritten(reading: Reading) -> Reading:
            ingress = replace(reading.ingress, source=party)  # noqa: B023 (called before the next turn)
            return replace(reading, ingress=ingress, ingress_exempt=exempt)  # noqa: B023

        result += _otherwise(readings, rewritten, _REWRITTEN)
    return result


def same_node(world: World, node: Node, pod: Pod | None) -> bool | None:
    """Whether the pod runs on the node; None when that is not known."""
    if pod is None:
        return False
    if pod.node and node.name:
        return pod.node == node.name
    return True if len(world.nodes) == 1 else None


def _from_node(world: World, source: End, destination: End, readings: list[Reading]) -> list[Reading]:
    node = source.node(world)
    if node is None or not _is_subject(destination):
        return readings
    same = same_node(world, node, destination.pod)
    if same is False:
        return readings
    exempt = f"{source.name} is on the pod's own node, and a node always reaches its pods (for probes)"
    exempted = [replace(reading, ingress_exempt=exempt) for reading in readings]
    if same:
        return exempted
    return readings + [replace(reading, because=_NODE_UNKNOWN) for reading in exempted]


def _otherwise(
    readings: Iterable[Reading], change: Callable[[Reading], Reading], because: str
) -> list[Reading]:
    return [replace(change(reading), because=because) for reading in readings]


def _is_subject(end: End) -> bool:
    return end.pod is not None and not end.pod.host_network


def _on_host_network(end: End) -> bool:
    return end.pod is not None and end.pod.host_network
