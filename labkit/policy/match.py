"""One policy, one rule, one peer against one flow, with the reason for each answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .decision import Half, PolicyStep, RuleStep, Step, Unselected, Why
from .flow import Direction
from .labels import Operator, Requirement, Selector
from .model import NAME_LABEL, Address, Pod
from .networkpolicy import CompiledPolicy, IpBlock, Peer, PortMatch, Rule
from .profile import Profile
from .world import World


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a flow as policy sees it.

    pod: None when selectors cannot see a pod there (outside the cluster, a node). block_address: the
    address that ipBlocks are compared with, when it is not the party's own (a Service's, before it is
    translated).
    """

    name: str
    pod: Pod | None
    address: Address
    block_address: Address | None = None
    hides: str = ""

    @property
    def seen_address(self) -> Address:
        """The address that an ipBlock is compared with."""
        return self.block_address or self.address


@dataclass(frozen=True, slots=True)
class Attempt:
    """A first packet: from whom to whom, on which port, after translation."""

    source: Party
    destination: Party
    port: int
    protocol: str


def half(world: World, profile: Profile, direction: Direction, attempt: Attempt, exempt: str = "") -> Half:
    """What the policies of the source (egress) or of the destination (ingress) say about an attempt."""
    egress = direction is Direction.EGRESS
    subject = attempt.source if egress else attempt.destination
    other = attempt.destination if egress else attempt.source
    if exempt or subject.pod is None:
        return Half(
            direction, subject.name, other.name, isolated=False, allowed=True, exempt=exempt or subject.hides
        )
    steps: list[PolicyStep] = []
    unselected: list[Unselected] = []
    for policy in world.policies_by_namespace.get(subject.pod.namespace, ()):
        reason = _not_selecting(policy, subject.pod, direction)
        if reason is not None:
            unselected.append(reason)
        else:
            steps.append(_policy_step(world, profile, policy, direction, attempt))
    allowed = not steps or any(step.allowed for step in steps)
    return Half(
        direction,
        subject.name,
        other.name,
        isolated=bool(steps),
        allowed=allowed,
        policies=tuple(steps),
        unselected=tuple(unselected),
    )


def _not_selecting(policy: CompiledPolicy, pod: Pod, direction: Direction) -> Unselected | None:
    unmet = policy.pod_selector.unmet(pod.labels)
    if unmet is not None:
        path = f"spec.podSelector.{unmet.path}"
        return Unselected(
            policy.key,
            f"its podSelector asks for {unmet}, and {pod.key} {_has(pod.labels, unmet)}",
            path,
            policy.line(path),
        )
    if direction not in policy.directions:
        if policy.types_written:
            ignored = policy.ingress if direction is Direction.INGRESS else policy.egress
            reason = f"its policyTypes do not contain {direction}"
            if ignored:
                reason += f", so its {direction.lower()} rules are ignored"
        else:
            reason = (
                "it has no policyTypes and no egress rules, so it is about Ingress only"
                if direction is Direction.EGRESS
                else f"it is not about {direction}"
            )
        return Unselected(policy.key, reason, "spec.policyTypes", policy.line("spec.policyTypes"))
    return None


def _policy_step(
    world: World, profile: Profile, policy: CompiledPolicy, direction: Direction, attempt: Attempt
) -> PolicyStep:
    rules = tuple(
        _rule_step(world, profile, policy, rule, direction, attempt) for rule in policy.rules(direction)
    )
    subject = attempt.source if direction is Direction.EGRESS else attempt.destination
    if policy.pod_selector.is_empty:
        selected_by = f"its podSelector is empty, so it selects every pod of namespace {policy.namespace}"
    else:
        selected_by = f"its podSelector {policy.pod_selector} matches {subject.name}"
    return PolicyStep(
        policy.key,
        selected_by,
        "spec.podSelector",
        policy.line("spec.podSelector"),
        any(rule.matched for rule in rules),
        rules,
        tuple(_traps(policy, direction)),
    )


def _traps(policy: CompiledPolicy, direction: Direction) -> list[str]:
    if direction is Direction.INGRESS and not policy.types_written and not policy.ingress:
        if policy.egress:
            return [
                "It has no policyTypes. Ingress is then always included, so its egress rules come with a ban on all "
                "ingress. Write policyTypes: [Egress] if only egress is meant."
            ]
        return [
            "It has no policyTypes, so it is about Ingress, and it has no ingress rule: nothing may come in."
        ]
    return []


def _rule_step(
    world: World,
    profile: Profile,
    policy: CompiledPolicy,
    rule: Rule,
    direction: Direction,
    attempt: Attempt,
) -> RuleStep:
    egress = direction is Direction.EGRESS
    other = attempt.destination if egress else attempt.source
    word = "to" if egress else "from"
    ports = tuple(_port_step(policy, entry, attempt) for entry in rule.ports or ())
    if rule.ports is None:
        ports_matched, port_reason = True, "it has no ports, so every port is meant"
    else:
        ports_matched = any(step.matched for step in ports)
        port_reason = next((s.reason for s in ports if s.matched), "") or _port_summary(rule.ports, attempt)
    if rule.peers is None:
        peers: tuple[Step, ...] = ()
        peers_matched, peer_reason = True, f'it has no "{word}", so everyone is meant'
        path = rule.path
    else:
        peers = tuple(_peer_step(world, profile, policy, rule, peer, egress, attempt) for peer in rule.peers)
        peers_matched = any(step.matched for step in peers)
        telling = next((s for s in peers if s.matched), None) or (peers[0] if len(peers) == 1 else None)
        peer_reason = telling.reason if telling else f"none of its {len(peers)} peers is {other.name}"
        path = telling.path if telling else rule.path
    if peers_matched and ports_matched:
        reason = f"{peer_reason}; {port_reason}"
    elif not peers_matched:
        reason = peer_reason
    else:
        reason, path = port_reason, f"{rule.path}.ports"
    return RuleStep(
        rule.path,
        path,
        policy.line(path) or policy.line(rule.path),
        peers_matched and ports_matched,
        reason,
        peers_matched,
        ports_matched,
        peers,
        ports,
    )


def _port_summary(entries: tuple[PortMatch, ...], attempt: Attempt) -> str:
    wanted = f"port {attempt.port}/{attempt.protocol}" if attempt.port else attempt.protocol
    return f"{wanted} is not among its ports ({', '.join(map(str, entries))})"


def _port_step(policy: CompiledPolicy, entry: PortMatch, attempt: Attempt) -> Step:
    destination = attempt.destination
    matched = entry.matches(attempt.port, attempt.protocol, destination.pod)
    here = f"{attempt.port}/{attempt.protocol}"
    if matched and entry.name is not None:
        why, reason = Why.PORT_MATCHES, f'"{entry.name}" is port {here} on {destination.name}'
    elif matched:
        why, reason = Why.PORT_MATCHES, f"port {here} is in {entry}"
    elif entry.protocol != attempt.protocol:
        why, reason = Why.OTHER_PROTOCOL, f"it is about {entry.protocol}, the flow is {attempt.protocol}"
    elif entry.name is None:
        why, reason = Why.OTHER_PORT, f"port {here} is not {entry}"
    elif destination.pod is None:
        why = Why.NAMED_PORT_NEEDS_POD
        reason = f'a port name is looked up on a pod, and {destination.name} is none: "{entry.name}" means nothing there'
    else:
        numbers = sorted(destination.pod.port_named(entry.name, entry.protocol))
        if numbers:
            why = Why.OTHER_PORT
            reason = f'"{entry.name}" is port {numbers[0]} on {destination.name}, the flow goes to {here}'
        else:
            why = Why.NO_SUCH_NAME
            reason = f'{destination.name} has no {entry.protocol} port named "{entry.name}"'
    return Step(entry.path, policy.line(entry.path), matched, why, reason)


def _peer_step(
    world: World,
    profile: Profile,
    policy: CompiledPolicy,
    rule: Rule,
    peer: Peer,
    egress: bool,
    attempt: Attempt,
) -> Step:
    other = attempt.destination if egress else attempt.source
    if peer.ip_block is not None:
        why, reason = _block(profile, peer.ip_block, other)
        matched = why is Why.ADDRESS_MATCHES
        if matched and egress and rule.ports and not _number_admits(rule, attempt):
            # Only names are left in `ports`: a name is looked up on a selected pod, not on an address.
            if any(entry.name is not None and entry.protocol == attempt.protocol for entry in rule.ports):
                matched, why = False, Why.NAMED_PORT_NEEDS_POD
                reason = "an ipBlock means addresses, and a port name can be looked up only on selected pods"
    else:
        why, reason = _selectors(world, policy, peer, other)
        matched = why in (Why.LABELS_MATCH, Why.EVERYONE)
    return Step(peer.path, policy.line(peer.path), matched, why, reason)


def _number_admits(rule: Rule, attempt: Attempt) -> bool:
    return any(entry.matches(attempt.port, attempt.protocol, None) for entry in rule.ports or ())


def _block(profile: Profile, block: IpBlock, other: Party) -> tuple[Why, str]:
    address = other.seen_address
    who = other.name if other.name == str(address) else f"{other.name} ({address})"
    if other.pod is not None and not profile.cidr_matches_pods:
        return (
            Why.BLOCK_IGNORES_PODS,
            f"an ipBlock does not match pods here ({profile.name}), and {who} is a pod",
        )
    if address.version != block.network.version:
        return (
            Why.OTHER_FAMILY,
            f"{block.network} is IPv{block.network.version}, {who} is IPv{address.version}",
        )
    if block.contains(address):
        return Why.ADDRESS_MATCHES, f"{who} is in {block}"
    if address in block.network:
        hole = next(network for network in block.excepts if address in network)
        return Why.EXCEPTED, f"{who} is in {block.network}, but also in its exception {hole}"
    return Why.OUTSIDE_BLOCK, f"{who} is not in {block.network}"


def _selectors(world: World, policy: CompiledPolicy, peer: Peer, other: Party) -> tuple[Why, str]:
    pod = other.pod
    if pod is None:
        return Why.NOT_A_POD, f"{other.name} is {other.hides or 'no pod'}; selectors find only pods"
    if not pod.on_network:
        return Why.NOT_ON_NETWORK, f"{pod.key} is {pod.phase} and is no peer"
    if peer.namespace_selector is None:
        if pod.namespace != policy.namespace:
            reason = (
                f"this peer has no namespaceSelector, so it looks only in namespace {policy.namespace}; "
                f"{pod.key} is in namespace {pod.namespace}"
            )
            if peer.pod_selector is not None and peer.pod_selector.matches(pod.labels):
                reason += " (its labels would match)"
            return Why.OTHER_NAMESPACE, reason
        where = f"in namespace {policy.namespace}"
    else:
        labels = world.labels_of_namespace(pod.namespace)
        unmet = peer.namespace_selector.unmet(labels)
        if unmet is not None:
            return (
                Why.NAMESPACE_LABELS,
                f"its namespaceSelector asks for {unmet}, and namespace {pod.namespace} {_has(labels, unmet)}",
            )
        where = f"in any namespace with {_words(peer.namespace_selector)}"
    if peer.pod_selector is None:
        return Why.LABELS_MATCH, f"it means every pod {where}, and {pod.key} is one"
    unmet = peer.pod_selector.unmet(pod.labels)
    if unmet is not None:
        return Why.POD_LABELS, f"its podSelector asks for {unmet}, and {pod.key} {_has(pod.labels, unmet)}"
    if peer.pod_selector.is_empty:
        return Why.LABELS_MATCH, f"it means every pod {where}, and {pod.key} is one"
    return Why.LABELS_MATCH, f"it means pods with {peer.pod_selector} {where}, and {pod.key} is one"


def _words(selector: Selector) -> str:
    return "any labels" if selector.is_empty else str(selector)


def _has(labels: Mapping[str, str], unmet: Requirement) -> str:
    value = labels.get(unmet.key)
    if value is None:
        return f"has no label {unmet.key}"
    if unmet.key == NAME_LABEL and unmet.operator is Operator.IN:
        return f"is called {value}"
    return f"has {unmet.key}={value}"
