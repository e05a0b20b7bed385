"""Reading nf_tables back from the kernel: the rules of a chain with their counters, the elements of a set."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from labkit.pocket.node.network import expressions as ex
from labkit.pocket.node.network import nft
from labkit.pocket.node.network.netlink import Message, NetlinkSocket, attributes, table, text

_GENERIC = struct.pack("!BBH", ex.FAMILY_IPV4, 0, 0)


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression: its kind ("payload", "cmp", ...) and its attributes, unread."""

    name: str
    values: dict[int, bytes]

    def number(self, kind: int, default: int = 0) -> int:
        """An attribute that is a number."""
        data = self.values.get(kind)
        return struct.unpack("!I", data)[0] if data else default

    def value(self, kind: int) -> bytes:
        """An attribute that holds plain data."""
        return table(self.values[kind])[1]

    def word(self, kind: int) -> str:
        """An attribute that is a name."""
        return self.values[kind].rstrip(b"\0").decode()


@dataclass(frozen=True, slots=True)
class KernelRule:
    """A rule as the kernel has it."""

    expressions: tuple[Expression, ...]
    comment: str

    @property
    def packets(self) -> int:
        """How many packets its counter has seen; 0 without a counter."""
        return next((_big(e.values[2]) for e in self.expressions if e.name == "counter"), 0)

    @property
    def octets(self) -> int:
        """How many bytes its counter has seen."""
        return next((_big(e.values[1]) for e in self.expressions if e.name == "counter"), 0)


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def read_rules(netfilter: NetlinkSocket, table_name: str, chain: str) -> list[KernelRule]:
    """The rules of a chain, in order; none if there is no such chain."""
    body = _GENERIC + text(1, table_name) + text(2, chain)
    message = Message(nft.SUBSYSTEM << 8 | nft.GETRULE, 0, body, f"read chain {chain}")
    found = []
    for _, answer in netfilter.dump(message):
        parts = table(answer[4:])
        # Kernels before 4.18 do not filter: look again.
        if parts[1].rstrip(b"\0").decode() != table_name or parts[2].rstrip(b"\0").decode() != chain:
            continue
        expressions = tuple(_expression(data) for _, data in attributes(parts.get(4, b"")))
        found.append(KernelRule(expressions, _comment(parts.get(7, b""))))
    return found


def read_elements(netfilter: NetlinkSocket, table_name: str, name: str) -> list[bytes]:
    """The keys of a set."""
    body = _GENERIC + text(1, table_name) + text(2, name)
    message = Message(nft.SUBSYSTEM << 8 | nft.GETSETELEM, 0, body, f"read set {name}")
    keys = []
    for _, answer in netfilter.dump(message):
        for _, element in attributes(table(answer[4:]).get(3, b"")):
            keys.append(table(table(element)[1])[1])
    return sorted(keys)


def _expression(data: bytes) -> Expression:
    parts = table(data)
    return Expression(parts[1].rstrip(b"\0").decode(), table(parts.get(2, b"")))


def _comment(data: bytes) -> str:
    """The comment in a rule's user data: type 0, length, words with a zero byte."""
    if len(data) < 2 or data[0] != 0:
        return ""
    return data[2 : 2 + data[1]].rstrip(b"\0").decode(errors="replace")
