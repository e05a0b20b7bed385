"""Network namespaces: making one, and opening sockets inside one.

A socket belongs for ever to the namespace it was made in, so it is enough to enter for the moment of making
it. Both functions switch the calling thread and come back before they return: safe on the event loop.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from labkit.pocket.node.linux import CLONE_NEWNET, setns, unshare

_OWN = "/proc/thread-self/ns/net"


@contextmanager
def inside(netns_fd: int) -> Iterator[None]:
    """Run the block in another network namespace (needs CAP_SYS_ADMIN there). Never await in it."""
    own = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(netns_fd, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(own, CLONE_NEWNET)
    finally:
        os.close(own)


def new_network_namespace() -> int:
    """A descriptor of a fresh, empty network namespace; it lives as long as the descriptor or a process in
    it.
    """
    own = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(CLONE_NEWNET)
        try:
            return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            setns(own, CLONE_NEWNET)
    finally:
        os.close(own)
