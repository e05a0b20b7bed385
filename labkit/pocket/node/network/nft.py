"""nf_tables messages and expressions, packed for the wire.

An expression is the bytes of one list element; a rule is expressions one after the other. Registers are the
32-bit ones, so that concatenated keys (address . protocol . port) lie side by side. Constants are those of
include/uapi/linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from enum import Enum, IntEnum
from functools import lru_cache

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

FAMILY_IPV4 = 2
_GENERIC = struct.pack("!BBH", FAMILY_IPV4, 0, 0)

VERDICT_REGISTER = 0
FIRST_REGISTER = 8  # NFT_REG32_00; each holds four bytes

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


class Verdict(IntEnum):
    """What a rule decides."""

    DROP = 0
    ACCEPT = 1
    JUMP = -3
    GOTO = -4
    RETURN = -5


class Compare(IntEnum):
    """The comparison of a cmp expression."""

    EQ = 0
    NEQ = 1
    LT = 2
    LTE = 3
    GT = 4
    GTE = 5


class State(IntEnum):
    """Connection tracking's states, as bits."""

    INVALID = 1
    ESTABLISHED = 2
    RELATED = 4
    NEW = 8


PROTOCOL_NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}
SOURCE, DESTINATION = 12, 16
"""Offsets of the addresses in an IPv4 header."""


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes))


def _value(kind: int, payload: bytes) -> bytes:
    return nested(kind, attribute(1, payload))


# ---- expressions -------------------------------------------------------------------------------------------


@lru_cache
def address(offset: int, register: int = FIRST_REGISTER) -> bytes:
    """Load the source or destination address."""
    return _payload(1, offset, 4, register)


@lru_cache
def port(register: int = FIRST_REGISTER, *, destination: bool = True) -> bytes:
    """Load the destination (or source) port of TCP, UDP or SCTP."""
    return _payload(2, 2 if destination else 0, 2, register)


def _payload(base: int, offset: int, length: int, register: int) -> bytes:
    return _expression("payload", be32(1, register), be32(2, base), be32(3, offset), be32(4, length))


@lru_cache
def protocol(register: int = FIRST_REGISTER) -> bytes:
    """Load the number of the transport protocol (meta l4proto)."""
    return _expression("meta", be32(2, 16), be32(1, register))


@lru_cache
def outgoing_interface(register: int = FIRST_REGISTER) -> bytes:
    """Load the name of the interface that the packet leaves by (meta oifname), 16 bytes."""
    return _expression("meta", be32(2, 7), be32(1, register))


@lru_cache
def connection_state(bits: int) -> bytes:
    """Go on only if the connection is in one of the states."""
    mask = struct.pack("=I", bits)
    return (
        _expression("ct", be32(2, 0), be32(1, FIRST_REGISTER))
        + masked(mask)
        + compare(b"\0\0\0\0", Compare.NEQ)
    )


@lru_cache
def translated() -> bytes:
    """Go on only if the connection's destination was rewritten (ct status dnat)."""
    dnat = struct.pack("=I", 1 << 5)
    return (
        _expression("ct", be32(2, 2), be32(1, FIRST_REGISTER))
        + masked(dnat)
        + compare(b"\0\0\0\0", Compare.NEQ)
    )


@lru_cache
def masked(mask: bytes, register: int = FIRST_REGISTER) -> bytes:
    """Keep only the bits of the mask in the register."""
    return _expression(
        "bitwise",
        be32(1, register),
        be32(2, register),
        be32(3, len(mask)),
        _value(4, mask),
        _value(5, bytes(len(mask))),
    )


@lru_cache(4096)
def compare(value: bytes, how: Compare = Compare.EQ, register: int = FIRST_REGISTER) -> bytes:
    """Go on only if the register compares so with the value."""
    return _expression("cmp", be32(1, register), be32(2, how), _value(3, value))


@lru_cache(4096)
def in_set(name: str, register: int = FIRST_REGISTER) -> bytes:
    """Go on only if what begins at the register is an element of the named set."""
    return _expression("lookup", text(1, name), be32(2, register))


@lru_cache(4096)
def look_up(name: str, register: int = FIRST_REGISTER, into: int = VERDICT_REGISTER) -> bytes:
    """Look the register up in the named map; the result goes to `into`, by default it is the verdict."""
    return _expression("lookup", text(1, name), be32(2, register), be32(3, into))


@lru_cache
def counter() -> bytes:
    """Count the packets and bytes that come this far."""
    return _expression("counter", attribute(1, bytes(8)), attribute(2, bytes(8)))


@lru_cache(4096)
def verdict(code: Verdict, chain: str = "") -> bytes:
    """Decide; JUMP and GOTO name a chain."""
    return _expression("immediate", be32(1, VERDICT_REGISTER), nested(2, verdict_data(code, chain)))


def verdict_data(code: Verdict, chain: str = "") -> bytes:
    """A verdict as the data of a map's element."""
    parts = [attribute(1, struct.pack("!i", code))]
    if chain:
        parts.append(text(2, chain))
    return nested(2, *parts)


@lru_cache
def random_number(modulus: int, register: int = FIRST_REGISTER) -> bytes:
    """A random number below `modulus`, for each packet that asks (numgen random)."""
    return _expression("numgen", be32(1, register), be32(2, modulus), be32(3, 1), be32(4, 0))


@lru_cache
def hashed(length: int, modulus: int, register: int = FIRST_REGISTER) -> bytes:
    """Replace what begins at the register by a number below `modulus` that depends on it alone (jhash)."""
    return _expression(
        "hash",
        be32(1, register),
        be32(2, register),
        be32(3, length),
        be32(4, modulus),
        be32(5, 0x6C61626B),
        be32(6, 0),
        be32(7, 0),
    )


@lru_cache
def translate_destination(
    address_register: int = FIRST_REGISTER, port_register: int = FIRST_REGISTER + 1
) -> bytes:
    """Send the connection to the address and port in the registers instead (dnat)."""
    return _expression(
        "nat", be32(1, 1), be32(2, FAMILY_IPV4), be32(3, address_register), be32(5, port_register), be32(7, 2)
    )


@lru_cache
def masquerade() -> bytes:
    """Give the connection the node's address as its source."""
    return _expression("masq")


@lru_cache
def reject(code: int = 3) -> bytes:
    """Answer with an ICMP unreachable: 3 is the port (the client is refused), 0 the network."""
    return _expression("reject", be32(1, 0), attribute(2, bytes([code])))


# ---- messages ----------------------------------------------------------------------------------------------


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
    packed = (nested(1, _value(1, key), *((data,) if data else ())) for key, data in elements)
    return _elements(NEWSETELEM, F_CREATE, table, name, packed, f"add elements to {name}")


def delete_elements(table: str, name: str, keys: Iterable[bytes]) -> list[Message]:
    """Remove elements from a set or map."""
    packed = (nested(1, _value(1, key)) for key in keys)
    return _elements(DELSETELEM, 0, table, name, packed, f"remove elements from {name}")


def verdict_element(code: Verdict, chain: str) -> bytes:
    """The data of an element of a verdict map."""
    return nested(2, verdict_data(code, chain))


def plain_element(data: bytes) -> bytes:
    """The data of an element of a map to values."""
    return _value(2, data)


def packed_address(address: str) -> bytes:
    """An IPv4 address as a key."""
    return socket.inet_aton(address)


def packed_port(number: int) -> bytes:
    """A port as (part of) a key: concatenated parts are padded to four bytes."""
    return struct.pack("!Hxx", number)
