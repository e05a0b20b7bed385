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

from labkit.pocket.node.network import expressions as ex
from labkit.pocket.node.network import nft
from labkit.pocket.node.network.expressions import Compare, Verdict
from labkit.pocket.node.network.nft import Kind
from labkit.pocket.node.network.peersets import Member, PeerSets, classes_of, port_set
from labkit.pocket.node.network.ruleset import BaseChain, Chain, Elements, Rule, Ruleset
from labkit.policy.flow import Direction
from labkit.policy.model import ContainerPort
from labkit.policy.networkpolicy import CompiledPolicy, IpBlock, Peer, PortMatch

TABLE = "pocket-policy"


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
        self._peers = PeerSets()
        self._chains: dict[tuple[object, ...], tuple[Rule, ...]] = {}
        self._last = Ruleset(TABLE)

    def render(
        self,
        policies: Iterable[CompiledPolicy],
        members: Iterable[Member],
        namespaces: Mapping[str, Mapping[str, str]],
    ) -> Ruleset:
        """The table for this state of the cluster."""
        classes = classes_of(members)
        by_namespace: dict[str, list[CompiledPolicy]] = defaultdict(list)
        for policy in sorted(policies, key=lambda policy: policy.key):
            by_namespace[policy.namespace].append(policy)
        chains = dict(_BASE_CHAINS)
        sets: dict[str, Elements] = {}
        known, self._chains = self._chains, {}
        halves: dict[tuple[CompiledPolicy, Direction], None] = {}
        for direction in _DIRECTIONS:
            jumps: dict[bytes, bytes] = {}
            for (namespace, labels), alike in classes.items():
                deciding = tuple(
                    policy
                    for policy in by_namespace.get(namespace, ())
                    if direction in policy.directions and self._peers.matches(policy.pod_selector, labels)
                )
                if not deciding:
                    continue
                halves.update(((policy, direction), None) for policy in deciding)
                for member in alike:
                    name = chain_name(direction, member.address)
                    rules = self._remembered(known, deciding, direction, member)
                    chains[name] = Chain(rules, comment=f"pod {member.namespace}/{member.name}")
                    jumps[nft.packed_address(member.address)] = nft.verdict_element(Verdict.GOTO, name)
            sets[dispatch_map(direction)] = Elements(Kind.ADDRESS, jumps, Kind.VERDICT)
        sets |= self._peers.fill(halves, classes, namespaces)
        for name, content in sets.items():
            if self._last.sets.get(name) == content:
                sets[name] = self._last.sets[name]
        self._last = Ruleset(TABLE, chains, sets)
        return self._last

    def _remembered(
        self,
        known: Mapping[tuple[object, ...], tuple[Rule, ...]],
        policies: tuple[CompiledPolicy, ...],
        direction: Direction,
        member: Member,
    ) -> tuple[Rule, ...]:
        """The rules of a pod; pods that the same policies select share them (named ports aside)."""
        ports = member.ports if direction is Direction.INGRESS else ()
        key = (direction, policies, ports)
        rules = self._chains.get(key) or known.get(key) or self._rules(policies, direction, ports)
        self._chains[key] = rules
        return rules

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
        return ex.address(offset) + ex.in_set(self._peers.name_of(policy.namespace, peer))


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
            yield protocol + key + ex.in_set(port_set(match))
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


_DIRECTIONS = (Direction.EGRESS, Direction.INGRESS)
_BASE_CHAINS = {
    "egress": _base_chain(Direction.EGRESS, 0, ex.SOURCE),
    "ingress": _base_chain(Direction.INGRESS, 1, ex.DESTINATION),
}
