"""Pods as bit sets: bit i of an integer stands for pod i, so that one `&` or `|` treats every pod at once.

An inverted index holds, for each label, the set of pods (or namespaces) that carry it; each distinct
selector is turned into a set once and remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from .flow import Family
from .labels import Operator, Requirement, Selector
from .model import Address, Namespace, Pod
from .profile import Profile
from .rules import IpBlock

B = TypeVar("B")


class LabelIndex:
    """Which of a row of label sets a selector matches, as a bit set."""

    def __init__(self, rows: Sequence[Mapping[str, str]]) -> None:
        self._labels = rows
        self.everything = (1 << len(rows)) - 1
        values: dict[str, dict[str, list[int]]] = {}
        for i, labels in enumerate(rows):
            for key, value in labels.items():
                values.setdefault(key, {}).setdefault(value, []).append(i)
        self._values = {
            key: {value: mask_of(bits) for value, bits in by_value.items()}
            for key, by_value in values.items()
        }
        self._keys = {key: _union(by_value.values()) for key, by_value in self._values.items()}
        self._memo: dict[tuple[Requirement, ...], int] = {}

    def matching(self, selector: Selector) -> int:
        """The rows that the selector matches."""
        mask = self._memo.get(selector.requirements)
        if mask is None:
            mask = self.everything
            for requirement in selector.requirements:
                mask &= self._requirement(requirement)
            self._memo[selector.requirements] = mask
        return mask

    def _requirement(self, requirement: Requirement) -> int:
        present = self._keys.get(requirement.key, 0)
        match requirement.operator:
            case Operator.EXISTS:
                return present
            case Operator.DOES_NOT_EXIST:
                return self.everything & ~present
            case Operator.IN | Operator.NOT_IN:
                by_value = self._values.get(requirement.key, {})
                named = _union(by_value.get(value, 0) for value in requirement.values)
                return named if requirement.operator is Operator.IN else self.everything & ~named
        return mask_of(i for i, labels in enumerate(self._labels) if requirement.matches(labels))


class PodIndex:
    """The pods of a world in a fixed order, and the sets that selectors, address blocks and port names
    mean.
    """

    def __init__(self, namespaces: Mapping[str, Namespace], pods: Sequence[Pod]) -> None:
        self.pods = tuple(pods)
        self.number = {pod.key: i for i, pod in enumerate(self.pods)}
        self.everything = (1 << len(self.pods)) - 1
        self._pod_labels = LabelIndex([pod.labels for pod in self.pods])
        self._namespaces = tuple(namespaces)
        self._namespace_labels = LabelIndex([namespaces[name].labels for name in self._namespaces])
        by_namespace: dict[str, list[int]] = {}
        for i, pod in enumerate(self.pods):
            by_namespace.setdefault(pod.namespace, []).append(i)
        self._in_namespace = {name: mask_of(bits) for name, bits in by_namespace.items()}
        # A host-network pod is no peer and no subject in the commonest reading; others are asked pod by pod.
        self.ordinary = mask_of(i for i, pod in enumerate(self.pods) if not pod.host_network)
        self._in_matching: dict[Selector, int] = {}
        self._in_block: dict[tuple[IpBlock, Family], int] = {}
        self._named: dict[tuple[str, int, str], int] = {}
        self._addresses: dict[Family, list[tuple[int, Address]]] = {}
        self._books: dict[tuple[Hashable, ...], Any] = {}

    def book(
        self, family: Family, profile: Profile, externals: tuple[Address, ...], make: Callable[..., B]
    ) -> B:
        """What `make(index, family, profile, externals)` gives, kept while the pods stay the same."""
        key = (family, profile, externals)
        if key not in self._books:
            self._books[key] = make(self, family, profile, externals)
        book: B = self._books[key]
        return book

    def in_namespace(self, name: str) -> int:
        """The pods of a namespace."""
        return self._in_namespace.get(name, 0)

    def in_matching_namespaces(self, selector: Selector) -> int:
        """The pods of the namespaces that the selector matches."""
        mask = self._in_matching.get(selector)
        if mask is None:
            chosen = self._namespace_labels.matching(selector)
            mask = _union(self.in_namespace(self._namespaces[i]) for i in bits_of(chosen))
            self._in_matching[selector] = mask
        return mask

    def with_labels(self, selector: Selector) -> int:
        """The pods, of any namespace, that the selector matches."""
        return self._pod_labels.matching(selector)

    def with_family(self, family: Family) -> int:
        """The pods that have an address of the family."""
        return mask_of(i for i, _ in self._of_family(family))

    def in_block(self, block: IpBlock, family: Family) -> int:
        """The pods whose address of the family is in the block."""
        memo = (block, family)
        mask = self._in_block.get(memo)
        if mask is None:
            mask = mask_of(i for i, ip in self._of_family(family) if block.contains(ip))
            self._in_block[memo] = mask
        return mask

    def with_port_named(self, name: str, port: int, protocol: str) -> int:
        """The pods on which the name stands for this port of this protocol."""
        memo = (name, port, protocol)
        mask = self._named.get(memo)
        if mask is None:
            mask = mask_of(i for i, pod in enumerate(self.pods) if port in pod.port_named(name, protocol))
            self._named[memo] = mask
        return mask

    def _of_family(self, family: Family) -> list[tuple[int, Address]]:
        pairs = self._addresses.get(family)
        if pairs is None:
            pairs = [(i, ip) for i, pod in enumerate(self.pods) if (ip := pod.ip(family)) is not None]
            self._addresses[family] = pairs
        return pairs


def mask_of(bits: Iterable[int]) -> int:
    """The bit set of these numbers."""
    numbers = list(bits)
    if not numbers:
        return 0
    # One big integer at the end, instead of growing one for each bit.
    buffer = bytearray(max(numbers) // 8 + 1)
    for number in numbers:
        buffer[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(buffer, "little")


def bits_of(mask: int) -> Iterator[int]:
    """The numbers in a bit set, ascending."""
    for at, byte in enumerate(mask.to_bytes((mask.bit_length() + 7) // 8, "little")):
        while byte:
            low = byte & -byte
            yield (at << 3) + low.bit_length() - 1
            byte ^= low


def _union(masks: Iterable[int]) -> int:
    result = 0
    for mask in masks:
        result |= mask
    return result
