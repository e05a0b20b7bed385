"""Hosts beyond the cluster: for a policy's ipBlock, and for what arrives from elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.pocket.node.network.links import PodLink
from labkit.pocket.node.network.namespaces import new_network_namespace

if TYPE_CHECKING:
    from labkit.pocket.node.network.rtnetlink import Links


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
            links.connect_now(link)
        except BaseException:
            _remove(link)
            os.close(netns_fd)
            raise
        return cls(address, netns_fd, link)

    def remove(self) -> None:
        """Remove its link and let go of its namespace."""
        _remove(self.link)
        os.close(self.netns_fd)


def _remove(link: PodLink) -> None:
    from labkit.pocket.node.network.rtnetlink import remove_now

    remove_now(link)
