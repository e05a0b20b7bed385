"""Links, addresses, neighbours and routes of the node and its pods, asked of the kernel through pyroute2.

Only `links` imports this module, when the first links are to be made: it takes pyroute2 with it, a tenth of a
second of work. Requests are awaited on the event loop: in a thread they take twice the work, since each of
their many small steps changes threads. Removing a link is the one request that has a thread, because the
kernel takes some 20 ms for it.
"""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import itertools
import logging
import socket
import struct
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyroute2 import AsyncIPRoute, IPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST, nla, nlmsg
from pyroute2.netlink import exceptions as pyroute2_exceptions
from pyroute2.netlink.rtnl import RTM_NEWLINK
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from labkit.pocket.node.network.links import LINK_ADDRESS, LINK_HARDWARE_ADDRESS, PodLink
from labkit.pocket.node.network.namespaces import inside
from labkit.pocket.node.network.netlink import NetlinkError

log = logging.getLogger(__name__)

_KERNEL_HAS_IPV6 = Path("/proc/sys/net/ipv6").exists()
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
        """Make it on the event loop."""
        self._route = AsyncIPRoute(ext_ack=True)
        self._route.fileno()  # now and not with the first request: the socket is made here

    def close(self) -> None:
        self._route.close()

    async def make_pair(
        self, what: str, index: int, name: str, peer: dict[str, Any], **attributes: Any
    ) -> None:
        """Make a veth pair, both ends down. `peer` is the other end: its index and attributes."""
        with _as_ours(what):
            await self._route.link(
                "add", kind="veth", index=index, ifname=name, VETH_INFO_PEER=peer, **attributes
            )

    async def up(self, index: int) -> None:
        """Set a link up."""
        with _as_ours(f"set link {index} up"):
            await self._route.link("set", index=index, state="up")

    async def settings(self, index: int, *, router: bool = False, ipv6: bool) -> None:
        """Set what is to hold before a link is up.

        A `router` forwards what comes in by it, but only from senders whose address is routed there. Without
        IPv6 addresses of their own, links are seen to be what they are: IPv4. All this by netlink and not in
        /proc/sys, which a container often mounts read-only.
        """
        families: list[list[Any]] = []
        if router:
            conf = {"attrs": [["forwarding", 1], ["rp_filter", 1]]}
            families.append(["AF_INET", {"attrs": [["IFLA_INET_CONF", conf]]}])
        if not ipv6 and _KERNEL_HAS_IPV6:
            families.append(["AF_INET6", {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", _ADDR_GEN_MODE_NONE]]}])
        if not families:
            return
        message = _settings()
        message["header"]["type"], message["header"]["flags"] = RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK
        message["index"] = index
        message["attrs"] = [["IFLA_AF_SPEC", {"attrs": families}]]
        with _as_ours(f"set up link {index}"):
            async for _ in self._route.nlm_request_batch([message]):
                pass

    async def address(self, index: int, address: str, prefix: int) -> None:
        """Give a link an address."""
        with _as_ours(f"add the address {address}/{prefix}"):
            await self._route.addr("replace", index=index, address=address, prefixlen=prefix)

    async def neighbour(self, index: int, address: str, hardware: str) -> None:
        """Say who has an address at the other end, so that nobody needs to ask (ARP).

        The first packet goes out at once, and the machine's ARP settings and the size of its neighbour table,
        which all namespaces share, do not matter.
        """
        with _as_ours(f"add the neighbour {address}"):
            await self._route.neigh("replace", ifindex=index, dst=address, lladdr=hardware, state="permanent")

    async def route(
        self, index: int, destination: str | None, *, gateway: str | None = None, source: str | None = None
    ) -> None:
        """Add a route to one address, or the default route if `destination` is None."""
        scope = "universe" if gateway else "link"
        with _as_ours(f"add the route to {destination or 'everywhere'}"):
            await self._route.route(
                "replace",
                family=socket.AF_INET,
                dst=destination or "default",
                oif=index,
                gateway=gateway,
                prefsrc=source,
                scope=scope,
                proto="boot",
            )


class Links:
    """The links of one node; make it, and call it, in the node's network namespace and on the event loop."""

    def __init__(self, node_address: str | None = None, indexes: Iterator[int] | None = None) -> None:
        """Opens the node's sockets. `node_address` is the node's once it has one."""
        self._node_address = node_address
        self._indexes = indexes or itertools.count(10)
        self._node = _Namespace()
        self._query = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def close(self) -> None:
        """Close the sockets; the links stay for as long as their namespaces."""
        self._node.close()
        self._query.close()

    async def start(self, node_address: str) -> None:
        """Set up what the node itself has: `lo`, and its address on an eth0 with the default route.

        The cable of eth0 is not plugged in: nothing leaves the cluster. It is a veth pair whose other end
        stays down, since not every kernel has dummy links.
        """
        self._node_address = node_address
        _filter_senders()
        node, index = self._node, next(self._indexes)
        peer = {"index": next(self._indexes), "attrs": [["IFLA_IFNAME", "unplugged"]]}
        await node.up(_LOOPBACK)
        await node.make_pair("make the node's own link", index, "eth0", peer)
        await node.address(index, node_address, 16)
        await node.settings(index, router=True, ipv6=True)
        await node.up(index)
        await node.route(index, None, source=node_address)

    async def connect(self, link: PodLink) -> None:
        """Make a pod's link, with addresses and routes at both ends; packets flow from here on.

        The node talks to the pod from its own address, as a kubelet's probes do. Raises NetlinkError, for
        instance when the pod's namespace already has an eth0.
        """
        await self.make(link)
        index, address = link.index, link.address
        node = self._node
        await node.address(index, LINK_ADDRESS, 32)
        await node.settings(index, router=True, ipv6=False)
        await node.up(index)
        await node.neighbour(index, address, _hardware_address(address))
        await node.route(index, address, source=self._node_address)
        with inside(link.netns_fd):
            pod = _Namespace()
        try:
            await pod.up(_LOOPBACK)
            await pod.address(index, address, 32)
            await pod.settings(index, ipv6=False)
            await pod.up(index)
            await pod.neighbour(index, LINK_ADDRESS, LINK_HARDWARE_ADDRESS)
            await pod.route(index, LINK_ADDRESS)
            await pod.route(index, None, gateway=LINK_ADDRESS)
        finally:
            pod.close()
        self._notice_carrier(link.name)

    async def make(self, link: PodLink) -> None:
        """Make the veth pair between the node and the namespace, down.

        The link has its index as soon as it may be there: if this is cancelled, it can be removed.
        """
        while True:
            index = link.index = next(self._indexes)
            peer = {
                "index": index,
                "attrs": [
                    ["IFLA_IFNAME", "eth0"],
                    ["IFLA_ADDRESS", _hardware_address(link.address)],
                    ["IFLA_NET_NS_FD", link.netns_fd],
                ],
            }
            try:
                await self._node.make_pair(
                    f"make the link of {link.alias}",
                    index,
                    f"veth{index}",
                    peer,
                    address=LINK_HARDWARE_ADDRESS,
                    ifalias=link.alias[:255],
                )
            except NetlinkError as error:
                link.index = 0
                if error.errno in (errno.EBUSY, errno.EEXIST) and _taken(link.netns_fd, index):
                    continue
                raise
            return

    async def remove(self, link: PodLink) -> None:
        """Remove a link with its routes; nothing happens if it was never made or is gone already.

        Also when whoever waits for it is cancelled. The kernel waits for packets in flight, some 20 ms.
        """
        await asyncio.shield(asyncio.to_thread(remove_link, link))

    def connect_now(self, link: PodLink) -> None:
        """As `connect`, for who cannot await: blocks for some milliseconds."""

        async def connect() -> None:
            links = Links(self._node_address, self._indexes)
            try:
                await links.connect(link)
            finally:
                links.close()

        _in_a_thread(connect())

    def _notice_carrier(self, name: str) -> None:
        """Make the kernel take notice that the other end is up.

        The end that was set up first loses packets until a worker of the kernel has seen the change,
        milliseconds later or, while namespaces are being torn down, much later. Asking for the state
        settles it at once (ethtool_op_get_link calls linkwatch_sync_dev).
        """
        answer = array.array("I", [_ETHTOOL_GLINK, 0])
        request = struct.pack("16sP16x", name.encode(), answer.buffer_info()[0])
        fcntl.ioctl(self._query, _SIOCETHTOOL, request)


def remove_link(link: PodLink) -> None:
    """Remove a link of this namespace, if it is there; blocks. In a thread that has no event loop."""
    if not link.index:
        return
    try:
        with _as_ours(f"remove link {link.index}"), IPRoute(ext_ack=True) as route:
            route.link("del", index=link.index)
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise


def remove_now(link: PodLink) -> None:
    """As `remove_link`, wherever it is called."""
    _in_a_thread(asyncio.to_thread(remove_link, link))


def try_link(netns_fd: int) -> None:
    """Make a link to another network namespace and remove it; blocks. Raises NetlinkError."""
    link = PodLink(netns_fd, "192.0.2.1", "check")

    async def make() -> None:
        links = Links()
        try:
            await links.make(link)
            await links.remove(link)
        finally:
            links.close()

    _in_a_thread(make())


def _in_a_thread(work: Coroutine[Any, Any, None]) -> None:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


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
