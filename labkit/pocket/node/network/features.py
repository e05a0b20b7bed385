"""What the data plane needs of the kernel, each thing tried by itself, so that an error can name what is
missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from labkit.pocket.node.network import expressions as ex
from labkit.pocket.node.network import nft
from labkit.pocket.node.network.namespaces import new_network_namespace
from labkit.pocket.node.network.netlink import NETLINK_NETFILTER, Message, NetlinkSocket

_TABLE = "labkit-check"
_ACCEPT = ex.verdict(ex.Verdict.ACCEPT)


def missing_features() -> list[str]:
    """What this kernel lacks, each with the option it is built with; empty if everything is there.

    Try it in a network namespace that is yours (needs CAP_NET_ADMIN and CAP_SYS_ADMIN there): it makes a
    table and a link, and removes both.
    """
    return [f"{name} ({option})" for name, option, missing in _TRIES if missing()]


def _refused(*messages: Message) -> bool:
    """Whether a batch is refused; what it made is removed again."""
    try:
        with NetlinkSocket(NETLINK_NETFILTER) as netfilter:
            netfilter.send(nft.batch([nft.add_table(_TABLE), *messages]), confirm_last=True)
            netfilter.send(nft.batch([nft.delete_table(_TABLE)]), confirm_last=True)
    except OSError:
        return True
    return False


def _no_rule(
    expressions: bytes, kind: str = "filter", hook: nft.Hook = nft.Hook.FORWARD
) -> Callable[[], bool]:
    return lambda: _refused(
        nft.add_base_chain(_TABLE, "check", kind, hook, 0),
        nft.add_map(_TABLE, "ends", nft.Kind.NUMBER, nft.Kind.ADDRESS_PORT, 1),
        nft.add_rule(_TABLE, "check", expressions, "check"),
    )


def _no_link() -> bool:
    from labkit.pocket.node.network.rtnetlink import try_link

    try:
        other = new_network_namespace()
        try:
            try_link(other)
        finally:
            os.close(other)
    except OSError:
        return True
    return False


_TO_AN_END = ex.look_up("ends", into=ex.FIRST_REGISTER) + ex.translate_destination()
_TRIES: tuple[tuple[str, str, Callable[[], bool]], ...] = (
    ("links between namespaces", "CONFIG_VETH", _no_link),
    ("nftables for IPv4", "CONFIG_NF_TABLES, CONFIG_NF_TABLES_IPV4", lambda: _refused()),
    ("rules with counters", "CONFIG_NF_TABLES", _no_rule(ex.counter() + _ACCEPT)),
    (
        "connection states in rules",
        "CONFIG_NFT_CT",
        _no_rule(ex.connection_state(ex.State.ESTABLISHED) + _ACCEPT),
    ),
    ("refusing packets", "CONFIG_NFT_REJECT", _no_rule(ex.reject())),
    (
        "sending Services to endpoints",
        "CONFIG_NFT_NAT, CONFIG_NFT_NUMGEN",
        _no_rule(ex.random_number(1) + _TO_AN_END, "nat", nft.Hook.PREROUTING),
    ),
    (
        "Services with client affinity",
        "CONFIG_NFT_HASH",
        _no_rule(ex.address(ex.SOURCE) + ex.hashed(4, 1) + _TO_AN_END, "nat", nft.Hook.PREROUTING),
    ),
    ("masquerading", "CONFIG_NFT_MASQ", _no_rule(ex.masquerade(), "nat", nft.Hook.POSTROUTING)),
)
