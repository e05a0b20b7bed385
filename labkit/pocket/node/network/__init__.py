"""The node's network: a veth link and a route for each pod, Services by DNAT, NetworkPolicy in nftables."""

from labkit.pocket.node.network.addresses import AddressesExhausted
from labkit.pocket.node.network.namespaces import inside, new_network_namespace
from labkit.pocket.node.network.netlink import NetlinkError
from labkit.pocket.node.network.podnetwork import NODE_ADDRESS, Outside, PodAddress, PodNetwork

__all__ = [
    "NODE_ADDRESS",
    "AddressesExhausted",
    "NetlinkError",
    "Outside",
    "PodAddress",
    "PodNetwork",
    "inside",
    "new_network_namespace",
]
