"""What is asked and what is answered: flows, verdicts, directions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .request import HttpRequest

PROTOCOLS = ("TCP", "UDP", "SCTP")


class Direction(StrEnum):
    """A policy's direction, seen from the pod it selects; the values are those of `policyTypes`."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class Family(StrEnum):
    """An IP family, named as in a Service's `ipFamilies`."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"

    @classmethod
    def of(cls, version: int) -> Family:
        """The family of `ip.version` (4 or 6)."""
        return cls.IPV4 if version == 4 else cls.IPV6


class Verdict(StrEnum):
    """What becomes of a flow, as the client sees it.

    RESET: the connection is broken off. CLOSED: it is accepted and then ended without an answer, as a proxy does that
    refuses on layer 4. UNAVAILABLE: a proxy answers 503 in the server's place. BAD_REQUEST: a proxy answers 400.
    """

    OK = "OK"
    TIMEOUT = "TIMEOUT"
    REFUSED = "REFUSED"
    RESET = "RESET"
    FORBIDDEN = "FORBIDDEN"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    NOT_FOUND = "NOT_FOUND"
    UNAVAILABLE = "UNAVAILABLE"
    BAD_REQUEST = "BAD_REQUEST"
    CLOSED = "CLOSED"
    DNS = "DNS"


@dataclass(frozen=True, slots=True)
class Flow:
    """One attempt to connect.

    source: "namespace/pod" or an IP address. destination: the same, or "service:namespace/name"; the
    address of a pod or of a Service stands for that pod or Service. port: the pod's port, or the Service's
    port when the destination is a Service; 0 for a protocol without ports. family: which addresses of
    two-family pods are used; None takes the destination's first address that the source can reach. request: what is
    asked over HTTP, which only a service mesh looks at.
    """

    source: str
    destination: str
    port: int
    protocol: str = "TCP"
    family: Family | None = None
    request: HttpRequest | None = None

    def __str__(self) -> str:
        port = f" {self.port}" if self.port else ""
        family = f" over {self.family}" if self.family else ""
        asked = f", {self.request}" if self.request else ""
        return f"{self.source} → {self.destination}, {self.protocol}{port}{family}{asked}"
