"""The two ends of a first packet, as policy sees them."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Address, Pod


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a flow as policy sees it.

    pod: None when selectors see no pod there (outside the cluster, a node); `hides` then says what is there.
    block_address: what ipBlocks are compared with when it is not the party's own address (a Service's).
    """

    name: str
    pod: Pod | None
    address: Address
    block_address: Address | None = None
    hides: str = ""

    @property
    def seen_address(self) -> Address:
        """The address that an ipBlock is compared with."""
        return self.block_address or self.address


@dataclass(frozen=True, slots=True)
class Attempt:
    """A first packet: from whom to whom, on which port, after translation."""

    source: Party
    destination: Party
    port: int
    protocol: str
