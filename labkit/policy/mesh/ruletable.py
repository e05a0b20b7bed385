"""All rules of one action on one workload, made ready for many requests.

A rule matches when one of its sources and one of its operations do: each such pair is one bit. For each fact a request
has, a table gives the bits whose conditions on it hold; the bits left after all facts are the pairs that match. What a
fact gives is remembered, so that a request costs a handful of look-ups, however many policies there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .attributes import Attributes
from .compiled import CompiledRule, Condition, Subject

_REMEMBERED = 4096


class RuleTable:
    """Rules in the order in which Envoy tries them: by name (its policies are an ordered map)."""

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: rule.key))
        self._of_bit: list[int] = []
        pairs: list[tuple[Condition, ...]] = []
        for number, rule in enumerate(self.rules):
            if rule.never:
                continue
            for principal in rule.principals:
                for permission in rule.permissions:
                    pairs.append((*principal.conditions, *permission.conditions))
                    self._of_bit.append(number)
        self._all = (1 << len(pairs)) - 1
        bits: dict[tuple[Subject, tuple[str, ...]], dict[Condition, int]] = {}
        for bit, conditions in enumerate(pairs):
            for condition in conditions:
                column = bits.setdefault((condition.subject, condition.name), {})
                column[condition] = column.get(condition, 0) | 1 << bit
        self._columns = [_Column(*about, list(column.items()), self._all) for about, column in bits.items()]

    def first(self, attributes: Attributes) -> CompiledRule | None:
        """The rule that Envoy would name: the first that matches."""
        left = self._all
        if not left:
            return None
        for column in self._columns:
            left &= column.bits(attributes)
            if not left:
                return None
        return self.rules[self._of_bit[(left & -left).bit_length() - 1]]


class _Column:
    """The conditions of all pairs on one fact."""

    def __init__(
        self,
        subject: Subject,
        name: tuple[str, ...],
        conditions: list[tuple[Condition, int]],
        everything: int,
    ) -> None:
        self._subject = subject
        self._name = name
        self._conditions = conditions
        self._all = everything
        self._known: dict[Any, int] = {}

    def bits(self, attributes: Attributes) -> int:
        """The pairs whose conditions on this fact hold."""
        value = attributes.value(self._subject, self._name)
        known = self._known.get(value)
        if known is not None:
            return known
        result = self._all
        for condition, bits in self._conditions:
            if not condition.holds(value):
                result &= ~bits
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[value] = result
        return result
