"""nf_tables expressions, packed for the wire: what a rule looks at and what it does.

An expression is the bytes of one list element; a rule is expressions one after the other. Registers are the
32-bit ones, so that concatenated keys (address . protocol . port) lie side by side. Constants are those of
include/uapi/linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from functools import lru_cache

from labkit.pocket.node.network.netlink import attribute, be32, nested, text

FAMILY_IPV4 = 2
VERDICT_REGISTER = 0
FIRST_REGISTER = 8  # NFT_REG32_00; each holds four bytes


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


def value_of(kind: int, payload: bytes) -> bytes:
    """An attribute that holds plain data."""
    return nested(kind, attribute(1, payload))


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
        value_of(4, mask),
        value_of(5, bytes(len(mask))),
    )


@lru_cache(4096)
def compare(value: bytes, how: Compare = Compare.EQ, register: int = FIRST_REGISTER) -> bytes:
    """Go on only if the register compares so with the value."""
    return _expression("cmp", be32(1, register), be32(2, how), value_of(3, value))


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
