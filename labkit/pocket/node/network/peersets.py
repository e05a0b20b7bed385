"""The named sets that policy rules look addresses up in: one set for all peers that mean the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from labkit.pocket.node.network import nft
from labkit.pocket.node.network.nft import Kind
from labkit.pocket.node.network.ruleset import Elements
from labkit.policy.flow import Direction
from labkit.policy.labels import Selector
from labkit.policy.model import NAME_LABEL, ContainerPort
from labkit.policy.networkpolicy import CompiledPolicy, Peer, PortMatch

Labels = tuple[tuple[str, str], ...]
Wanted = tuple[str, Peer] | PortMatch
"""What a set is to hold: the pods that a peer of a namespace's policy means, or the ports with a name."""


@dataclass(frozen=True, slots=True)
class Member:
    """A pod on the network: what selectors and named ports see of it."""

    namespace: str
    name: str
    labels: Labels
    ports: tuple[ContainerPort, ...]
    address: str
    peer: bool = True
    """False once the pod has ended (Succeeded or Failed): others' rules no longer mean it."""


Classes = Mapping[tuple[str, Labels], list[Member]]
"""Pods by namespace and labels: what no selector can tell apart."""


def classes_of(members: Iterable[Member]) -> Classes:
    """Sort pods into classes."""
    classes: dict[tuple[str, Labels], list[Member]] = defaultdict(list)
    for member in members:
        classes[member.namespace, member.labels].append(member)
    return classes


class PeerSets:
    """Names the sets and fills them. A set keeps its name for as long as a policy in force needs it."""

    def __init__(self) -> None:
        """Starts with no set."""
        self._namespaces: Mapping[str, Mapping[str, str]] = {}
        self._numbers: dict[str, int] = {}
        self._next_number = 1
        self._needs: dict[tuple[CompiledPolicy, Direction], dict[str, Wanted]] = {}
        self._texts: dict[int, tuple[Selector, str]] = {}
        self._matches: dict[tuple[str, Labels], bool] = {}

    def name_of(self, namespace: str, peer: Peer) -> str:
        """The set of a peer (one with selectors) in a policy of a namespace."""
        key = _meaning(namespace, peer)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._next_number
            self._next_number += 1
        return f"pods-{number}"

    def fill(
        self,
        deciding: Iterable[tuple[CompiledPolicy, Direction]],
        classes: Classes,
        namespaces: Mapping[str, Mapping[str, str]],
    ) -> dict[str, Elements]:
        """The sets that these halves of policies look into; names of sets that nobody needs any more are
        forgotten.
        """
        self._namespaces = namespaces
        needs: dict[tuple[CompiledPolicy, Direction], dict[str, Wanted]] = {}
        wanted: dict[str, Wanted] = {}
        for half in deciding:
            known = self._needs.get(half)
            needs[half] = dict(self._needed_by(*half)) if known is None else known
            wanted.update(needs[half])
        self._needs = needs
        sets = {}
        for name, meaning in wanted.items():
            if isinstance(meaning, PortMatch):
                sets[name] = _named_port(meaning, classes)
            else:
                sets[name] = self._peers(*meaning, classes)
        self._numbers = {key: number for key, number in self._numbers.items() if f"pods-{number}" in sets}
        return sets

    def matches(self, selector: Selector, labels: Labels) -> bool:
        """Whether labels are selected; remembered, since the same few questions come again with every
        change.
        """
        if selector.is_empty:
            return True
        text = self._texts.get(id(selector))
        if text is None:
            if len(self._texts) > 10_000:
                self._texts.clear()
            text = self._texts[id(selector)] = (selector, str(selector))  # kept, so that its id stays its own
        key = (text[1], labels)
        known = self._matches.get(key)
        if known is None:
            if len(self._matches) > 100_000:
                self._matches.clear()
            known = self._matches[key] = selector.matches(dict(labels))
        return known

    def _needed_by(self, policy: CompiledPolicy, direction: Direction) -> Iterable[tuple[str, Wanted]]:
        for rule in policy.rules(direction):
            for peer in rule.peers or ():
                if peer.ip_block is None:
                    yield self.name_of(policy.namespace, peer), (policy.namespace, peer)
            if direction is Direction.EGRESS:
                for match in rule.ports or ():
                    if match.name is not None:
                        yield port_set(match), match

    def _peers(self, namespace: str, peer: Peer, classes: Classes) -> Elements:
        elements: dict[bytes, bytes] = {}
        for (where, labels), alike in classes.items():
            if peer.namespace_selector is None:
                if where != namespace:
                    continue
            elif not self.matches(peer.namespace_selector, self._labels(where)):
                continue
            if peer.pod_selector is None or self.matches(peer.pod_selector, labels):
                elements.update((nft.packed_address(member.address), b"") for member in alike if member.peer)
        return Elements(Kind.ADDRESS, elements, comment=_meaning(namespace, peer))

    def _labels(self, namespace: str) -> Labels:
        """A namespace's labels; one whose object has not been seen yet has its name at least."""
        return tuple((self._namespaces.get(namespace) or {NAME_LABEL: namespace}).items())


def port_set(match: PortMatch) -> str:
    """The set of the addresses and ports behind a port's name."""
    return f"port-{match.protocol}-{match.name}"


def _named_port(match: PortMatch, classes: Classes) -> Elements:
    elements = {
        nft.packed_address(member.address) + nft.packed_port(port.port): b""
        for alike in classes.values()
        for member in alike
        if member.peer
        for port in member.ports
        if port.name == match.name and port.protocol == match.protocol
    }
    return Elements(Kind.ADDRESS_PORT, elements, comment=f"{match.protocol} ports named {match.name}")


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
