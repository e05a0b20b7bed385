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
from collections.abc import Iterable, Mapping

from labkit.pocket.node.network.servicerules import ServicePort, Target

log = logging.getLogger(__name__)


def lost_endpoints(
    before: Iterable[ServicePort], after: Iterable[ServicePort]
) -> dict[Target, frozenset[Target]]:
    """The addresses of UDP Services that have lost an endpoint, each with the endpoints it has now."""
    lost: dict[Target, frozenset[Target]] = {}
    now = {
        front: frozenset(port.targets) for port in after if port.protocol == "UDP" for front in port.fronts
    }
    for port in before:
        if port.protocol == "UDP":
            for front in port.fronts:
                current = now.get(front, frozenset())
                if set(port.targets) - current:
                    lost[front] = current
    return lost


def forget(lost: Mapping[Target, frozenset[Target]]) -> int:
    """Drop the tracked UDP connections to each address that none of its endpoints answers; returns how many.

    For a worker thread: pyroute2 reads each connection in Python. Kernels from 5.8 on list only those that are
    asked for.
    """
    from pyroute2 import Conntrack  # heavy: see `links`
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

    count = 0
    tracked = Conntrack()
    try:
        for (address, port), current in lost.items():
            front = NFCTAttrTuple(daddr=address, dport=port, proto=socket.IPPROTO_UDP)
            for entry in list(tracked.dump_entries(tuple_orig=front)):
                if (entry.tuple_reply.saddr, entry.tuple_reply.sport) in current:
                    continue
                try:
                    tracked.delete(entry)
                except NetlinkError as error:
                    if error.code != errno.ENOENT:  # it ended in the meantime
                        raise
                count += 1
    except NetlinkError as error:
        log.warning("stale UDP connections stay until they time out: %s", error)
    finally:
        tracked.close()
    log.debug("forgot %d UDP connections", count)
    return count
