"""NetworkPolicy as nftables: compiled policies and pods in, the table's content out.

Two base chains on the forward hook, egress before ingress, look the packet's source and destination up in a
verdict map; an isolated pod has a chain for the direction there, which accepts what a rule allows and drops
the rest. Accept ends only the half that decided, so a new connection needs both halves. Nothing looks at
the input and output hooks: traffic between a pod and its own node is always allowed (kubernetes.io,
NetworkPolicy, "What you can't do").
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from labkit.pocket.node.network import expressions as ex
from labkit.pocket.node.network import nft
from labkit.pocket.node.network.expressions import Compare, Verdict
from labkit.pocket.node.network.nft import Kind
from labkit.pocket.node.network.ruleset import BaseChain, Chain, Elements, Rule, Ruleset
from labkit.policy.flow import Direction
from labkit.policy.labels import Selector
from labkit.policy.model import NAME_LABEL, ContainerPort
from labkit.policy.networkpolicy import CompiledPolicy, IpBlock, Peer, PortMatch

TABLE = "pocket-policy"
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Member:
    """A pod on the network: what selectors and named ports see of it."""

    namespace: str
    name: str
    labels: tuple[tuple[str, str], ...]
    ports: tuple[ContainerPort, ...]
    address: str
    peer: bool = True
    """False once the pod has ended (Succeeded or Failed): others' rules no longer mean it."""


def chain_name(direction: Direction, address: str) -> str:
    """The chain of a pod for a direction."""
    return f"{direction.value.lower()}-{address}"


def dispatch_map(direction: Direction) -> str:
    """The map from the address of an isolated pod to its chain."""
    return f"{direction.value.lower()}-pods"


class PolicyRules:
    """Renders the table again and again; what did not change comes out as the same objects, so a difference
    is cheap.
    """

    def __init__(self) -> None:
        """Starts with nothing rendered."""
        self._namespaces: dict[str, Labels] = {}
        self._matches: dict[tuple[str, tuple[tuple[str, str], ...]], bool] = {}
        self._numbers: dict[str, int] = {}
        self._next_number = 1
        self._chains: dict[tuple[object, ...], tuple[Rule, ...]] = {}
        self._last = Ruleset(TABLE)

    def render(
        self, policies: Iterable[CompiledPolicy], members: Iterable[Member], namespaces: Mapping[str, Labels]
    ) -> Ruleset:
        """The table for this state of the cluster."""
        self._namespaces = dict(namespaces)
        classes: dict[tuple[str, tuple[tuple[str, str], ...]], list[Member]] = defaultdict(list)
        for member in members:
            classes[member.namespace, member.labels].append(member)
        by_namespace: dict[str, list[CompiledPolicy]] = defaultdict(list)
        for policy in sorted(policies, key=lambda policy: policy.key):
            by_namespace[policy.namespace].append(policy)
        sets: dict[str, Elements] = {}
        chains = dict(_BASE_CHAINS)
        used: dict[tuple[object, ...], tuple[Rule, ...]] = {}
        dispatch: dict[Direction, dict[bytes, bytes]] = {Direction.EGRESS: {}, Direction.INGRESS: {}}
        wanted: dict[str, tuple[str, Peer] | PortMatch] = {}
        for (namespace, labels), alike in classes.items():
            selecting = [p for p in by_namespace.get(namespace, ()) if self._match(p.pod_selector, labels)]
            for direction, jumps in dispatch.items():
                deciding = tuple(policy for policy in selecting if direction in policy.directions)
                if not deciding:
                    continue
                for policy in deciding:
                    wanted.update(self._sets_of(policy, direction))
                for member in alike:
                    ports = member.ports if direction is Direction.INGRESS else ()
                    key = (direction, deciding, ports)
                    rules = used.get(key) or self._chains.get(key) or self._rules(deciding, direction, ports)
                    used[key] = rules
                    name = chain_name(direction, member.address)
                    chains[name] = Chain(rules, comment=f"pod {member.namespace}/{member.name}")
                    jumps[nft.packed_address(member.address)] = nft.verdict_element(Verdict.GOTO, name)
        self._chains = used
        for name, meaning in wanted.items():
            if isinstance(meaning, PortMatch):
                sets[name] = self._named_port(meaning, classes)
            else:
                sets[name] = self._peers(*meaning, classes)
        for direction, jumps in dispatch.items():
            sets[dispatch_map(direction)] = Elements(Kind.ADDRESS, jumps, Kind.VERDICT)
        self._numbers = {key: number for key, number in self._numbers.items() if f"pods-{number}" in sets}
        return self._remember(chains, sets)

    def _remember(self, chains: dict[str, Chain], sets: dict[str, Elements]) -> Ruleset:
        """Put the previous object in place of an equal one."""
        for name, content in sets.items():
            if self._last.sets.get(name) == content:
                sets[name] = self._last.sets[name]
        self._last = Ruleset(TABLE, chains, sets)
        return self._last

    # ---- rules ---------------------------------------------------------------------------------------------

    def _rules(
        self, policies: tuple[CompiledPolicy, ...], direction: Direction, ports: tuple[ContainerPort, ...]
    ) -> tuple[Rule, ...]:
        found = [rule for policy in policies for rule in self._policy_rules(policy, direction, ports)]
        names = ", ".join(policy.name for policy in policies)
        end = ex.counter() + ex.verdict(Verdict.DROP)
        found.append(Rule(end, f"no rule allows it; isolated by {names}"))
        return tuple(found)

    def _policy_rules(
        self, policy: CompiledPolicy, direction: Direction, ports: tuple[ContainerPort, ...]
    ) -> Iterable[Rule]:
        end = ex.counter() + ex.verdict(Verdict.ACCEPT)
        for rule in policy.rules(direction):
            for peer in rule.peers or (None,):
                who = self._who(policy, direction, peer)
                if who is None:
                    continue
                where = f"{policy.name} {peer.path if peer else rule.path}"
                if rule.ports is None:
                    yield Rule(who + end, where)
                    continue
                for match in rule.ports:
                    if match.name and peer and peer.ip_block and direction is Direction.EGRESS:
                        continue  # a port's name belongs to the destination pod, and an address has no names
                    short = match.path.rpartition(".")[2]
                    for what in _what(match, direction, ports):
                        yield Rule(who + what + end, f"{where} {short}")

    def _who(self, policy: CompiledPolicy, direction: Direction, peer: Peer | None) -> bytes | None:
        """The expressions that recognise a peer; None if no IPv4 address can be it."""
        if peer is None:
            return b""
        offset = ex.SOURCE if direction is Direction.INGRESS else ex.DESTINATION
        if peer.ip_block is not None:
            return _block(peer.ip_block, offset)
        return ex.address(offset) + ex.in_set(self._peer_set(policy.namespace, peer))

    def _sets_of(
        self, policy: CompiledPolicy, direction: Direction
    ) -> Iterable[tuple[str, tuple[str, Peer] | PortMatch]]:
        for rule in policy.rules(direction):
            for peer in rule.peers or ():
                if peer.ip_block is None:
                    yield self._peer_set(policy.namespace, peer), (policy.namespace, peer)
            if direction is Direction.EGRESS:
                for match in rule.ports or ():
                    if match.name is not None:
                        yield _port_set(match), match

    # ---- sets ----------------------------------------------------------------------------------------------

    def _peer_set(self, namespace: str, peer: Peer) -> str:
        """The name of the set with a peer's addresses: one set for all peers that mean the same."""
        key = _meaning(namespace, peer)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._next_number
            self._next_number += 1
        return f"pods-{number}"

    def _peers(
        self,
        namespace: str,
        peer: Peer,
        classes: Mapping[tuple[str, tuple[tuple[str, str], ...]], list[Member]],
    ) -> Elements:
        elements: dict[bytes, bytes] = {}
        for (where, labels), alike in classes.items():
            if peer.namespace_selector is None:
                if where != namespace:
                    continue
            elif not self._match(peer.namespace_selector, tuple(self._labels(where).items())):
                continue
            if peer.pod_selector is None or self._match(peer.pod_selector, labels):
                elements.update((nft.packed_address(member.address), b"") for member in alike if member.peer)
        return Elements(Kind.ADDRESS, elements, comment=_meaning(namespace, peer))

    def _named_port(
        self, match: PortMatch, classes: Mapping[tuple[str, tuple[tuple[str, str], ...]], list[Member]]
    ) -> Elements:
        elements = {
            nft.packed_address(member.address) + nft.packed_port(port.port): b""
            for alike in classes.values()
            for member in alike
            if member.peer
            for port in member.ports
            if port.name == match.name and port.protocol == match.protocol
        }
        return Elements(Kind.ADDRESS_PORT, elements, comment=f"{match.protocol} ports named {match.name}")

    def _labels(self, namespace: str) -> Labels:
        """A namespace's labels; one whose object has not been seen yet has its name at least."""
        return self._namespaces.get(namespace) or {NAME_LABEL: namespace}

    def _match(self, selector: Selector, labels: tuple[tuple[str, str], ...]) -> bool:
        if selector.is_empty:
            return True
        key = (str(selector), labels)
        known = self._matches.get(key)
        if known is None:
            if len(self._matches) > 100_000:
                self._matches.clear()
            known = self._matches[key] = selector.matches(dict(labels))
        return known


def _meaning(namespace: str, peer: Peer) -> str:
    """A peer's selectors in words; equal words select the same pods, whatever policy they stand in."""
    if peer.namespace_selector is None:
        where = f"in {namespace}"
    elif peer.namespace_selector.is_empty:
        where = "in every namespace"
    else:
        where = f"in namespaces with {peer.namespace_selector}"
    if peer.pod_selector is None or peer.pod_selector.is_empty:
        return f"pods {where}"
    return f"pods with {peer.pod_selector} {where}"


def _port_set(match: PortMatch) -> str:
    return f"port-{match.protocol}-{match.name}"


def _block(block: IpBlock, offset: int) -> bytes | None:
    """`address in cidr and not in any except`, without a set: a comparison under a mask for each."""
    if block.network.version != 4:
        return None
    found = b""
    if block.network.prefixlen:
        found += ex.address(offset) + ex.masked(block.network.netmask.packed)
        found += ex.compare(block.network.network_address.packed)
    for network in block.excepts:
        found += ex.address(offset) + ex.masked(network.netmask.packed)
        found += ex.compare(network.network_address.packed, Compare.NEQ)
    return found


def _what(match: PortMatch, direction: Direction, ports: tuple[ContainerPort, ...]) -> Iterable[bytes]:
    """The expressions that recognise a port entry, for each rule it takes. `ports` are those of an ingress
    rule's subject.
    """
    protocol = ex.protocol() + ex.compare(bytes([ex.PROTOCOL_NUMBERS[match.protocol]]))
    if match.name is not None:
        if direction is Direction.EGRESS:
            # The destination's own names count, so each pod may have another number behind the same name.
            key = ex.address(ex.DESTINATION) + ex.port(ex.FIRST_REGISTER + 1)
            yield protocol + key + ex.in_set(_port_set(match))
        else:
            numbers = {p.port for p in ports if p.name == match.name and p.protocol == match.protocol}
            for number in sorted(numbers):
                yield protocol + ex.port() + ex.compare(struct.pack("!H", number))
    elif match.port is None:
        yield protocol
    elif match.end_port is None or match.end_port == match.port:
        yield protocol + ex.port() + ex.compare(struct.pack("!H", match.port))
    else:
        low, high = struct.pack("!H", match.port), struct.pack("!H", match.end_port)
        yield protocol + ex.port() + ex.compare(low, Compare.GTE) + ex.compare(high, Compare.LTE)


def _base_chain(direction: Direction, priority: int, offset: int) -> Chain:
    open_already = ex.connection_state(ex.State.ESTABLISHED | ex.State.RELATED)
    return Chain(
        (
            Rule(open_already + ex.counter() + ex.verdict(Verdict.ACCEPT), "replies and open connections"),
            Rule(ex.address(offset) + ex.look_up(dispatch_map(direction)), "pods that a policy isolates"),
        ),
        BaseChain("filter", nft.Hook.FORWARD, priority),
    )


_BASE_CHAINS = {
    "egress": _base_chain(Direction.EGRESS, 0, ex.SOURCE),
    "ingress": _base_chain(Direction.INGRESS, 1, ex.DESTINATION),
}
