"""A NetworkPolicy as a small closed model: what decisions, tables and the node's packet filter are made from."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from .flow import Direction
from .labels import Selector
from .model import Address, ObjectKey, Pod
from .yamlseam import SourceMap

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class IpBlock:
    """Addresses in `network` and in none of `excepts`; `written` is the cidr as the YAML has it."""

    path: str
    network: Network
    excepts: tuple[Network, ...] = ()
    written: str = ""

    def contains(self, address: Address) -> bool:
        """Whether the address is meant; an address of the other family never is."""
        # ipaddress answers False, not an error, for an address of the other family.
        return address in self.network and not any(address in network for network in self.excepts)

    def __str__(self) -> str:
        return f"{self.network}" + (f" except {', '.join(map(str, self.excepts))}" if self.excepts else "")


@dataclass(frozen=True, slots=True)
class Peer:
    """One item of `from` or `to`.

    None means that the field is not written; an empty selector matches everything.
    """

    path: str
    namespace_selector: Selector | None = None
    pod_selector: Selector | None = None
    ip_block: IpBlock | None = None


@dataclass(frozen=True, slots=True)
class PortMatch:
    """One item of `ports`: a protocol, and a number, a range (`end_port` included), a name, or every port."""

    path: str
    protocol: str = "TCP"
    port: int | None = None
    end_port: int | None = None
    name: str | None = None

    def matches(self, port: int, protocol: str, destination: Pod | None) -> bool:
        """Whether a flow to this port of the destination is meant; `destination` None is no pod, so has no
        names.
        """
        if protocol != self.protocol:
            return False
        if self.name is not None:
            return destination is not None and port in destination.port_named(self.name, protocol)
        return self.port is None or self.port <= port <= (self.end_port or self.port)

    def __str__(self) -> str:
        if self.name is not None:
            return f'{self.protocol} "{self.name}"'
        if self.port is None:
            return f"{self.protocol}, every port"
        return f"{self.protocol} {self.port}" + (f"-{self.end_port}" if self.end_port else "")


@dataclass(frozen=True, slots=True)
class Rule:
    """One item of `ingress` or `egress`. peers None: everyone. ports None: every port of every protocol."""

    path: str
    peers: tuple[Peer, ...] | None = None
    ports: tuple[PortMatch, ...] | None = None


@dataclass(frozen=True, eq=False)
class CompiledPolicy:
    """A NetworkPolicy, read. Compared by identity: two readings of the same object are two policies."""

    key: ObjectKey
    uid: str
    namespace: str
    pod_selector: Selector
    directions: frozenset[Direction]
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]
    types_written: bool = True
    source: SourceMap | None = None

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.key.name

    def rules(self, direction: Direction) -> tuple[Rule, ...]:
        """The rules that count for a direction; a list whose direction is not in policyTypes does not
        count.
        """
        if direction not in self.directions:
            return ()
        return self.ingress if direction is Direction.INGRESS else self.egress

    def selects(self, pod: Pod) -> bool:
        """Whether the policy applies to the pod: same namespace, and the labels match."""
        return pod.namespace == self.namespace and self.pod_selector.matches(pod.labels)

    def line(self, path: str) -> int | None:
        """The line of a field in the learner's YAML, where it is known."""
        return self.source.line(path) if self.source else None
