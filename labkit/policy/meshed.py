"""From NetworkPolicy's decision to the mesh's: what is let through meets the proxies."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .decision import Decision
from .ends import End
from .flow import Family, Verdict
from .mesh.decide import assumed_request, explained, passage
from .mesh.jwtrules import Facts
from .mesh.sending import Target
from .model import Address, Pod, Service
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
