"""Hosts beyond the cluster: for a policy's ipBlock, and for what arrives from elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass

from labkit.pocket.node.network.links import Links, PodLink
from labkit.pocket.node.network.namespaces import new_network_namespace


@dataclass(frozen=True, slots=True)
class Outside:
    """A host beyond the cluster that the node has a route to: no pod, no policy of its own."""

    address: str
    netns_fd: int
    link: PodLink

    @classmethod
    def make(cls, links: Links, address: str) -> Outside:
        """Make the host's namespace and link; it answers at its address when this returns."""
        netns_fd = new_network_namespace()
        link = PodLink(netns_fd, address, f"outside {address}")
        try:
            links.connect(link).result()
        except BaseException:
            links.remove(link).result()
            os.close(netns_fd)
            raise
        return cls(address, netns_fd, link)

    def remove(self, links: Links) -> None:
        """Remove its link and let go of its namespace."""
        links.remove(self.link).result()
        os.close(self.netns_fd)
