"""decide: one flow in, one Decision out.

Where Kubernetes leaves a choice, every allowed reading is evaluated; when they disagree the answer is not
defined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from .decision import Decision, Half, Why
from .ends import End, family_of, find_destination, find_source, name_family
from .flow import PROTOCOLS, Direction, Family, Flow, Verdict
from .match import Attempt, Party, half
from .model import Address, Node, Pod
from .profile import KINDNET, Profile
from .services import Backend, Backends, backends_at, backends_of
from .world import World

_ADDRESS_STEPS = (Why.ADDRESS_MATCHES, Why.OUTSIDE_BLOCK, Why.EXCEPTED)


@dataclass(frozen=True, slots=True)
class Reading:
    """One of the ways in which an implementation may see a flow. `because` names the open question it
    answers.
    """

    egress: Attempt
    ingress: Attempt
    egress_exempt: str = ""
    ingress_exempt: str = ""
    because: str = ""


def decide(world: World, flow: Flow, profile: Profile = KINDNET) -> Decision:
    """What the policies of the world make of a flow.

    Raises WorldError when an end of it is not in the world.
    """
    source = find_source(world, flow.source)
    service, destination = find_destination(world, flow.destination)
    if service is not None:
        return _decide_backends(world, profile, flow, source, backends_of(world, service, flow))
    assert destination is not None
    if destination.pod is None:
        published = backends_at(world, destination, flow)
        if published is not None:
            return _decide_backends(world, profile, flow, source, published)
    return _decide_direct(world, profile, flow, source, destination)


def _decide_direct(world: World, profile: Profile, flow: Flow, source: End, destination: End) -> Decision:
    stop = _not_connectable(flow, source, destination)
    if stop is not None:
        return stop
    family = family_of(source, destination, flow.family)
    if family is None:
        return _undefined(flow, Verdict.TIMEOUT, _no_family(flow, source, destination))
    if source.pod is not None and source.pod == destination.pod:
        reason = "a pod can always reach itself at its own address, whatever the policies say"
        halves = _exempt_halves(source.name, destination.name, reason)
        return Decision(flow, Verdict.OK, True, "", *halves)
    decision = _judge(world, profile, flow, _readings(world, source, destination, flow, family))
    return _with_family_note(world, profile, decision, source, destination)


def _readings(
    world: World, source: End, destination: End, flow: Flow, family: Family, *, port: int | None = None
) -> list[Reading]:
    """The readings of a flow between two ends without a Service between them; the commonest first."""
    start, end = source.party(family), destination.party(family)
    attempt = Attempt(start, end, flow.port if port is None else port, flow.protocol)
    readings = [Reading(attempt, attempt)]
    from_node, to_node = source.node(world), destination.node(world)
    if from_node is not None and destination.pod is not None and not destination.pod.host_network:
        same = _same_node(world, from_node, destination.pod)
        exempt = f"{start.name} is on the pod's own node, and a node always reaches its pods (kubelet probes need it)"
        if same:
            readings = [replace(readings[0], ingress_exempt=exempt)]
        elif same is None:
            readings.append(
                replace(
                    readings[0], ingress_exempt=exempt, because="whether the node runs this pod is not known"
                )
            )
    if to_node is not None and source.pod is not None and not source.pod.host_network:
        if _same_node(world, to_node, source.pod) is not False:
            because = (
                "whether policy covers traffic from a pod to its own node differs between implementations"
            )
            exempt = "traffic to the pod's own node is not policed by some implementations"
            readings += [
                replace(reading, egress_exempt=exempt, because=because) for reading in list(readings)
            ]
    if _is_host_network(source) or _is_host_network(destination):
        full = Attempt(
            source.party(family, as_pod=True),
            destination.party(family, as_pod=True),
            attempt.port,
            flow.protocol,
        )
        because = "Kubernetes does not define whether policy covers pods on the host network"
        readings.append(Reading(full, full, because=because))
    return readings


def _judge(
    world: World, profile: Profile, flow: Flow, readings: Sequence[Reading], first_note: str = ""
) -> Decision:
    outcomes: list[tuple[Reading, Half, Half]] = []
    for reading in readings:
        egress = half(world, profile, Direction.EGRESS, reading.egress, reading.egress_exempt)
        ingress = half(world, profile, Direction.INGRESS, reading.ingress, reading.ingress_exempt)
        outcomes.append((reading, egress, ingress))
    _, egress, ingress = outcomes[0]
    allowed = egress.allowed and ingress.allowed
    notes = [first_note] if first_note else []
    defined = True
    for reading, other_egress, other_ingress in outcomes[1:]:
        if (other_egress.allowed and other_ingress.allowed) != allowed:
            defined = False
            if reading.because not in notes:
                notes.append(reading.because)
    if flow.protocol not in PROTOCOLS and (egress.isolated or ingress.isolated):
        defined = False
        notes.append(
            f"NetworkPolicy speaks of TCP, UDP and SCTP; what an isolated pod may do with {flow.protocol} is left open"
        )
    for party, one_half in (
        (readings[0].egress.destination, egress),
        (readings[0].ingress.source, ingress),
    ):
        if party.pod is not None and party.pod.assumed and _looked_at_address(one_half):
            notes.append(
                f"{party.name} has no address yet; {party.address} was assumed, and an ipBlock looked at it"
            )
    verdict = Verdict.OK if allowed else Verdict.TIMEOUT
    return Decision(flow, verdict, defined, "; ".join(notes), egress, ingress)


def _looked_at_address(one_half: Half) -> bool:
    return any(
        step.why in _ADDRESS_STEPS
        for policy in one_half.policies
        for rule in policy.rules
        for step in rule.peers
    )


def _decide_backends(world: World, profile: Profile, flow: Flow, source: End, backends: Backends) -> Decision:
    if not backends.found:
        halves = _exempt_halves(flow.source, flow.destination, "there is no pod to send the flow to")
        return Decision(flow, backends.verdict, backends.defined, backends.note, *halves)
    decisions = tuple(
        _decide_backend(world, profile, flow, source, backends, backend) for backend in backends.found
    )
    return _combine(flow, backends, decisions)


def _decide_backend(
    world: World, profile: Profile, flow: Flow, source: End, backends: Backends, backend: Backend
) -> Decision:
    end = End.of_pod(backend.pod)
    inner = replace(flow, destination=end.name, port=backend.port)
    stop = _not_connectable(inner, source, end)
    if stop is not None:
        return stop
    wanted = Family.of(backends.address.version) if backends.address else flow.family
    family = family_of(source, end, wanted)
    if family is None:
        return _undefined(inner, Verdict.TIMEOUT, _no_family(inner, source, end))
    readings = _readings(world, source, end, flow, family, port=backend.port)
    if source.pod is not None and source.pod == backend.pod:
        return _hairpin(world, profile, inner, readings)
    if backends.address is not None:
        because = "whether an ipBlock sees a Service's address or the pod's behind it is left open"
        readings += _map_readings(readings, lambda r: _before_translation(r, backends.address), because)
    if backends.rewriting_nodes:
        because = "the node may put its own address in place of the client's before policy looks"
        extra: list[Reading] = []
        for node in backends.rewriting_nodes:
            extra += _source_rewritten(world, readings, node, backend.pod, family, because)
        readings += extra
    return _judge(world, profile, inner, readings)


def _before_translation(reading: Reading, address: Address | None) -> Reading:
    destination = replace(reading.egress.destination, block_address=address)
    return replace(reading, egress=replace(reading.egress, destination=destination))


def _map_readings(
    readings: Iterable[Reading], change: Callable[[Reading], Reading], because: str
) -> list[Reading]:
    return [replace(change(reading), because=because) for reading in readings]


def _source_rewritten(
    world: World, readings: Sequence[Reading], node: Node, pod: Pod, family: Family, because: str
) -> list[Reading]:
    end = End.of_node(node, family)
    if end is None:
        return []
    exempt = ""
    if _same_node(world, node, pod) is not False:
        exempt = "the connection comes from the pod's own node"

    def change(reading: Reading) -> Reading:
        ingress = replace(reading.ingress, source=end.party(family))
        return replace(reading, ingress=ingress, ingress_exempt=exempt)

    return _map_readings(readings, change, because)


def _hairpin(world: World, profile: Profile, flow: Flow, readings: Sequence[Reading]) -> Decision:
    decision = _judge(world, profile, flow, readings[:1])
    if not decision.egress.isolated and not decision.ingress.isolated:
        return decision
    note = "a pod that reaches itself through a Service (a hairpin) is policed by some implementations and not by others"
    return replace(decision, defined=False, note=note)


def _combine(flow: Flow, backends: Backends, decisions: tuple[Decision, ...]) -> Decision:
    refusing = [d for d in decisions if not d.allowed]
    shown = refusing[0] if refusing else decisions[0]
    notes = [backends.note] if backends.note else []
    defined = backends.defined and all(d.defined for d in decisions)
    notes += dict.fromkeys(d.note for d in decisions if d.note)
    if refusing and len(refusing) < len(decisions):
        defined = False
        names = ", ".join(d.flow.destination for d in refusing)
        notes.append(
            f"{len(decisions) - len(refusing)} of {len(decisions)} endpoints can be reached (not {names}); "
            "a Service picks one by chance, so the outcome changes from try to try"
        )
    return Decision(
        flow, shown.verdict, defined, "; ".join(notes), shown.egress, shown.ingress, endpoints=decisions
    )


def _not_connectable(flow: Flow, source: End, destination: End) -> Decision | None:
    for end in (source, destination):
        if end.pod is not None and not end.pod.on_network:
            state = (
                f"has ended ({end.pod.phase})" if end.pod.ended else f"has no address yet ({end.pod.phase})"
            )
            return _undefined(
                flow, Verdict.TIMEOUT, f"{end.name} {state}: nothing can be sent to it or by it"
            )
    if source.pod is None and destination.pod is None:
        return _undefined(flow, Verdict.OK, "neither end is a pod: NetworkPolicy has nothing to say")
    return None


def _undefined(flow: Flow, verdict: Verdict, note: str) -> Decision:
    return Decision(flow, verdict, False, note, *_exempt_halves(flow.source, flow.destination, note))


def _exempt_halves(source: str, destination: str, reason: str) -> tuple[Half, Half]:
    return (
        Half(Direction.EGRESS, source, destination, isolated=False, allowed=True, exempt=reason),
        Half(Direction.INGRESS, destination, source, isolated=False, allowed=True, exempt=reason),
    )


def _no_family(flow: Flow, source: End, destination: End) -> str:
    if flow.family is not None:
        return f"{source.name} and {destination.name} do not both have an {flow.family} address"
    return (
        f"{source.name} has {name_family(source)} and {destination.name} has {name_family(destination)}: "
        "they share no IP family, so there is no connection to allow"
    )


def _with_family_note(
    world: World, profile: Profile, decision: Decision, source: End, destination: End
) -> Decision:
    flow = decision.flow
    if flow.family is not None or len(source.families) < 2 or len(destination.families) < 2:
        return decision
    answers = {
        family: _judge(world, profile, flow, _readings(world, source, destination, flow, family)).allowed
        for family in destination.families
    }
    if len(set(answers.values())) < 2:
        return decision
    words = ", ".join(f"{'allowed' if ok else 'denied'} over {family}" for family, ok in answers.items())
    note = f"the two IP families differ here: {words}; this is the answer for {destination.families[0]}"
    return replace(decision, note="; ".join(filter(None, (decision.note, note))))


def _same_node(world: World, node: Node, pod: Pod) -> bool | None:
    """Whether the pod runs on the node; None when that is not known."""
    if pod.node:
        return pod.node == node.name
    return True if len(world.nodes) == 1 else None


def _is_host_network(end: End) -> bool:
    return end.pod is not None and end.pod.host_network
