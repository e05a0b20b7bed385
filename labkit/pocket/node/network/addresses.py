"""Pod addresses: which are free, and when a used one may be given out again."""

from __future__ import annotations

import errno
import ipaddress
import time
from collections import deque
from collections.abc import Callable

QUARANTINE = 60.0
"""Seconds before an address is used again: a stale name or connection must not reach the wrong pod."""


class AddressesExhausted(OSError):  # noqa: N818 - says what is the matter
    """Every address of the range is in use."""


class AddressPool:
    """Addresses of a pod network, in order, a block of 256 at a time.

    A block serves until it is full; then released addresses that have waited long enough, then the next
    block.
    """

    def __init__(self, network: str = "10.244.0.0/16", clock: Callable[[], float] = time.monotonic) -> None:
        """Of each block the first two (network and gateway, by custom) and the last are never given out."""
        self._network = ipaddress.IPv4Network(network)
        self._clock = clock
        self._next = 2
        self._end = 256
        self._used: set[str] = set()
        self._released: deque[tuple[float, str]] = deque()

    def take(self) -> str:
        """An address that nobody has. Raises AddressesExhausted."""
        if self._next % 256 == 255 and not self._aged() and self._end < self._network.num_addresses:
            self._next, self._end = self._end + 2, self._end + 256
        if self._next % 256 != 255:
            address = str(self._network[self._next])
            self._next += 1
        elif self._released:
            address = self._released.popleft()[1]
        else:
            raise AddressesExhausted(errno.EADDRNOTAVAIL, f"all addresses of {self._network} are in use")
        self._used.add(address)
        return address

    def release(self, address: str) -> None:
        """Give an address back."""
        if address in self._used:
            self._used.remove(address)
            self._released.append((self._clock(), address))

    def _aged(self) -> bool:
        return bool(self._released) and self._clock() - self._released[0][0] >= QUARANTINE
