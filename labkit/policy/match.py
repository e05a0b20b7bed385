"""What the policies of one end say about one attempt: every policy, every rule, with reasons."""

from __future__ import annotations

from dataclasses import replace

from .decision import Half, PolicyStep, RuleStep, Step, Unselected
from .flow import Direction
from .model import Pod
from .party import Attempt
from .peers import has, peer_step, port_step, port_words
from .profile import Profile
from .rules import CompiledPolicy, Rule
from .traps import traps_of
from .world import World


def half(world: World, profile: Profile, direction: Direction, attempt: Attempt, exempt: str = "") -> Half:
    """What the policies of the source (egress) or of the destination (ingress) say about an attempt."""
    egress = direction is Direction.EGRESS
    subject = attempt.source if egress else attempt.destination
    other = attempt.destination if egress else attempt.source
    if exempt or subject.pod is None:
        reason = exempt or f"{subject.name} is {subject.hides}, so no NetworkPolicy applies to it"
        return Half(direction, subject.name, other.name, isolated=False, allowed=True, exempt=reason)
    steps: list[PolicyStep] = []
    unselected: list[Unselected] = []
    for policy in world.policies_by_namespace.get(subject.pod.namespace, ()):
        silent = _silent(policy, subject.pod, direction)
        if silent is not None:
            unselected.append(silent)
        else:
            steps.append(_policy_step(world, profile, policy, direction, attempt))
    allowed = not steps or any(step.allowed for step in steps)
    if allowed:
        # A mistake in one policy does no harm here when another policy admits the flow.
        steps = [step if step.allowed else replace(step, traps=()) for step in steps]
    return Half(
        direction,
        subject.name,
        other.name,
        isolated=bool(steps),
        allowed=allowed,
        policies=tuple(steps),
        unselected=tuple(unselected),
    )


def _silent(policy: CompiledPolicy, pod: Pod, direction: Direction) -> Unselected | None:
    """Why a policy says nothing about this direction of this pod, or None when it does."""
    unmet = policy.pod_selector.unmet(pod.labels)
    if unmet is not None:
        path = f"spec.podSelector.{unmet.path}"
        reason = f"its podSelector asks for {unmet}, and {pod.key} {has(pod.labels, unmet)}"
    elif direction in policy.directions:
        return None
    else:
        path = "spec.policyTypes"
        written = policy.ingress if direction is Direction.INGRESS else policy.egress
        if not policy.types_written:
            reason = "it has no policyTypes and no egress rule, so it is about Ingress only"
        elif written:
            field = direction.lower()
            reason = f"its policyTypes do not contain {direction}, so its {field} rules are ignored"
        else:
            reason = f"its policyTypes do not contain {direction}"
    return Unselected(policy.key, reason, path, policy.line(path))


def _policy_step(
    world: World, profile: Profile, policy: CompiledPolicy, direction: Direction, attempt: Attempt
) -> PolicyStep:
    rules = tuple(
        _rule_step(world, profile, policy, rule, direction, attempt) for rule in policy.rules(direction)
    )
    subject = attempt.source if direction is Direction.EGRESS else attempt.destination
    if policy.pod_selector.is_empty:
        selected_by = f"its podSelector is empty and so selects every pod of namespace {policy.namespace}"
    else:
        selected_by = f"its podSelector {policy.pod_selector} matches {subject.name}"
    return PolicyStep(
        key=policy.key,
        selected_by=selected_by,
        path="spec.podSelector",
        line=policy.line("spec.podSelector"),
        allowed=any(rule.matched for rule in rules),
        rules=rules,
        traps=traps_of(policy, direction, rules, attempt),
    )


def _rule_step(
    world: World, profile: Profile, policy: CompiledPolicy, rule: Rule, direction: Direction, attempt: Attempt
) -> RuleStep:
    egress = direction is Direction.EGRESS
    other = attempt.destination if egress else attempt.source
    peers = tuple(peer_step(world, profile, policy, rule, peer, other, attempt) for peer in rule.peers or ())
    ports = tuple(port_step(policy, entry, attempt) for entry in rule.ports or ())
    peers_matched = rule.peers is None or any(step.matched for step in peers)
    ports_matched = rule.ports is None or any(step.matched for step in ports)
    peer, port = _telling(peers), _telling(ports)
    if rule.peers is None:
        peer_reason = f'it has no "{"to" if egress else "from"}", so it means everyone'
    else:
        peer_reason = peer.reason if peer else f"none of its {len(peers)} peers means {other.name}"
    if rule.ports is None:
        port_reason = "it has no ports, so it means every port"
    else:
        asked = ", ".join(map(str, rule.ports))
        port_reason = port.reason if port else f"{port_words(attempt)} is not among its ports ({asked})"
    if peers_matched and ports_matched:
        path, reason = peer.path if peer else rule.path, f"{peer_reason}; {port_reason}"
    elif not peers_matched:
        path, reason = peer.path if peer else rule.path, peer_reason
    else:
        path, reason = port.path if port else f"{rule.path}.ports", f"its peers match, but {port_reason}"
    return RuleStep(
        rule=rule.path,
        path=path,
        line=policy.line(path) or policy.line(rule.path),
        matched=peers_matched and ports_matched,
        reason=reason,
        peers_matched=peers_matched,
        ports_matched=ports_matched,
        peers=peers,
        ports=ports,
    )


def _telling(steps: tuple[Step, ...]) -> Step | None:
    """The step that tells the reader most: the first that matched, or the only one there is."""
    return next((step for step in steps if step.matched), steps[0] if len(steps) == 1 else None)
