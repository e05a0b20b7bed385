"""From NetworkPolicy's decision to the mesh's: what is let through meets the proxies."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .decision import Decision
from .ends import End, find_destination, find_source
from .flow import Family, Flow, Verdict
from .mesh.decide import assumed_request, explained, passage
from .mesh.jwtrules import Facts
from .mesh.receiving import OK, Outcome
from .mesh.sending import Target
from .model import Address, Pod, Service
from .services import backends_of
from .world import World

_SLOW = "the client's own proxy gives up connecting after 10 seconds a try, and then answers 503"


@dataclass(frozen=True, slots=True)
class Way:
    """How a flow got to a pod: through which Service (None: none) and its port, with which other pods behind it."""

    service: Service | None
    facts: Facts | None = None
    port: int = 0
    pods: tuple[Pod, ...] = ()


def meshed(world: World, decision: Decision, source: End, destination: End, way: Way) -> Decision:
    """The decision with the mesh's part; its flow names the pod and the pod's port."""
    pod, view, flow = destination.pod, world.mesh, decision.flow
    if pod is None or flow.protocol != "TCP" or not (view.meshed(pod) or view.meshed(source.pod)):
        return decision
    if decision.verdict is Verdict.TIMEOUT and view.meshed(source.pod) and flow.request is not None:
        return replace(decision, note="; ".join(filter(None, (decision.note, _SLOW))))
    if decision.verdict is not Verdict.OK or (pod == source.pod and way.service is None):
        # A pod that calls its own address goes over loopback, past the proxy.
        return decision
    target = target_of(pod, flow.port, way)
    request = assumed_request(view, target, flow)
    address = source_address(source, flow.family)
    went = passage(view, source.pod, address, target, request, way.facts)
    mesh = explained(view, went)
    notes = [decision.note, mesh.open]
    if request is not None and flow.request is None:
        notes.append(f"the port is HTTP, so {request} was assumed")
    return replace(
        decision,
        verdict=mesh.verdict,
        defined=decision.defined and not mesh.open,
        note="; ".join(filter(None, notes)),
        mesh=mesh,
    )


def target_of(pod: Pod, port: int, way: Way) -> Target:
    """What the client connects to, as the mesh sees it."""
    service = way.service
    if service is None:
        return Target(pod, port)
    ports = [p for p in service.ports if p.protocol == "TCP"]
    if service.headless:
        # A headless name is the pods' own addresses, so the port that was called is the pod's.
        chosen = next((p for p in ports if way.port in (p.port, p.target)), None)
    else:
        chosen = next((p for p in ports if p.port == way.port), None)
    return Target(pod, port, service, chosen, way.pods)


def source_address(source: End, family: Family | None) -> Address | None:
    """The client's address as the connection shows it."""
    wanted = [ip for ip in source.addresses if family is None or Family.of(ip.version) is family]
    return next(iter(wanted or source.addresses), None)


def decide_mesh(world: World, flow: Flow, facts: Facts | None = None) -> Outcome:
    """What the proxies alone make of a flow to a pod or to the first pod behind a Service: an answer without reasons.

    For many questions about one world; NetworkPolicy is not asked. Raises WorldError as `decide` does.
    """
    view = world.mesh
    key = (flow.source, flow.destination, flow.port, flow.family)
    ends = view.remembered.get(key)
    if ends is None:
        ends = view.remembered[key] = _ends(world, flow, facts)
    client, address, target = ends
    if target is None:
        return Outcome(Verdict.REFUSED) if flow.destination.startswith("service:") else OK
    request = assumed_request(view, target, flow)
    return passage(view, client, address, target, request, facts).outcome


def _ends(world: World, flow: Flow, facts: Facts | None) -> tuple[Pod | None, Address | None, Target | None]:
    source = find_source(world, flow.source)
    service, destination = find_destination(world, flow.destination)
    address = source_address(source, flow.family)
    if service is not None:
        backends = backends_of(world, service, flow).found
        pods = tuple(b.end.pod for b in backends if b.end.pod is not None)
        if not pods:
            return source.pod, address, None
        target = target_of(pods[0], backends[0].port, Way(service, facts, flow.port, pods))
        return source.pod, address, target
    assert destination is not None
    if destination.pod is None or destination.pod == source.pod:
        return source.pod, address, None
    return source.pod, address, target_of(destination.pod, flow.port, Way(None, facts))
