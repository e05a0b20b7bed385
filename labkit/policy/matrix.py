"""Every source to every destination at once, for one port: the bit-set evaluation beneath a truth table.

Only plain ends are here (pods with their own address, addresses outside the cluster). What has several
readings is decided one by one, in `decide`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

from .bits import PodIndex, bits_of, mask_of
from .flow import Direction, Family
from .model import Address
from .profile import Profile
from .rules import CompiledPolicy, Peer, PortMatch, Rule

_DIRECTIONS = (Direction.INGRESS, Direction.EGRESS)


@dataclass(frozen=True, slots=True)
class RuleMasks:
    """Whom a rule's peers mean. Bits 0..n-1 are the pods of the index, the bits above are the externals."""

    ports: tuple[PortMatch, ...] | None
    everyone: int
    by_selector: int


@dataclass(frozen=True, slots=True)
class PolicyMasks:
    """Whom a policy selects, and its rules' peers, for each of its directions."""

    subjects: int
    rules: dict[Direction, tuple[RuleMasks, ...]]


class MaskBook:
    """The masks of policies for one family, one profile and one row of externals; each computed once."""

    def __init__(
        self, index: PodIndex, family: Family, profile: Profile, externals: Sequence[Address]
    ) -> None:
        self.index = index
        self.externals = tuple(externals)
        self._family = family
        self._profile = profile
        self._above = len(index.pods)
        self._reachable = index.with_family(family) & index.ordinary
        self.everyone = self._reachable | mask_of(
            self._above + i for i, ip in enumerate(self.externals) if Family.of(ip.version) is family
        )
        self._of_policy: WeakKeyDictionary[CompiledPolicy, PolicyMasks] = WeakKeyDictionary()

    def of(self, policy: CompiledPolicy) -> PolicyMasks:
        """The masks of one policy."""
        masks = self._of_policy.get(policy)
        if masks is None:
            index = self.index
            subjects = index.in_namespace(policy.namespace) & index.with_labels(policy.pod_selector)
            masks = PolicyMasks(
                subjects & index.ordinary,
                {
                    direction: tuple(self._rule(policy, rule) for rule in policy.rules(direction))
                    for direction in _DIRECTIONS
                    if direction in policy.directions
                },
            )
            self._of_policy[policy] = masks
        return masks

    def _rule(self, policy: CompiledPolicy, rule: Rule) -> RuleMasks:
        if rule.peers is None:
            return RuleMasks(rule.ports, self.everyone, self.everyone)
        by_selector = by_block = 0
        for peer in rule.peers:
            if peer.ip_block is None:
                by_selector |= self._selected(policy, peer)
            else:
                by_block |= self._in_block(peer)
        by_selector &= self._reachable
        return RuleMasks(rule.ports, by_selector | by_block, by_selector)

    def _selected(self, policy: CompiledPolicy, peer: Peer) -> int:
        index = self.index
        if peer.namespace_selector is None:
            mask = index.in_namespace(policy.namespace)
        else:
            mask = index.in_matching_namespaces(peer.namespace_selector)
        return mask if peer.pod_selector is None else mask & index.with_labels(peer.pod_selector)

    def _in_block(self, peer: Peer) -> int:
        block = peer.ip_block
        assert block is not None
        mask = mask_of(self._above + i for i, ip in enumerate(self.externals) if block.contains(ip))
        if self._profile.cidr_matches_pods:
            mask |= self.index.in_block(block, self._family) & self._reachable
        return mask


class Matrix:
    """Both halves of every flow to one port and protocol."""

    def __init__(self, book: MaskBook, policies: Sequence[CompiledPolicy], port: int, protocol: str) -> None:
        self._book = book
        self._policies = policies
        self._port = port
        self._protocol = protocol

    @cached_property
    def egress(self) -> list[int]:
        """For each pod, the ends that its egress half lets it reach."""
        return self._rows(Direction.EGRESS)

    @cached_property
    def ingress(self) -> list[int]:
        """For each pod, the ends that its ingress half lets in."""
        return self._rows(Direction.INGRESS)

    @cached_property
    def allowed(self) -> list[int]:
        """For each end (pods, then externals), the pods that it reaches; for pods also the externals."""
        count = len(self._book.index.pods)
        pods = (1 << count) - 1
        ends = count + len(self._book.externals)
        admitted = [0] * ends
        # Many pods admit the same ends: turn each distinct row round once.
        alike: dict[int, list[int]] = {}
        for i, row in enumerate(self.ingress):
            alike.setdefault(row, []).append(i)
        for row, members in alike.items():
            group = mask_of(members)
            for end in bits_of(row):
                admitted[end] |= group
        for i, row in enumerate(self.egress):
            admitted[i] = row & (admitted[i] | ~pods)
        return admitted

    def _rows(self, direction: Direction) -> list[int]:
        rows = [0] * len(self._book.index.pods)
        isolated = 0
        for subjects, admitted in self._grants(direction):
            isolated |= subjects
            if admitted:
                for i in bits_of(subjects):
                    rows[i] |= admitted
        everyone = self._book.everyone
        for i in bits_of(self._book.index.everything & ~isolated):
            rows[i] = everyone
        return rows

    def _grants(self, direction: Direction) -> Iterator[tuple[int, int]]:
        """Pairs of pods and the ends they may talk to. A policy without a matching rule grants nobody."""
        index, port, protocol = self._book.index, self._port, self._protocol
        for policy in self._policies:
            masks = self._book.of(policy)
            rules = masks.rules.get(direction)
            if rules is None or not masks.subjects:
                continue
            admitted = 0
            for rule in rules:
                if rule.ports is None or any(entry.matches(port, protocol, None) for entry in rule.ports):
                    admitted |= rule.everyone
                    continue
                named = 0
                for entry in rule.ports:
                    if entry.name is not None and entry.protocol == protocol:
                        named |= index.with_port_named(entry.name, port, protocol)
                if not named:
                    continue
                # A name is looked up on the destination: the subject of an ingress rule, the peer of an
                # egress rule, where an address (ipBlock) has no names.
                if direction is Direction.INGRESS:
                    yield masks.subjects & named, rule.everyone
                else:
                    admitted |= rule.by_selector & named
            yield masks.subjects, admitted
