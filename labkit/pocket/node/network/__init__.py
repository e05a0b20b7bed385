"""The node's network: a veth link and a route for each pod, Services by DNAT, NetworkPolicy in nftables."""

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
