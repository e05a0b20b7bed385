"""Links, addresses and routes of the node and of a pod, as rtnetlink messages.

The layout is point to point: the node's end of each pod's veth pair has the same link address, and there is
a /32 route to each pod. There is no bridge, so every packet between two pods passes the node's forward
hook.
"""

from __future__ import annotations

import array
import errno
import fcntl
import itertools
import logging
import socket
import struct
from pathlib import Path

from labkit.pocket.node.network.namespaces import inside
from labkit.pocket.node.network.netlink import (
    F_CREATE,
    F_EXCL,
    F_REPLACE,
    NETLINK_ROUTE,
    Message,
    NetlinkError,
    NetlinkSocket,
    attribute,
    nested,
    text,
    u32,
)

log = logging.getLogger(__name__)

LINK_ADDRESS = "10.9.255.1"
"""The node's end of every pod's link; the pod's default gateway."""
LINK_HARDWARE_ADDRESS = b"\xee" * 6

_RTM_NEWLINK, _RTM_DELLINK, _RTM_NEWADDR, _RTM_NEWROUTE, _RTM_NEWNEIGH = 16, 17, 20, 24, 28
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_IFALIAS = 1, 3, 18, 20
_IFLA_AF_SPEC, _IFLA_NET_NS_FD = 26, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFLA_INET_CONF, _IFLA_INET6_ADDR_GEN_MODE, _ADDR_GEN_MODE_NONE = 1, 8, 1
_DEVCONF_FORWARDING, _DEVCONF_RP_FILTER = 1, 8
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC = 1, 4, 5, 7
_NDA_DST, _NDA_LLADDR, _NUD_PERMANENT = 1, 2, 0x80
_IFF_UP = 1
_RT_TABLE_MAIN, _RTPROT_BOOT, _RTN_UNICAST = 254, 3, 1
_SCOPE_UNIVERSE, _SCOPE_LINK = 0, 253
_LOOPBACK = 1
_SIOCETHTOOL, _ETHTOOL_GLINK = 0x8946, 0x0A


def _ifinfo(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def _add_address(index: int, address: str, prefix: int) -> Message:
    packed = socket.inet_aton(address)
    body = struct.pack("=BBBBi", socket.AF_INET, prefix, 0, _SCOPE_UNIVERSE, index)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    return Message(_RTM_NEWADDR, F_CREATE | F_REPLACE, body, f"add the address {address}/{prefix}")


def _add_route(
    index: int, destination: str | None, *, gateway: str | None = None, source: str | None = None
) -> Message:
    """A route to one address, or the default route if `destination` is None."""
    length, scope = (32, _SCOPE_LINK) if destination else (0, _SCOPE_UNIVERSE if gateway else _SCOPE_LINK)
    body = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, length, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, _RTN_UNICAST, 0
    )
    if destination:
        body += attribute(_RTA_DST, socket.inet_aton(destination))
    body += u32(_RTA_OIF, index)
    if gateway:
        body += attribute(_RTA_GATEWAY, socket.inet_aton(gateway))
    if source:
        body += attribute(_RTA_PREFSRC, socket.inet_aton(source))
    return Message(
        _RTM_NEWROUTE, F_CREATE | F_REPLACE, body, f"add the route to {destination or 'everywhere'}"
    )


def _add_neighbour(index: int, address: str, hardware: bytes) -> Message:
    """Say who has an address at the other end, so that nobody needs to ask (ARP).

    The first packet goes out at once, and the machine's ARP settings and the size of its neighbour table,
    which all namespaces share, do not matter.
    """
    body = struct.pack("=BxxxiHBB", socket.AF_INET, index, _NUD_PERMANENT, 0, 0)
    body += attribute(_NDA_DST, socket.inet_aton(address)) + attribute(_NDA_LLADDR, hardware)
    return Message(_RTM_NEWNEIGH, F_CREATE | F_REPLACE, body, f"add the neighbour {address}")


def _up(index: int, *, router: bool = False) -> Message:
    """Set a link up; a `router` forwards what comes in by it, but only from senders whose address is routed
    there.

    Forwarding is set by netlink and not in /proc/sys, which a container often mounts read-only.
    """
    body = _ifinfo(index, _IFF_UP, _IFF_UP)
    if router:
        conf = u32(_DEVCONF_FORWARDING, 1) + u32(_DEVCONF_RP_FILTER, 1)
        body += nested(_IFLA_AF_SPEC, nested(socket.AF_INET, nested(_IFLA_INET_CONF, conf)))
    return Message(_RTM_NEWLINK, 0, body, f"set link {index} up")


def _no_ipv6_address() -> bytes:
    """The attribute that keeps a link free of an IPv6 link-local address: pods are IPv4 and should be seen
    to be.
    """
    if not Path("/proc/sys/net/ipv6").exists():
        return b""
    mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes([_ADDR_GEN_MODE_NONE]))
    return nested(_IFLA_AF_SPEC, nested(socket.AF_INET6, mode))


def _filter_senders() -> None:
    """Make the strict check of senders count: a looser one for all links, taken over from the machine,
    would win.
    """
    try:
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("0")
    except OSError as error:
        log.debug("pods could send from addresses that are not their own: %s", error)


def _hardware_address(address: str) -> bytes:
    """The pod's MAC address, made of its IP address as the reference CNI plugins do (0a:58:...)."""
    return b"\x0a\x58" + socket.inet_aton(address)


class Links:
    """The links of one node; make it in the node's network namespace."""

    def __init__(self) -> None:
        """Opens the node's rtnetlink socket."""
        self._node = NetlinkSocket(NETLINK_ROUTE)
        self._query = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._node_address: str | None = None
        self._indexes = itertools.count(10)
        self._calm = _no_ipv6_address()

    def close(self) -> None:
        """Close the sockets; the links stay for as long as their namespaces."""
        self._node.close()
        self._query.close()

    def start(self, node_address: str) -> None:
        """Set up what the node itself has: `lo`, and its address on an eth0 with the default route.

        The cable of eth0 is not plugged in: nothing leaves the cluster. It is a veth pair whose other end
        stays down, since not every kernel has dummy links.
        """
        self._node_address = node_address
        _filter_senders()
        index, nowhere = next(self._indexes), next(self._indexes)
        peer = nested(
            _IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, _ifinfo(nowhere) + text(_IFLA_IFNAME, "unplugged"))
        )
        body = _ifinfo(index) + text(_IFLA_IFNAME, "eth0")
        body += nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "veth") + peer)
        self._node.send(
            [
                _up(_LOOPBACK),
                Message(_RTM_NEWLINK, F_CREATE | F_EXCL, body, "make the node's own link"),
                _add_address(index, node_address, 16),
                _up(index, router=True),
                _add_route(index, None, source=node_address),
            ]
        )

    def attach(self, netns_fd: int, address: str, alias: str) -> int:
        """Make the veth pair between the node and the namespace, down. Returns the index of the node's end.

        Raises NetlinkError, for instance when the namespace already has an eth0.
        """
        while True:
            index = next(self._indexes)
            peer = _ifinfo(index) + text(_IFLA_IFNAME, "eth0")
            peer += attribute(_IFLA_ADDRESS, _hardware_address(address)) + u32(_IFLA_NET_NS_FD, netns_fd)
            data = nested(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, peer))
            body = _ifinfo(index) + text(_IFLA_IFNAME, f"veth{index}") + text(_IFLA_IFALIAS, alias[:255])
            body += attribute(_IFLA_ADDRESS, LINK_HARDWARE_ADDRESS)
            body += nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "veth") + data)
            message = Message(_RTM_NEWLINK, F_CREATE | F_EXCL, body, f"make the link of {alias}")
            try:
                self._node.send([message])
            except NetlinkError as error:
                if error.errno in (errno.EBUSY, errno.EEXIST) and self._taken(netns_fd, index):
                    continue
                raise
            return index

    def up(self, index: int, netns_fd: int, address: str) -> None:
        """Give both ends of a link their addresses and routes and set them up; packets flow from here on.

        The node talks to the pod from its own address, as a kubelet's probes do.
        """
        messages = [_add_address(index, LINK_ADDRESS, 32)]
        if self._calm:
            messages.append(
                Message(_RTM_NEWLINK, 0, _ifinfo(index) + self._calm, "turn IPv6 off on the link")
            )
        messages += [
            _up(index, router=True),
            _add_neighbour(index, address, _hardware_address(address)),
            _add_route(index, address, source=self._node_address),
        ]
        self._node.send(messages)
        with inside(netns_fd):
            pod = NetlinkSocket(NETLINK_ROUTE)
        with pod:
            messages = [_up(_LOOPBACK), _add_address(index, address, 32)]
            if self._calm:
                messages.append(
                    Message(_RTM_NEWLINK, 0, _ifinfo(index) + self._calm, "turn IPv6 off on eth0")
                )
            messages += [
                _up(index),
                _add_neighbour(index, LINK_ADDRESS, LINK_HARDWARE_ADDRESS),
                _add_route(index, LINK_ADDRESS),
                _add_route(index, None, gateway=LINK_ADDRESS),
            ]
            pod.send(messages)
        self._notice_carrier(f"veth{index}")

    def _notice_carrier(self, name: str) -> None:
        """Make the kernel take notice that the other end is up.

        The end that was set up first loses packets until a worker of the kernel has seen the change,
        milliseconds later or, while namespaces are being torn down, much later. Asking for the state
        settles it at once (ethtool_op_get_link calls linkwatch_sync_dev).
        """
        answer = array.array("I", [_ETHTOOL_GLINK, 0])
        request = struct.pack("16sP16x", name.encode(), answer.buffer_info()[0])
        fcntl.ioctl(self._query, _SIOCETHTOOL, request)

    def _taken(self, netns_fd: int, index: int) -> bool:
        """Whether a link has this index on either side already (and not, for instance, the name eth0 is
        taken).
        """

        def exists() -> bool:
            try:
                socket.if_indextoname(index)
            except OSError:
                return False
            return True

        with inside(netns_fd):
            if exists():
                return True
        return exists()


def remove_link(index: int) -> None:
    """Remove a link of this namespace with its routes; nothing happens if it is gone already. Takes some 20
    ms.
    """
    with NetlinkSocket(NETLINK_ROUTE) as node:
        try:
            node.send([Message(_RTM_DELLINK, 0, _ifinfo(index), f"remove link {index}")])
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise
