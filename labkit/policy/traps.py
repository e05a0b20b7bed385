"""The classic mistakes, recognised where they decided a flow, each with a sentence that names it."""

from __future__ import annotations

from collections.abc import Iterator

from .decision import RuleStep, Trap, Why
from .flow import Direction
from .party import Attempt, Party
from .rules import CompiledPolicy, Peer, Rule


def traps_of(
    policy: CompiledPolicy, direction: Direction, steps: tuple[RuleStep, ...], attempt: Attempt
) -> tuple[Trap, ...]:
    """The traps of one policy that have to do with this flow."""
    rules = policy.rules(direction)
    other = attempt.destination if direction is Direction.EGRESS else attempt.source
    found = list(_defaulted_types(policy, direction))
    pairs = list(zip(rules, steps, strict=True))
    if any(step.matched for step in steps):
        # Mistakes that let in too much.
        for rule, step in pairs:
            found += _two_dashes(policy, rule, step)
        found += _rule_split(policy, direction, rules, steps)
    else:
        # Mistakes that let in too little.
        for rule, step in pairs:
            found += _own_namespace(policy, rule, step, other)
            found += _half_of_a_pair(policy, rule, step)
            found += _missing_protocol(policy, rule, step, attempt)
    return tuple(dict.fromkeys(found))


def _trap(policy: CompiledPolicy, code: str, path: str, text: str) -> Trap:
    return Trap(code, text, path, policy.line(path))


def _defaulted_types(policy: CompiledPolicy, direction: Direction) -> Iterator[Trap]:
    if policy.types_written or direction is Direction.EGRESS or policy.ingress:
        return
    if policy.egress:
        text = (
            "The policy has no policyTypes. Ingress is then always included, so a policy with nothing but egress "
            "rules also closes all ingress. Write policyTypes: [Egress] if only egress is meant."
        )
    elif policy.line("spec.egress"):
        text = (
            "An empty egress list does not make a policy about Egress. Without policyTypes this one is about "
            "Ingress, and lets nothing in. Write policyTypes: [Egress] to close egress."
        )
    else:
        return
    yield _trap(policy, "types-defaulted", "spec", text)


def _two_dashes(policy: CompiledPolicy, rule: Rule, step: RuleStep) -> Iterator[Trap]:
    """Two list items where one was meant: a namespace alone, or a pod label alone, was enough."""
    if not step.matched or rule.peers is None:
        return
    by_namespace = [i for i, peer in enumerate(rule.peers) if _only_namespaces(peer)]
    by_pods = [i for i, peer in enumerate(rule.peers) if _only_pods(peer)]
    if not by_namespace or not by_pods:
        return
    # When both items match, one item with both selectors would have let the flow in as well.
    if any(step.peers[i].matched for i in by_namespace) and any(step.peers[i].matched for i in by_pods):
        return
    matched = next((i for i in (*by_namespace, *by_pods) if step.peers[i].matched), None)
    if matched is not None:
        text = (
            "namespaceSelector and podSelector stand in two list items here (each has its own dash), so one of "
            "them alone is enough. To require both, put them in one item, under one dash."
        )
        yield _trap(policy, "two-dashes", rule.peers[matched].path, text)


def _own_namespace(policy: CompiledPolicy, rule: Rule, step: RuleStep, other: Party) -> Iterator[Trap]:
    for peer, peer_step in zip(rule.peers or (), step.peers, strict=True):
        if step.peers_matched or peer_step.why is not Why.OTHER_NAMESPACE or not _labels_fit(peer, other):
            continue
        text = (
            f"A podSelector without a namespaceSelector looks only in the policy's own namespace "
            f"({policy.namespace}). For pods of other namespaces add a namespaceSelector to the same item."
        )
        yield _trap(policy, "own-namespace", peer.path, text)


def _half_of_a_pair(policy: CompiledPolicy, rule: Rule, step: RuleStep) -> Iterator[Trap]:
    """One item with both selectors, of which only one matches."""
    if step.peers_matched:
        return
    for peer, peer_step in zip(rule.peers or (), step.peers, strict=True):
        if peer.namespace_selector is None or peer.pod_selector is None:
            continue
        if peer_step.why is Why.POD_LABELS:
            text = (
                "namespaceSelector and podSelector stand in one list item, so both must match. "
                "The namespace does, the pod does not."
            )
            yield _trap(policy, "one-dash", peer.path, text)


def _rule_split(
    policy: CompiledPolicy, direction: Direction, rules: tuple[Rule, ...], steps: tuple[RuleStep, ...]
) -> Iterator[Trap]:
    """Peers in one rule and ports in the next, where one rule was meant: each then lets in too much."""
    word = "from" if direction is Direction.INGRESS else "to"
    only_peers = [i for i, rule in enumerate(rules) if rule.peers is not None and rule.ports is None]
    only_ports = [i for i, rule in enumerate(rules) if rule.peers is None and rule.ports is not None]
    if not only_peers or not only_ports:
        return
    matched = [i for i in (*only_peers, *only_ports) if steps[i].matched]
    if len(matched) == 1:
        text = (
            f'"{word}" and "ports" stand in two rules here (each has its own dash). The one lets its peers in on '
            f"every port, the other lets everyone in on its ports. To require both, write one rule."
        )
        yield _trap(policy, "rule-split", rules[matched[0]].path, text)


def _missing_protocol(policy: CompiledPolicy, rule: Rule, step: RuleStep, attempt: Attempt) -> Iterator[Trap]:
    """The right number under the wrong protocol, as happens with DNS."""
    if not step.peers_matched or step.ports_matched:
        return
    for entry, port_step in zip(rule.ports or (), step.ports, strict=True):
        if port_step.why is not Why.OTHER_PROTOCOL or entry.port is None:
            continue
        if entry.port <= attempt.port <= (entry.end_port or entry.port):
            text = (
                f"The port number is right, the protocol is not: this entry opens {entry.protocol} and says "
                f"nothing about {attempt.protocol}. An entry without a protocol means TCP."
            )
            yield _trap(policy, "protocol", entry.path, text)


def _labels_fit(peer: Peer, other: Party) -> bool:
    return other.pod is not None and (
        peer.pod_selector is None or peer.pod_selector.matches(other.pod.labels)
    )


def _only_namespaces(peer: Peer) -> bool:
    return peer.namespace_selector is not None and peer.pod_selector is None


def _only_pods(peer: Peer) -> bool:
    return peer.pod_selector is not None and peer.namespace_selector is None
