"""A kernel that lacks something is told apart, thing by thing."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import pytest
from pyroute2 import AsyncIPRoute

from labkit.pocket.node.network import KernelLacksFeatures, NetlinkError, PodNetwork, missing_features
from labkit.pocket.node.network.netlink import Message, NetlinkSocket
from tests.pocket.node.network.bench import Bench, on_bench


@on_bench
async def test_this_kernel_has_everything_and_the_check_leaves_nothing_behind(bench: Bench) -> None:
    links = socket.if_nameindex()
    assert missing_features() == []
    assert socket.if_nameindex() == links


@on_bench
async def test_what_is_missing_is_named_with_the_option_it_is_built_with(bench: Bench) -> None:
    original = NetlinkSocket.send

    def without_numgen(
        self: NetlinkSocket, messages: Iterable[Message], *, confirm_last: bool = False
    ) -> None:
        messages = list(messages)
        for message in messages:
            if b"numgen\0" in message.body:
                raise NetlinkError(2, message.what)
        original(self, messages, confirm_last=confirm_last)

    NetlinkSocket.send = without_numgen  # type: ignore[method-assign]
    assert missing_features() == ["sending Services to endpoints (CONFIG_NFT_NAT, CONFIG_NFT_NUMGEN)"]
    bench.service("x/web", "10.96.0.50", [{"port": 80, "targetPort": 8080}], selector={"a": "b"})
    bench.endpoints("x/web", [("", 8080, "TCP")], ["10.244.0.99"])
    await bench.network.close()
    async with AsyncIPRoute() as route:
        await route.link("del", ifname="eth0")
    with pytest.raises(KernelLacksFeatures, match="this kernel lacks sending Services to endpoints"):
        await PodNetwork(bench.api).start()
