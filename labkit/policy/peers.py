"""One peer or one port entry against one flow, with the reason in words."""

from __future__ import annotations

from collections.abc import Mapping

from .decision import Step, Why
from .labels import Operator, Requirement, Selector
from .model import NAME_LABEL, Pod
from .party import Attempt, Party
from .profile import Profile
from .rules import CompiledPolicy, IpBlock, Peer, PortMatch, Rule
from .world import World


def port_step(policy: CompiledPolicy, entry: PortMatch, attempt: Attempt) -> Step:
    """Try one item of `ports`. Names are looked up on the destination pod."""
    destination = attempt.destination
    here = port_words(attempt)
    if entry.matches(attempt.port, attempt.protocol, destination.pod):
        why = Why.PORT_MATCHES
        if entry.name is not None:
            reason = f'on {destination.name} the name "{entry.name}" stands for port {here}'
        else:
            reason = f"{here} is open" if str(entry) == here else f"{here} is among {entry}"
    elif entry.protocol != attempt.protocol:
        why, reason = Why.OTHER_PROTOCOL, f"it is about {entry.protocol}, the flow uses {attempt.protocol}"
    elif entry.name is None:
        why, reason = Why.OTHER_PORT, f"it is about {entry}, the flow goes to {here}"
    elif destination.pod is None:
        why = Why.NAMED_PORT_NEEDS_POD
        reason = f'"{entry.name}" is a name, names are looked up on a pod, and {destination.name} is none'
    else:
        why, reason = _name_elsewhere(entry, destination.pod, here)
    return Step(entry.path, policy.line(entry.path), why is Why.PORT_MATCHES, why, reason)


def peer_step(
    world: World,
    profile: Profile,
    policy: CompiledPolicy,
    rule: Rule,
    peer: Peer,
    other: Party,
    attempt: Attempt,
) -> Step:
    """Try one item of `from` or `to` on the other end of the flow."""
    if peer.ip_block is None:
        why, reason = _by_selectors(world, policy, peer, other)
    else:
        why, reason = _by_address(profile, peer.ip_block, other)
        if why is Why.ADDRESS_MATCHES and other is attempt.destination and _names_only(rule, attempt):
            why = Why.NAMED_PORT_NEEDS_POD
            reason = "an ipBlock means addresses, and a port name can be looked up only on selected pods"
    matched = why in (Why.LABELS_MATCH, Why.ADDRESS_MATCHES)
    return Step(peer.path, policy.line(peer.path), matched, why, reason)


def port_words(attempt: Attempt) -> str:
    """ "TCP 80", or the protocol alone when it has no ports."""
    return f"{attempt.protocol} {attempt.port}" if attempt.port else attempt.protocol


def _name_elsewhere(entry: PortMatch, pod: Pod, here: str) -> tuple[Why, str]:
    numbers = sorted(pod.port_named(entry.name or "", entry.protocol))
    if not numbers:
        return Why.NO_SUCH_NAME, f'{pod.key} has no {entry.protocol} port named "{entry.name}"'
    return (
        Why.OTHER_PORT,
        f'on {pod.key} the name "{entry.name}" stands for port {numbers[0]}, the flow goes to {here}',
    )


def _names_only(rule: Rule, attempt: Attempt) -> bool:
    """Whether only named entries of `ports` are left that could match, so that an address matches none."""
    entries = [entry for entry in rule.ports or () if entry.protocol == attempt.protocol]
    named = any(entry.name is not None for entry in entries)
    return named and not any(entry.matches(attempt.port, attempt.protocol, None) for entry in entries)


def _by_address(profile: Profile, block: IpBlock, other: Party) -> tuple[Why, str]:
    address = other.seen_address
    who = other.name if other.name == str(address) else f"{other.name} ({address})"
    if other.pod is not None and not profile.cidr_matches_pods:
        return Why.BLOCK_IGNORES_PODS, f"{who} is a pod, and in {profile.name} an ipBlock never means pods"
    if address.version != block.network.version:
        return Why.OTHER_FAMILY, f"{who} is an IPv{address.version} address, {block.network} is not"
    if block.contains(address):
        return Why.ADDRESS_MATCHES, f"{who} is in {block}"
    if address in block.network:
        hole = next(network for network in block.excepts if address in network)
        return Why.EXCEPTED, f"{who} is in {block.network}, but also in its exception {hole}"
    return Why.OUTSIDE_BLOCK, f"{who} is not in {block.network}"


def _by_selectors(world: World, policy: CompiledPolicy, peer: Peer, other: Party) -> tuple[Why, str]:
    pod = other.pod
    if pod is None:
        return Why.NOT_A_POD, f"{other.name} is {other.hides or 'no pod'}, and selectors find only pods"
    if not pod.on_network:
        return Why.NOT_ON_NETWORK, f"{pod.key} is {pod.phase} and therefore no peer"
    if peer.namespace_selector is None:
        if pod.namespace != policy.namespace:
            return Why.OTHER_NAMESPACE, _own_namespace_only(policy, peer, pod)
        where = f"in namespace {policy.namespace}"
    else:
        labels = world.labels_of_namespace(pod.namespace)
        unmet = peer.namespace_selector.unmet(labels)
        if unmet is not None:
            asks = f"its namespaceSelector asks for {unmet}"
            return Why.NAMESPACE_LABELS, f"{asks}, and namespace {pod.namespace} {has(labels, unmet)}"
        where = _in_namespaces(peer.namespace_selector)
    unmet = peer.pod_selector.unmet(pod.labels) if peer.pod_selector else None
    if unmet is not None:
        return Why.POD_LABELS, f"its podSelector asks for {unmet}, and {pod.key} {has(pod.labels, unmet)}"
    if peer.pod_selector is None or peer.pod_selector.is_empty:
        return Why.LABELS_MATCH, f"it means every pod {where}, and {pod.key} is one"
    return Why.LABELS_MATCH, f"it means the pods with {peer.pod_selector} {where}, and {pod.key} is one"


def _own_namespace_only(policy: CompiledPolicy, peer: Peer, pod: Pod) -> str:
    reason = (
        f"this peer has no namespaceSelector, so it looks only in namespace {policy.namespace}, "
        f"and {pod.key} is in namespace {pod.namespace}"
    )
    if peer.pod_selector is not None and peer.pod_selector.matches(pod.labels):
        reason += " (its own labels would match)"
    return reason


def _in_namespaces(selector: Selector) -> str:
    return "in any namespace" if selector.is_empty else f"in namespaces with {selector}"


def has(labels: Mapping[str, str], unmet: Requirement) -> str:
    """What labels say about a condition that they do not meet: "has role=x", "has no label role"."""
    value = labels.get(unmet.key)
    if value is None:
        return f"has no label {unmet.key}"
    if unmet.key == NAME_LABEL and unmet.operator is Operator.IN:
        return f"is called {value}"
    return f"has {unmet.key}={value}"
