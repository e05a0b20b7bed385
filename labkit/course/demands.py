"""From a step's demands to flows of the world at hand: which must work, which must not, and which of them a probe can try."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.course.steps import Demand, FlowPattern
from labkit.policy import Flow, Pod, World
from labkit.policy.labels import Selector

# An address of TEST-NET-3 (RFC 5737) stands for the world outside the cluster.
OUTSIDE = "203.0.113.50"
# No demo uses this port: it stands for "every port that nobody thought of".
UNUSED_PORT = 65000


@dataclass(frozen=True)
class Demanded:
    """One flow and what must become of it. `rule` says which part of the step asks for it: allow, deny or otherwise.

    `probe`: both ends are pods of the cluster and the port is served, so that the cluster itself can be asked.
    """

    flow: Flow
    allow: bool
    rule: str
    probe: bool


@dataclass(frozen=True)
class Demands:
    """The flows that a step speaks of, and the endpoints that it names but the world lacks."""

    flows: tuple[Demanded, ...]
    missing: tuple[str, ...]


class Scope:
    """The namespaces that a chapter owns (and those that an imagined world adds): what "*" means."""

    def __init__(self, world: World, namespaces: Iterable[str]) -> None:
        self.world = world
        self.namespaces = tuple(namespaces)
        self.pods = tuple(p for p in world.pods.values() if p.namespace in self.namespaces and p.on_network)

    def endpoints(self, text: str) -> tuple[str, ...]:
        """The flow endpoints that a pattern's endpoint stands for; empty where the world has none."""
        if text == "*":
            return tuple(pod.key for pod in self.pods)
        if text.startswith("service:"):
            return (text,) if text.removeprefix("service:") in self.world.services else ()
        namespace, slash, name = text.partition("/")
        if not slash:
            return (text,)  # an address
        return tuple(
            pod.key for pod in self.world.pods.values() if pod.on_network and _matches(pod, namespace, name)
        )

    def flows(self, pattern: FlowPattern) -> Iterator[Flow]:
        """Every flow of a pattern, without a pod's flows to itself: those no policy can stop."""
        for source in pattern.sources:
            for destination in pattern.destinations:
                for a in self.endpoints(source):
                    for b in self.endpoints(destination):
                        if a != b:
                            for port, protocol in pattern.ports:
                                yield Flow(a, b, port, protocol)

    def missing(self, pattern: FlowPattern) -> Iterator[str]:
        """The endpoints of a pattern that stand for nothing in this world."""
        for text in (*pattern.sources, *pattern.destinations):
            if not self.endpoints(text):
                yield text


def _matches(pod: Pod, namespace: str, name: str) -> bool:
    if pod.namespace != namespace:
        return False
    if "=" in name:
        wanted = dict(item.split("=", 1) for item in name.split(","))
        return Selector.from_labels(wanted).matches(pod.labels)
    return name in ("*", pod.name)


def demands(world: World, namespaces: Iterable[str], demand: Demand) -> Demands:
    """All flows that a demand speaks of in this world. Flows named by `allow` or `deny` are left out of `otherwise`."""
    scope = Scope(world, namespaces)
    found: dict[Flow, Demanded] = {}
    missing: dict[str, None] = {}
    for patterns, allow, rule in ((demand.allow, True, "allow"), (demand.deny, False, "deny")):
        for pattern in patterns:
            missing.update(dict.fromkeys(scope.missing(pattern)))
            for flow in scope.flows(pattern):
                found.setdefault(flow, Demanded(flow, allow, rule, _can_probe(world, flow)))
    if demand.otherwise:
        for flow in _everything_else(scope, demand):
            probe = _can_probe(world, flow) and _declared(world, flow)
            found.setdefault(flow, Demanded(flow, demand.otherwise == "allow", "otherwise", probe))
    return Demands(tuple(found.values()), tuple(missing))


def _everything_else(scope: Scope, demand: Demand) -> Iterator[Flow]:
    """Every source × destination × port that a policy could tell apart, within what `protect` and `guard` name."""
    guarded = [e for text in demand.guard for e in scope.endpoints(text)]
    protected = [e for text in demand.protect for e in scope.endpoints(text)]
    everyone = [pod.key for pod in scope.pods] + [OUTSIDE]
    sources = guarded or everyone
    destinations = protected or everyone
    mentioned = ports_mentioned(scope.world)
    for destination in destinations:
        pod = scope.world.pods.get(destination)
        declared = {(p.port, p.protocol) for p in pod.ports} if pod else set()
        for source in sources:
            if source != destination:
                for port, protocol in sorted(declared | mentioned):
                    yield Flow(source, destination, port, protocol)


def ports_mentioned(world: World) -> set[tuple[int, str]]:
    """The edges of every port range that some policy speaks of, and a port that none does: enough to tell all ports apart."""
    ports = {(UNUSED_PORT, "TCP"), (UNUSED_PORT, "UDP")}
    for policy in world.policies.values():
        for rule in (*policy.ingress, *policy.egress):
            for match in rule.ports or ():
                ports |= {(number, match.protocol) for number in (match.port, match.end_port) if number}
    return ports


def _can_probe(world: World, flow: Flow) -> bool:
    """Whether the cluster can be asked: between pods, or from a pod to a Service; by UDP only what answers, which is DNS."""
    ends = flow.source in world.pods and (
        flow.destination in world.pods or flow.destination.startswith("service:")
    )
    return ends and (flow.protocol == "TCP" or flow.port == 53)


def _declared(world: World, flow: Flow) -> bool:
    """Whether the destination declares the port. "Everything else" is tried only there: nothing answers elsewhere."""
    pod = world.pods.get(flow.destination)
    return pod is not None and any((p.port, p.protocol) == (flow.port, flow.protocol) for p in pod.ports)


def policy_digest(policies: Iterable[Mapping[str, Any]]) -> str:
    """A short name for the state of the policies: the same objects give the same digest, whatever their order."""
    entries = sorted(
        json.dumps([p["metadata"].get("namespace"), p["metadata"]["name"], p.get("spec", {})], sort_keys=True)
        for p in policies
    )
    return hashlib.sha256("\n".join(entries).encode()).hexdigest()[:16]
