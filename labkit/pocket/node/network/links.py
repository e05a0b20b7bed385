"""The links of the node and its pods, and the thread that makes and removes them.

The layout is point to point: the node's end of each pod's veth pair has the same link address, and there is
a /32 route to each pod. There is no bridge, so every packet between two pods passes the node's forward
hook.

All rtnetlink is done by one worker thread (`rtnetlink`, through pyroute2): the kernel holds one lock for it, for
some 20 ms when it removes a link, and the event loop is not to wait for that. One thread also means one order:
what is asked for later happens later. pyroute2 is imported in that thread, at once, while the cluster goes on
starting.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from labkit.pocket.node.network.rtnetlink import NodeLinks

LINK_ADDRESS = "10.9.255.1"
"""The node's end of every pod's link; the pod's default gateway."""
LINK_HARDWARE_ADDRESS = "ee:ee:ee:ee:ee:ee"

_T = TypeVar("_T")


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


class Links:
    """The links of one node; make it in the node's network namespace. What is asked for is done in order.

    Futures are concurrent.futures': `asyncio.wrap_future` awaits one. They raise NetlinkError.
    """

    def __init__(self) -> None:
        """Starts the worker, which opens its sockets."""
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="links")
        self._node: Future[NodeLinks] = self._worker.submit(_open)

    def close(self) -> Future[None]:
        """Close the sockets when all that was asked for is done; the links stay for as long as their
        namespaces.
        """
        done = self._do(lambda node: node.close())
        self._worker.shutdown(wait=False)
        return done

    def start(self, node_address: str) -> Future[None]:
        """Set up what the node itself has."""
        return self._do(lambda node: node.start(node_address))

    def connect(self, link: PodLink) -> Future[None]:
        """Make a link and set it up; packets flow when this is done."""
        return self._do(lambda node: node.connect(link))

    def make(self, link: PodLink) -> Future[None]:
        """Make a link, and leave it down."""
        return self._do(lambda node: node.make(link))

    def remove(self, link: PodLink) -> Future[None]:
        """Remove a link, whether it was made or not."""
        return self._do(lambda node: node.remove(link))

    def _do(self, work: Callable[[NodeLinks], _T]) -> Future[_T]:
        return self._worker.submit(lambda: work(self._node.result()))


def _open() -> NodeLinks:
    from labkit.pocket.node.network.rtnetlink import NodeLinks

    return NodeLinks()
