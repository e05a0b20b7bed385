"""The mesh's part of a Decision: layer by layer what the proxies did, each with the object and the line that decided."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from labkit.policy.decision import Trap
from labkit.policy.flow import Verdict
from labkit.policy.model import ObjectKey


class LayerName(StrEnum):
    """The layers in the order in which a request meets them, after NetworkPolicy."""

    CLIENT = "client"
    MUTUAL_TLS = "mutual TLS"
    TOKEN = "token"
    AUTHORIZATION = "authorization"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that was looked at. matched None: it says nothing about this request; text: a sentence without its dot."""

    text: str
    key: ObjectKey | None = None
    path: str = ""
    line: int | None = None
    matched: bool | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: whether the request got through, in a sentence, and what was looked at."""

    name: LayerName
    passed: bool
    summary: str
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class MeshDecision:
    """What the proxies make of a flow that NetworkPolicy lets through.

    status, body, headers: a proxy's own answer (status 0: none, the application answers, or there is no HTTP).
    matched_policy: the rule as Envoy's access log names it, "none" when no ALLOW rule matched, "" when authorization
    decided nothing. details, flags: of the access log. peer: the client's identity as the server's proxy sees it.
    audited, dry_run: rules that matched and enforce nothing. curl: its possible exit codes.
    """

    verdict: Verdict
    status: int
    body: str
    headers: tuple[tuple[str, str], ...]
    matched_policy: str
    details: str
    flags: str
    curl: tuple[int, ...]
    peer: str
    layers: tuple[Layer, ...]
    audited: str = ""
    dry_run: tuple[str, ...] = ()
    decided_by: ObjectKey | None = None
    path: str = ""
    line: int | None = None
    traps: tuple[tuple[ObjectKey, Trap], ...] = ()
    open: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the application gets the request."""
        return self.verdict is Verdict.OK

    @property
    def mutual_tls(self) -> bool:
        """Whether the connection is mutual TLS, for the padlock."""
        return bool(self.peer)
