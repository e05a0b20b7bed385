"""nf_tables messages, packed for the wire: tables, chains, rules, sets and their elements.

Constants are those of include/uapi/linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from enum import Enum, IntEnum
from functools import lru_cache

from labkit.pocket.node.network.expressions import FAMILY_IPV4, Verdict, value_of, verdict_data
from labkit.pocket.node.network.netlink import (
    F_APPEND,
    F_CREATE,
    F_NONREC,
    Message,
    attribute,
    be32,
    nested,
    text,
)

SUBSYSTEM = 10
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NEWTABLE, DELTABLE, NEWCHAIN, GETCHAIN, DELCHAIN, NEWRULE, GETRULE, DELRULE = 0, 2, 3, 4, 5, 6, 7, 8
NEWSET, DELSET, NEWSETELEM, GETSETELEM, DELSETELEM = 9, 11, 12, 13, 14

_GENERIC = struct.pack("!BBH", FAMILY_IPV4, 0, 0)

SET_MAP = 8
DATA_VERDICT = 0xFFFFFF00
COMMENT_LENGTH = 127  # as long as the nft command itself allows


class Hook(IntEnum):
    """Where a base chain sees packets."""

    PREROUTING = 0
    INPUT = 1
    FORWARD = 2
    OUTPUT = 3
    POSTROUTING = 4


def _message(kind: int, flags: int, body: bytes, what: str) -> Message:
    return Message(SUBSYSTEM << 8 | kind, flags, _GENERIC + body, what)


def batch(messages: Iterable[Message]) -> list[Message]:
    """The messages as one transaction: all take effect at once, or none."""
    header = struct.pack("!BBH", 0, 0, SUBSYSTEM)
    return [Message(BATCH_BEGIN, 0, header, "begin"), *messages, Message(BATCH_END, 0, header, "commit")]


def add_table(name: str) -> Message:
    """Make a table of the IPv4 family."""
    return _message(NEWTABLE, F_CREATE, text(1, name), f"add table {name}")


def delete_table(name: str) -> Message:
    """Delete a table with all that is in it."""
    return _message(DELTABLE, 0, text(1, name), f"delete table {name}")


def add_base_chain(table: str, name: str, kind: str, hook: Hook, priority: int) -> Message:
    """Make a chain that sees packets at a hook ("filter" or "nat"); what it does not decide is accepted."""
    where = nested(4, be32(1, hook), attribute(2, struct.pack("!i", priority)))
    body = text(1, table) + text(3, name) + where + be32(5, Verdict.ACCEPT) + text(7, kind)
    return _message(NEWCHAIN, F_CREATE, body, f"add base chain {name}")


def add_chain(table: str, name: str, comment: str = "") -> Message:
    """Make a chain that others jump to."""
    body = text(1, table) + text(3, name)
    if comment:
        body += attribute(12, user_comment(comment))
    return _message(NEWCHAIN, F_CREATE, body, f"add chain {name}")


def delete_chain(table: str, name: str) -> Message:
    """Delete a chain; nothing may refer to it any more."""
    return _message(DELCHAIN, F_NONREC, text(1, table) + text(3, name), f"delete chain {name}")


def flush_chain(table: str, name: str) -> Message:
    """Delete the rules of a chain."""
    return _message(DELRULE, 0, text(1, table) + text(2, name), f"flush chain {name}")


def add_rule(table: str, chain: str, expressions: bytes, comment: str = "") -> Message:
    """Append a rule."""
    body = text(1, table) + text(2, chain) + nested(4, expressions)
    if comment:
        body += attribute(7, user_comment(comment))
    return _message(NEWRULE, F_CREATE | F_APPEND, body, f"add a rule to {chain} ({comment})")


def user_comment(comment: str, kind: int = 0) -> bytes:
    """A comment as the nft command stores it in the user data of a rule (kind 0) or a set (kind 7)."""
    words = comment.encode()
    if len(words) > COMMENT_LENGTH:
        words = words[: COMMENT_LENGTH - 3].decode(errors="ignore").encode() + "…".encode()
    return bytes([kind, len(words) + 1]) + words + b"\0"


class Kind(Enum):
    """What a key or a datum is made of: the type ids by which the nft command knows it, and its length in
    bytes.
    """

    ADDRESS = (7, 4)
    NUMBER = (4, 4)
    ADDRESS_PORT = (7 << 6 | 13, 8)
    ADDRESS_PROTOCOL_PORT = ((7 << 6 | 12) << 6 | 13, 12)
    ADDRESS_PAIR = (7 << 6 | 7, 8)
    VERDICT = (DATA_VERDICT, 0)


def add_set(table: str, name: str, key: Kind, number: int, *, comment: str = "") -> Message:
    """Make a set. `number` is unique in its batch."""
    return _add_set(table, name, key, 0, b"", number, comment)


def add_map(table: str, name: str, key: Kind, data: Kind, number: int, *, comment: str = "") -> Message:
    """Make a map, to verdicts if `data` is VERDICT."""
    kind, length = data.value
    described = be32(6, kind) + (be32(7, length) if length else b"")
    return _add_set(table, name, key, SET_MAP, described, number, comment)


def _add_set(table: str, name: str, key: Kind, flags: int, data: bytes, number: int, comment: str) -> Message:
    kind, length = key.value
    body = (
        text(1, table)
        + text(2, name)
        + be32(3, flags)
        + be32(4, kind)
        + be32(5, length)
        + data
        + be32(10, number)
    )
    if comment:
        body += attribute(13, user_comment(comment, 7))
    return _message(NEWSET, F_CREATE, body, f"add set {name}")


def delete_set(table: str, name: str) -> Message:
    """Delete a set or map; no rule may refer to it any more."""
    return _message(DELSET, 0, text(1, table) + text(2, name), f"delete set {name}")


def _elements(
    kind: int, flags: int, table: str, name: str, elements: Iterable[bytes], what: str
) -> list[Message]:
    """The elements in as few messages as hold them: a nested attribute ends at 64 KiB."""
    messages: list[Message] = []
    head = text(1, table) + text(2, name)
    part: list[bytes] = []
    size = 0
    for element in elements:
        if size + len(element) > 60_000:
            messages.append(_message(kind, flags, head + nested(3, *part), what))
            part, size = [], 0
        part.append(element)
        size += len(element)
    if part:
        messages.append(_message(kind, flags, head + nested(3, *part), what))
    return messages


def add_elements(table: str, name: str, elements: Iterable[tuple[bytes, bytes | None]]) -> list[Message]:
    """Add elements to a set (data None) or map; the data is `verdict_data(...)` or `plain_data(...)`."""
    packed = (nested(1, value_of(1, key), *((data,) if data else ())) for key, data in elements)
    return _elements(NEWSETELEM, F_CREATE, table, name, packed, f"add elements to {name}")


def delete_elements(table: str, name: str, keys: Iterable[bytes]) -> list[Message]:
    """Remove elements from a set or map."""
    packed = (nested(1, value_of(1, key)) for key in keys)
    return _elements(DELSETELEM, 0, table, name, packed, f"remove elements from {name}")


@lru_cache(4096)
def verdict_element(code: Verdict, chain: str) -> bytes:
    """The data of an element of a verdict map."""
    return nested(2, verdict_data(code, chain))


def plain_element(data: bytes) -> bytes:
    """The data of an element of a map to values."""
    return value_of(2, data)


@lru_cache(4096)
def packed_address(address: str) -> bytes:
    """An IPv4 address as a key."""
    return socket.inet_aton(address)


def packed_port(number: int) -> bytes:
    """A port as (part of) a key: concatenated parts are padded to four bytes."""
    return struct.pack("!Hxx", number)
