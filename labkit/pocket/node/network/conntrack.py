"""Forgetting connections: after a Service's endpoints change, a UDP client's next datagram must find the
new ones.

UDP has no end, so connection tracking would go on sending a client's datagrams to the endpoint it once
chose. TCP connections are left alone: they end by themselves (kube-proxy does the same,
pkg/proxy/conntrack).
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from labkit.pocket.node.network.expressions import PROTOCOL_NUMBERS
from labkit.pocket.node.network.netlink import Message, NetlinkError, NetlinkSocket, nested, table
from labkit.pocket.node.network.servicerules import ServicePort

log = logging.getLogger(__name__)

_SUBSYSTEM, _GET, _DELETE = 1, 1, 2
_GENERIC = struct.pack("!BBH", socket.AF_INET, 0, 0)
_ORIGINAL, _REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2


@dataclass(frozen=True, slots=True)
class Connection:
    """One tracked connection: what the client addressed, and who answers."""

    protocol: int
    destination: tuple[str, int]
    answers: tuple[str, int]
    original: bytes
    """The client's side as the kernel packs it: the name of the entry."""


def connections(netfilter: NetlinkSocket) -> list[Connection]:
    """All tracked IPv4 connections with ports."""
    message = Message(_SUBSYSTEM << 8 | _GET, 0, _GENERIC, "list the tracked connections")
    found = []
    for _, body in netfilter.dump(message):
        parts = table(body[4:])
        original, reply = _tuple(parts[_ORIGINAL]), _tuple(parts[_REPLY])
        if original and reply:
            found.append(Connection(original[0], original[2], reply[1], parts[_ORIGINAL]))
    return found


def forget(netfilter: NetlinkSocket, stale: Callable[[Connection], bool]) -> int:
    """Drop the connections for which `stale` is true; returns how many."""
    count = 0
    for connection in connections(netfilter):
        if stale(connection):
            body = _GENERIC + nested(_ORIGINAL, connection.original)
            try:
                netfilter.send([Message(_SUBSYSTEM << 8 | _DELETE, 0, body, "forget a connection")])
            except NetlinkError as error:
                if error.errno != errno.ENOENT:  # it ended in the meantime
                    raise
            count += 1
    return count


def _tuple(data: bytes) -> tuple[int, tuple[str, int], tuple[str, int]] | None:
    """Protocol, source and destination."""
    parts = table(data)
    addresses, protocol = table(parts[_TUPLE_IP]), table(parts[_TUPLE_PROTOCOL])
    if 1 not in addresses or 2 not in protocol or 3 not in protocol:
        return None
    source = (socket.inet_ntoa(addresses[1]), struct.unpack("!H", protocol[2])[0])
    destination = (socket.inet_ntoa(addresses[2]), struct.unpack("!H", protocol[3])[0])
    return protocol[1][0], source, destination


def forget_stale(netfilter: NetlinkSocket, before: list[ServicePort], after: list[ServicePort]) -> None:
    """Drop UDP connections through a Service to an endpoint that is no longer one of it."""
    lost: dict[tuple[str, int], set[tuple[str, int]]] = {}
    now = {front: set(port.targets) for port in after if port.protocol == "UDP" for front in port.fronts}
    for port in before:
        if port.protocol == "UDP":
            for front in port.fronts:
                if set(port.targets) - now.get(front, set()):
                    lost[front] = now.get(front, set())
    if not lost:
        return
    udp = PROTOCOL_NUMBERS["UDP"]
    try:
        count = forget(
            netfilter,
            lambda c: c.protocol == udp and c.destination in lost and c.answers not in lost[c.destination],
        )
    except NetlinkError as error:
        log.warning("stale UDP connections stay until they time out: %s", error)
    else:
        log.debug("forgot %d UDP connections", count)
