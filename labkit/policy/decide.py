"""decide: one flow in, one Decision out.

Where Kubernetes leaves a choice, every allowed reading is evaluated; when they disagree the answer is not
defined.
"""

from __future__ import annotations

from dataclasses import replace

from .decision import Decision
from .ends import End, family_of, find_destination, find_source, name_family
from .flow import Family, Flow, Verdict
from .judge import exempt_halves, judge, undefined
from .mesh.jwtrules import Facts
from .meshed import Way, meshed
from .profile import KINDNET, Profile
from .readings import readings_between, through_nodes, through_service
from .services import Backend, Backends, backends_at, backends_of
from .world import World

_HAIRPIN = "whether policy covers a pod that reaches itself through a Service is left to the implementation"


def decide(world: World, flow: Flow, profile: Profile = KINDNET, facts: Facts | None = None) -> Decision:
    """What the policies of the world make of a flow.

    NetworkPolicy is asked first; what it lets through meets the proxies of a mesh, where there are any. facts: what the
    engine cannot know and a token's check needs.
    Raises WorldError when an end of it is not in the world.
    """
    source = find_source(world, flow.source)
    service, destination = find_destination(world, flow.destination)
    if service is not None:
        if source.pod is None and source.node_object is None:
            note = f"Service {service.key} has no address that can be reached from outside the cluster"
            return undefined(flow, Verdict.TIMEOUT, note)
        backends = backends_of(world, service, flow)
        return _decide_backends(world, profile, flow, source, backends, Way(service, facts))
    assert destination is not None
    if destination.pod is None:
        published = backends_at(world, destination, flow)
        if published is not None:
            return _decide_backends(world, profile, flow, source, published, Way(None, facts))
    decision = _decide_direct(world, profile, flow, source, destination)
    return meshed(world, decision, source, destination, Way(None, facts))


def _decide_direct(world: World, profile: Profile, flow: Flow, source: End, destination: End) -> Decision:
    family = family_of(source, destination, flow.family)
    note = _no_connection(flow, source, destination, family)
    if note:
        verdict = Verdict.OK if source.pod is None and destination.pod is None else Verdict.TIMEOUT
        return undefined(flow, verdict, note)
    assert family is not None
    if source.pod is not None and source.pod == destination.pod:
        reason = "a pod always reaches itself at its own address, whatever the policies say"
        return Decision(flow, Verdict.OK, True, "", *exempt_halves(source.name, destination.name, reason))
    readings = readings_between(world, source, destination, family, flow.port, flow.protocol)
    decision = judge(world, profile, flow, readings)
    return _with_family_note(world, profile, decision, source, destination)


def _decide_backends(
    world: World, profile: Profile, flow: Flow, source: End, backends: Backends, way: Way
) -> Decision:
    if not backends.found:
        halves = exempt_halves(flow.source, flow.destination, "there is no pod to send the flow to")
        return Decision(flow, backends.verdict, backends.defined, backends.note, *halves)
    way = replace(way, port=flow.port, pods=tuple(b.end.pod for b in backends.found if b.end.pod is not None))
    decisions = tuple(
        meshed(
            world, _decide_backend(world, profile, flow, source, backends, backend), source, backend.end, way
        )
        for backend in backends.found
    )
    return _combine(flow, backends, decisions)


def _decide_backend(
    world: World, profile: Profile, flow: Flow, source: End, backends: Backends, backend: Backend
) -> Decision:
    """The decision for one endpoint; its flow names the pod, and the pod's port after translation."""
    end = backend.end
    inner = replace(flow, destination=end.name, port=backend.port)
    wanted = Family.of(backends.address.version) if backends.address else flow.family
    family = family_of(source, end, wanted)
    note = _no_connection(inner, source, end, family)
    if note:
        return undefined(inner, Verdict.TIMEOUT, note)
    assert family is not None
    readings = readings_between(world, source, end, family, inner.port, inner.protocol)
    if source.pod is not None and source.pod == end.pod and backends.address is not None:
        decision = judge(world, profile, inner, readings[:1])
        isolated = decision.egress.isolated or decision.ingress.isolated
        return replace(decision, defined=False, note=_HAIRPIN) if isolated else decision
    if source.pod is not None and source.pod == end.pod:
        # A headless name is the pod's own address: no translation, no hairpin.
        return _decide_direct(world, profile, inner, source, end)
    if backends.address is not None:
        readings = through_service(readings, backends.address)
    readings = through_nodes(world, readings, backends.rewriting_nodes, end.pod, family)
    return judge(world, profile, inner, readings)


def _combine(flow: Flow, backends: Backends, decisions: tuple[Decision, ...]) -> Decision:
    refusing = [d for d in decisions if not d.allowed]
    shown = refusing[0] if refusing else decisions[0]
    notes = list(dict.fromkeys(d.note for d in decisions if d.note))
    defined = backends.defined and all(d.defined for d in decisions)
    if refusing and len(refusing) < len(decisions):
        defined = False
        names = ", ".join(d.flow.destination for d in refusing)
        notes.append(
            f"{len(decisions) - len(refusing)} of {len(decisions)} endpoints can be reached (not {names}); "
            "a Service picks one by chance, so the outcome changes from try to try"
        )
    return Decision(
        flow,
        shown.verdict,
        defined,
        "; ".join(notes),
        shown.egress,
        shown.ingress,
        endpoints=decisions,
        mesh=shown.mesh,
    )


def _no_connection(flow: Flow, source: End, destination: End, family: Family | None) -> str:
    """Why there is no connection that policy could be asked about; "" when there is one."""
    for end in (source, destination):
        if end.pod is not None and not end.pod.on_network:
            state = "has ended" if end.pod.ended else "has no address yet"
            return f"{end.name} {state} ({end.pod.phase}): nothing can be sent to it or by it"
    if source.pod is None and destination.pod is None:
        return "neither end is a pod: NetworkPolicy has nothing to say"
    if family is not None:
        return ""
    if flow.family is not None:
        return f"{source.name} and {destination.name} do not both have an {flow.family} address"
    return (
        f"{source.name} has {name_family(source)} and {destination.name} has {name_family(destination)}: "
        "they share no IP family, so there is no connection to allow"
    )


def _with_family_note(
    world: World, profile: Profile, decision: Decision, source: End, destination: End
) -> Decision:
    """Say so when a pair with two families in common is open on one of them only."""
    flow = decision.flow
    shared = [family for family in destination.families if family in source.families]
    if flow.family is not None or len(shared) < 2:
        return decision
    answers = {}
    for family in shared:
        readings = readings_between(world, source, destination, family, flow.port, flow.protocol)
        answers[family] = judge(world, profile, flow, readings).allowed
    if len(set(answers.values())) < 2:
        return decision
    words = ", ".join(f"{'allowed' if ok else 'denied'} over {family}" for family, ok in answers.items())
    note = f"the two IP families differ here: {words}; this answer is for {shared[0]}"
    return replace(decision, note="; ".join(filter(None, (decision.note, note))))
