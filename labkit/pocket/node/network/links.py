"""The links of the node and its pods: what they look like, and who makes them.

The layout is point to point: the node's end of each pod's veth pair has the same link address, and there is
a /32 route to each pod. There is no bridge, so every packet between two pods passes the node's forward
hook.

The work is `rtnetlink`'s, through pyroute2, which is imported when it is needed first.
"""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.pocket.node.network.rtnetlink import Links

LINK_ADDRESS = "10.9.255.1"
"""The node's end of every pod's link; the pod's default gateway."""
LINK_HARDWARE_ADDRESS = "ee:ee:ee:ee:ee:ee"


@dataclass(slots=True)
class PodLink:
    """A veth pair to a network namespace, whose end there is eth0. `index` is 0 until it is made, then that of
    both ends.
    """

    netns_fd: int
    address: str
    alias: str
    index: int = 0

    @property
    def name(self) -> str:
        """The node's end."""
        return f"veth{self.index}"


async def open_links() -> Links:
    """The links of the node whose network namespace this is. pyroute2 is imported in a thread: the loop goes on."""
    await asyncio.to_thread(importlib.import_module, "labkit.pocket.node.network.rtnetlink")
    from labkit.pocket.node.network.rtnetlink import Links

    return Links()
