"""A table of nftables as data, and the messages that turn one state of it into another.

Whoever decides what should be in the kernel builds a whole `Ruleset`; what goes over the wire is only the
difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from labkit.pocket.node.network import nft
from labkit.pocket.node.network.netlink import Message, NetlinkSocket


@dataclass(frozen=True, slots=True)
class Rule:
    """Expressions, packed, and the words that say where the rule comes from."""

    expressions: bytes
    comment: str = ""


@dataclass(frozen=True, slots=True)
class BaseChain:
    """A chain that the kernel calls: "filter" or "nat", at a hook, in order of priority."""

    kind: str
    hook: nft.Hook
    priority: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order; `base` if the kernel calls it and None if rules or maps jump to it."""

    rules: tuple[Rule, ...]
    base: BaseChain | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Elements:
    """A set (`data` None, elements to b"") or a map (elements to their packed data)."""

    key: nft.Kind
    elements: Mapping[bytes, bytes]
    data: nft.Kind | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Everything in one table. Rules may name any set and chain of it."""

    table: str
    chains: Mapping[str, Chain] = field(default_factory=dict)
    sets: Mapping[str, Elements] = field(default_factory=dict)


def changes(old: Ruleset | None, new: Ruleset) -> Iterator[list[Message]]:
    """What to tell the kernel, in groups that must each arrive in one batch; the order is that of reference.

    `old` None means that what the kernel has is unknown: the table is made anew.
    """
    table = new.table
    if old is None:
        yield [nft.add_table(table), nft.delete_table(table), nft.add_table(table)]
        old = Ruleset(table)
    number = 0
    for name, content in new.sets.items():
        before = old.sets.get(name)
        if before is content:
            continue
        if before is None:
            number += 1
            yield [_make(table, name, content, number)]
        if content.data is not nft.Kind.VERDICT:
            yield from _elements(table, name, before, content)
    # A chain must be there before a rule or a map names it.
    made = [
        nft.add_chain(table, n, c.comment)
        for n, c in new.chains.items()
        if n not in old.chains and not c.base
    ]
    if made:
        yield made
    for name, chain in new.chains.items():
        previous = old.chains.get(name)
        if previous is not None and (previous.rules is chain.rules or previous.rules == chain.rules):
            continue
        group = []
        if previous is None and chain.base:
            base = chain.base
            group.append(nft.add_base_chain(table, name, base.kind, base.hook, base.priority))
        elif previous is not None and previous.rules:
            group.append(nft.flush_chain(table, name))
        group += [nft.add_rule(table, name, rule.expressions, rule.comment) for rule in chain.rules]
        yield group
    for name, content in new.sets.items():
        if content.data is nft.Kind.VERDICT and content is not old.sets.get(name):
            yield from _elements(table, name, old.sets.get(name), content)
    # What is unused goes last, and in one batch: a chain may be named by another that goes with it.
    gone = [name for name in old.chains if name not in new.chains]
    group = [nft.flush_chain(table, name) for name in gone if old.chains[name].rules]
    group += [nft.delete_chain(table, name) for name in gone]
    group += [nft.delete_set(table, name) for name in old.sets if name not in new.sets]
    if group:
        yield group


def _make(table: str, name: str, content: Elements, number: int) -> Message:
    if content.data is None:
        return nft.add_set(table, name, content.key, number, comment=content.comment)
    return nft.add_map(table, name, content.key, content.data, number, comment=content.comment)


def _elements(table: str, name: str, before: Elements | None, after: Elements) -> Iterator[list[Message]]:
    had = before.elements if before else {}
    gone = [key for key in had if key not in after.elements or after.elements[key] != had[key]]
    come = [(key, data) for key, data in after.elements.items() if key not in had or had[key] != data]
    messages = nft.delete_elements(table, name, gone) + nft.add_elements(table, name, come)
    if messages:
        yield messages


def commit(socket: NetlinkSocket, groups: Iterable[list[Message]]) -> int:
    """Carry the changes out; returns the number of messages.

    All in one transaction, unless they are too many for one datagram: then in as few as hold them, cut
    between groups. Raises NetlinkError; the transaction it names has changed nothing.
    """
    total = 0
    part: list[Message] = []
    size = 0
    for group in groups:
        weight = sum(len(message.body) + 16 for message in group)
        if part and size + weight > socket.room:
            socket.send(nft.batch(part), confirm_last=True)
            part, size = [], 0
        part += group
        size += weight
        total += len(group)
    if part:
        socket.send(nft.batch(part), confirm_last=True)
    return total
