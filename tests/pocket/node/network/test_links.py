"""Links are made as pods need them, and nothing of them stays behind whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pyroute2 import AsyncIPRoute

from labkit.pocket.node.network import NetlinkError, inside
from labkit.pocket.node.network.conntrack import lost_endpoints
from labkit.pocket.node.network.servicerules import ServicePort
from tests.pocket.node.network.bench import Bench, on_bench


def names() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def test_pyroute2_is_imported_when_links_are_made_and_not_with_the_package() -> None:
    code = "import sys, labkit.pocket.node.network as n; assert 'pyroute2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@on_bench
async def test_a_pods_eth0_has_its_address_and_the_way_out_and_no_ipv6(bench: Bench) -> None:
    pod = await bench.pod("x/a")
    with inside(pod.netns_fd):
        route = AsyncIPRoute()
        assert route.fileno() >= 0  # the socket is made here
    async with route:
        links = {link.get("ifname"): link async for link in await route.link("dump")}
        addresses = [
            (one.get("address"), one["prefixlen"], one["index"]) async for one in await route.addr("dump")
        ]
        routes = [
            (one.get("dst"), one.get("gateway"))
            async for one in await route.route("dump", family=socket.AF_INET, table=254)
        ]
    assert set(links) == {"lo", "eth0"}
    assert links["eth0"].get("address") == "0a:58:" + socket.inet_aton(pod.ip).hex(":")
    index = links["eth0"]["index"]
    assert [one for one in addresses if one[2] == index] == [(pod.ip, 32, index)]
    assert set(routes) == {(None, "10.9.255.1"), ("10.9.255.1", None)}


@on_bench
async def test_a_refusal_says_which_link_and_why_and_gives_the_address_back(bench: Bench) -> None:
    before = names()
    pod = await bench.pod("x/a", attach=False)
    async with AsyncIPRoute() as route:  # somebody has made an eth0 in the pod already
        peer = {"ifname": "eth0", "net_ns_fd": pod.netns_fd}
        await route.link("add", ifname="intruder", kind="veth", peer=peer)
        with pytest.raises(NetlinkError, match=r"make the link of x/a: File exists"):
            await bench.attach(pod)
        await route.link("del", ifname="intruder", index=socket.if_nametoindex("intruder"))
    assert bench.network.address(pod.uid) is None
    await bench.attach(pod)
    assert len(names() - before) == 1


@on_bench
async def test_an_attach_that_is_cancelled_leaves_no_link(bench: Bench) -> None:
    before = names()
    for turns in (0, 1, 2, 3, 5, 8, 13, 21):
        pod = await bench.pod(f"x/p{turns}", attach=False)
        attaching = asyncio.create_task(bench.network.attach(pod.key, pod.uid, pod.netns_fd))
        for _ in range(turns):
            await asyncio.sleep(0)
        attaching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attaching
        assert bench.network.address(pod.uid) is None
        assert names() == before


@on_bench
async def test_a_pod_that_is_disconnected_while_it_is_connected_is_not_connected(bench: Bench) -> None:
    before = names()
    pod = await bench.pod("x/a", attach=False)
    attaching = asyncio.create_task(bench.network.attach(pod.key, pod.uid, pod.netns_fd))
    await asyncio.sleep(0)
    await bench.network.detach(pod.uid)
    with pytest.raises(NetlinkError, match=r"No such device"):
        await attaching
    assert bench.network.address(pod.uid) is None
    assert names() == before


@on_bench
async def test_many_pods_at_once_all_get_their_links(bench: Bench) -> None:
    pods = [await bench.pod(f"x/p{number}", attach=False) for number in range(12)]
    await asyncio.gather(*(bench.attach(pod) for pod in pods))
    pods[0].listen(80)
    answers = await asyncio.gather(*(bench.connect(pod, pods[0].ip, 80, 2) for pod in pods[1:]))
    assert set(answers) == {"OK"}


@on_bench
async def test_closing_leaves_no_netlink_socket_open(bench: Bench) -> None:
    await bench.pod("x/a")
    await bench.network.close()
    assert socket.AF_NETLINK not in _families()


def _families() -> set[int]:
    """Of all sockets that are open."""
    return {_family(int(path.name)) for path in Path("/proc/self/fd").iterdir()}


def _family(fd: int) -> int:
    try:
        with socket.socket(fileno=os.dup(fd)) as copy:
            return copy.family
    except OSError:
        return -1


def test_a_udp_service_that_loses_an_endpoint_is_named_with_those_it_keeps() -> None:
    front = (("10.96.0.10", 53),)
    one, two = ("10.244.0.2", 53), ("10.244.0.3", 53)
    both = ServicePort("x/dns", "UDP", front, (one, two))
    less = ServicePort("x/dns", "UDP", front, (one,))
    tcp = ServicePort("x/dns", "TCP", front, (one, two))
    assert lost_endpoints([both], [less]) == {front[0]: {one}}
    assert lost_endpoints([both], []) == {front[0]: set()}
    assert lost_endpoints([less], [both]) == {}
    assert lost_endpoints([tcp], []) == {}
