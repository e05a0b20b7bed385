"""Links, addresses, neighbours and routes of the node and its pods, asked of the kernel through pyroute2.

For the worker thread of `links` alone, which is where this module is imported: it takes pyroute2 with it, a
tenth of a second of work, and the objects here belong to the thread that makes them.
"""

from __future__ import annotations

import array
import errno
import fcntl
import itertools
import logging
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST, nla, nlmsg
from pyroute2.netlink import exceptions as pyroute2_exceptions
from pyroute2.netlink.rtnl import RTM_NEWLINK
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from labkit.pocket.node.network.links import LINK_ADDRESS, LINK_HARDWARE_ADDRESS, PodLink
from labkit.pocket.node.network.namespaces import inside
from labkit.pocket.node.network.netlink import NetlinkError

log = logging.getLogger(__name__)

_LOOPBACK = 1
_ADDR_GEN_MODE_NONE = 1
_SIOCETHTOOL, _ETHTOOL_GLINK = 0x8946, 0x0A


class _settings(nlmsg):  # type: ignore[misc]  # noqa: N801 - as pyroute2 names what it sends
    """A link's settings, per address family.

    pyroute2's own message knows them as the kernel tells them, an array of numbers; set, they are attributes
    (inet_validate_link_af in net/ipv4/devinet.c).
    """

    fields = ifinfmsg.fields
    nla_map = ((26, "IFLA_AF_SPEC", "af_spec"),)

    class af_spec(nla):  # type: ignore[misc]  # noqa: N801
        nla_map = ((socket.AF_INET, "AF_INET", "inet"), (socket.AF_INET6, "AF_INET6", "inet6"))

        class inet(nla):  # type: ignore[misc]  # noqa: N801
            nla_map = ((1, "IFLA_INET_CONF", "conf"),)

            class conf(nla):  # type: ignore[misc]  # noqa: N801
                nla_map = ((1, "forwarding", "uint32"), (8, "rp_filter", "uint32"))

        class inet6(nla):  # type: ignore[misc]  # noqa: N801
            nla_map = ((8, "IFLA_INET6_ADDR_GEN_MODE", "uint8"),)


@contextmanager
def _as_ours(what: str) -> Iterator[None]:
    """Name what was refused: pyroute2's error is no OSError and does not say."""
    try:
        yield
    except pyroute2_exceptions.NetlinkError as error:
        raise NetlinkError(error.code, what, error.args[1]) from error


def _hardware_address(address: str) -> str:
    """The pod's MAC address, made of its IP address as the reference CNI plugins do (0a:58:...)."""
    return "0a:58:" + socket.inet_aton(address).hex(":")


class _Namespace:
    """Requests in one network namespace: that in which it is made. Raises NetlinkError, with words."""

    def __init__(self) -> None:
        self._route = IPRoute(ext_ack=True)

    def close(self) -> None:
        self._route.close()

    def __enter__(self) -> _Namespace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def make_pair(self, what: str, index: int, name: str, peer: dict[str, Any], **attributes: Any) -> None:
        """Make a veth pair, both ends down. `peer` is the other end: its index and attributes."""
        with _as_ours(what):
            self._route.link("add", kind="veth", index=index, ifname=name, VETH_INFO_PEER=peer, **attributes)

    def remove(self, index: int) -> None:
        """Remove a link with its routes."""
        with _as_ours(f"remove link {index}"):
            self._route.link("del", index=index)

    def up(self, index: int) -> None:
        """Set a link up."""
        with _as_ours(f"set link {index} up"):
            self._route.link("set", index=index, state="up")

    def settings(self, index: int, *, router: bool = False, ipv6: bool) -> None:
        """Set what is to hold before a link is up.

        A `router` forwards what comes in by it, but only from senders whose address is routed there. Without
        IPv6 addresses of their own, links are seen to be what they are: IPv4. All this by netlink and not in
        /proc/sys, which a container often mounts read-only.
        """
        families: list[list[Any]] = []
        if router:
            conf = {"attrs": [["forwarding", 1], ["rp_filter", 1]]}
            families.append(["AF_INET", {"attrs": [["IFLA_INET_CONF", conf]]}])
        if not ipv6 and Path("/proc/sys/net/ipv6").exists():
            families.append(["AF_INET6", {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", _ADDR_GEN_MODE_NONE]]}])
        if not families:
            return
        message = _settings()
        message["header"]["type"], message["header"]["flags"] = RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK
        message["index"] = index
        message["attrs"] = [["IFLA_AF_SPEC", {"attrs": families}]]
        with _as_ours(f"set up link {index}"):
            self._route.nlm_request_batch([message])

    def address(self, index: int, address: str, prefix: int) -> None:
        """Give a link an address."""
        with _as_ours(f"add the address {address}/{prefix}"):
            self._route.addr("replace", index=index, address=address, prefixlen=prefix)

    def neighbour(self, index: int, address: str, hardware: str) -> None:
        """Say who has an address at the other end, so that nobody needs to ask (ARP).

        The first packet goes out at once, and the machine's ARP settings and the size of its neighbour table,
        which all namespaces share, do not matter.
        """
        with _as_ours(f"add the neighbour {address}"):
            self._route.neigh("replace", ifindex=index, dst=address, lladdr=hardware, state="permanent")

    def route(
        self, index: int, destination: str | None, *, gateway: str | None = None, source: str | None = None
    ) -> None:
        """Add a route to one address, or the default route if `destination` is None."""
        scope = "universe" if gateway else "link"
        with _as_ours(f"add the route to {destination or 'everywhere'}"):
            self._route.route(
                "replace",
                family=socket.AF_INET,
                dst=destination or "default",
                oif=index,
                gateway=gateway,
                prefsrc=source,
                scope=scope,
                proto="boot",
            )


class NodeLinks:
    """The links of one node; make it in the node's network namespace."""

    def __init__(self) -> None:
        """Opens the node's sockets."""
        self._node = _Namespace()
        self._query = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._node_address: str | None = None
        self._indexes = itertools.count(10)

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
        node, index = self._node, next(self._indexes)
        peer = {"index": next(self._indexes), "attrs": [["IFLA_IFNAME", "unplugged"]]}
        node.up(_LOOPBACK)
        node.make_pair("make the node's own link", index, "eth0", peer)
        node.address(index, node_address, 16)
        node.settings(index, router=True, ipv6=True)
        node.up(index)
        node.route(index, None, source=node_address)

    def connect(self, link: PodLink) -> None:
        """Make a pod's link, with addresses and routes at both ends; packets flow from here on.

        The node talks to the pod from its own address, as a kubelet's probes do. Raises NetlinkError, for
        instance when the pod's namespace already has an eth0.
        """
        self.make(link)
        index, address = link.index, link.address
        node, hardware = self._node, _hardware_address(address)
        node.address(index, LINK_ADDRESS, 32)
        node.settings(index, router=True, ipv6=False)
        node.up(index)
        node.neighbour(index, address, hardware)
        node.route(index, address, source=self._node_address)
        with inside(link.netns_fd):
            pod = _Namespace()
        with pod:
            pod.up(_LOOPBACK)
            pod.address(index, address, 32)
            pod.settings(index, ipv6=False)
            pod.up(index)
            pod.neighbour(index, LINK_ADDRESS, LINK_HARDWARE_ADDRESS)
            pod.route(index, LINK_ADDRESS)
            pod.route(index, None, gateway=LINK_ADDRESS)
        self._notice_carrier(link.name)

    def make(self, link: PodLink) -> None:
        """Make the veth pair between the node and the namespace, down; the link learns its index."""
        while True:
            index = next(self._indexes)
            peer = {
                "index": index,
                "attrs": [
                    ["IFLA_IFNAME", "eth0"],
                    ["IFLA_ADDRESS", _hardware_address(link.address)],
                    ["IFLA_NET_NS_FD", link.netns_fd],
                ],
            }
            try:
                self._node.make_pair(
                    f"make the link of {link.alias}",
                    index,
                    f"veth{index}",
                    peer,
                    address=LINK_HARDWARE_ADDRESS,
                    ifalias=link.alias[:255],
                )
            except NetlinkError as error:
                if error.errno in (errno.EBUSY, errno.EEXIST) and _taken(link.netns_fd, index):
                    continue
                raise
            link.index = index
            return

    def remove(self, link: PodLink) -> None:
        """Remove a link with its routes; nothing happens if it was never made or is gone already. Takes some
        20 ms, in which the kernel waits for packets in flight.
        """
        if not link.index:
            return
        try:
            self._node.remove(link.index)
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise

    def _notice_carrier(self, name: str) -> None:
        """Make the kernel take notice that the other end is up.

        The end that was set up first loses packets until a worker of the kernel has seen the change,
        milliseconds later or, while namespaces are being torn down, much later. Asking for the state
        settles it at once (ethtool_op_get_link calls linkwatch_sync_dev).
        """
        answer = array.array("I", [_ETHTOOL_GLINK, 0])
        request = struct.pack("16sP16x", name.encode(), answer.buffer_info()[0])
        fcntl.ioctl(self._query, _SIOCETHTOOL, request)


def _filter_senders() -> None:
    """Make the strict check of senders count: a looser one for all links, taken over from the machine,
    would win.
    """
    try:
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("0")
    except OSError as error:
        log.debug("pods could send from addresses that are not their own: %s", error)


def _taken(netns_fd: int, index: int) -> bool:
    """Whether a link has this index on either side already (and not, for instance, the name eth0 is taken)."""

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
