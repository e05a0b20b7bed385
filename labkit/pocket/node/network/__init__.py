"""The node's network: a veth link and a route for each pod, Services by DNAT, NetworkPolicy in nftables.

From the top down: `podnetwork` follows the API (`clusterview`) and owns what has a life. `policyrules`
(with `peersets`) and `servicerules` say what should be in the kernel, as plain data (`ruleset`), whose
difference to what is there goes out as messages (`nft`, `expressions`) over a socket (`netlink`). `links`
says what links look like and `rtnetlink` makes them, `conntrack` forgets connections, `outside` makes hosts beyond
the cluster, `features` tells what a kernel lacks. The way back, from the kernel to words for people, is
`readback`, `meaning`, `text`.

All netlink goes through pyroute2; only the messages of nf_tables are packed here, for time (`netlink`).
It is imported when it is needed first: only `rtnetlink` names it at its top.
"""

from labkit.pocket.node.network.addresses import AddressesExhausted
from labkit.pocket.node.network.features import missing_features
from labkit.pocket.node.network.namespaces import inside, new_network_namespace
from labkit.pocket.node.network.netlink import NetlinkError
from labkit.pocket.node.network.outside import Outside
from labkit.pocket.node.network.podnetwork import (
    NODE_ADDRESS,
    KernelLacksFeatures,
    PodAddress,
    PodNetwork,
)

__all__ = [
    "NODE_ADDRESS",
    "AddressesExhausted",
    "KernelLacksFeatures",
    "NetlinkError",
    "Outside",
    "PodAddress",
    "PodNetwork",
    "inside",
    "missing_features",
    "new_network_namespace",
]
