"""The answer to one flow, with its reasons: both halves, every policy, every rule, every peer."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any

from .flow import Direction, Flow, Verdict
from .model import ObjectKey

if TYPE_CHECKING:
    from .mesh.decision import MeshDecision


class Why(StrEnum):
    """Why a peer or a port matched or not, for programs; the sentence beside it is for people."""

    EVERYONE = "everyone"
    LABELS_MATCH = "labels-match"
    ADDRESS_MATCHES = "address-matches"
    PORT_MATCHES = "port-matches"
    EVERY_PORT = "every-port"
    OTHER_NAMESPACE = "other-namespace"
    NAMESPACE_LABELS = "namespace-labels"
    POD_LABELS = "pod-labels"
    NOT_A_POD = "not-a-pod"
    HOST_NETWORK = "host-network"
    NOT_ON_NETWORK = "not-on-network"
    OUTSIDE_BLOCK = "outside-block"
    EXCEPTED = "excepted"
    OTHER_FAMILY = "other-family"
    BLOCK_IGNORES_PODS = "block-ignores-pods"
    NAMED_PORT_NEEDS_POD = "named-port-needs-pod"
    OTHER_PORT = "other-port"
    OTHER_PROTOCOL = "other-protocol"
    NO_SUCH_NAME = "no-such-name"


@dataclass(frozen=True, slots=True)
class Step:
    """One peer or one port entry, tried: where it stands, and whether and why it matched."""

    path: str
    line: int | None
    matched: bool
    why: Why
    reason: str


@dataclass(frozen=True, slots=True)
class RuleStep:
    """One rule, tried. It matches when a peer and a port match.

    `rule` is the rule's path; `path` is the most telling place: the peer that matched, the only peer that
    did not, or the rule.
    """

    rule: str
    path: str
    line: int | None
    matched: bool
    reason: str
    peers_matched: bool
    ports_matched: bool
    peers: tuple[Step, ...]
    ports: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Trap:
    """A well-known mistake that had a part in the answer. `code` is for programs, `text` for people."""

    code: str
    text: str
    path: str
    line: int | None


@dataclass(frozen=True, slots=True)
class PolicyStep:
    """One policy that selects the pod for this direction. `selected_by` is a sentence."""

    key: ObjectKey
    selected_by: str
    path: str
    line: int | None
    allowed: bool
    rules: tuple[RuleStep, ...]
    traps: tuple[Trap, ...] = ()


@dataclass(frozen=True, slots=True)
class Unselected:
    """A policy of the pod's namespace that has nothing to say here, and why."""

    key: ObjectKey
    reason: str
    path: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Half:
    """What the policies of one end say: egress at the source, ingress at the destination.

    `exempt` says why policy is not asked at all ("" when it is).
    """

    direction: Direction
    subject: str
    other: str
    isolated: bool
    allowed: bool
    policies: tuple[PolicyStep, ...] = ()
    unselected: tuple[Unselected, ...] = ()
    exempt: str = ""

    @property
    def admitted_by(self) -> tuple[RuleStep, ...]:
        """The rules that let the flow through."""
        return tuple(rule for policy in self.policies for rule in policy.rules if rule.matched)


@dataclass(frozen=True, slots=True)
class Decision:
    """A predicted verdict with its reasons.

    When `defined` is False, Kubernetes leaves the outcome to the implementation: `verdict` is then what the
    commonest implementations do, must not be shown as a plain yes or no and must not be graded; `note` says
    why. For a Service, `endpoints` has the decision for each pod behind it, and the halves are those of the
    first one. `mesh`: what proxies add, None where there is none on the way or nothing reaches them.
    """

    flow: Flow
    verdict: Verdict
    defined: bool
    note: str
    egress: Half
    ingress: Half
    endpoints: tuple[Decision, ...] = ()
    mesh: MeshDecision | None = None

    @property
    def status(self) -> int:
        """The HTTP status with which a proxy answers in the application's place; 0 when none does."""
        return self.mesh.status if self.mesh else 0

    @property
    def body(self) -> str:
        """The body of that answer, to the letter."""
        return self.mesh.body if self.mesh else ""

    @property
    def matched_policy(self) -> str:
        """The authorization rule that decided, as Envoy names it: "ns[NS]-policy[NAME]-rule[i]", "none" or ""."""
        return self.mesh.matched_policy if self.mesh else ""

    @property
    def allowed(self) -> bool:
        """Whether the application is reached, as far as policy is concerned."""
        return self.verdict is Verdict.OK

    @property
    def halves(self) -> tuple[Half, Half]:
        """Egress and ingress."""
        return (self.egress, self.ingress)

    @property
    def traps(self) -> tuple[tuple[ObjectKey, Trap], ...]:
        """The traps of both halves and of the mesh, each with its policy."""
        found = tuple((p.key, trap) for half in self.halves for p in half.policies for trap in p.traps)
        return (*found, *self.mesh.traps) if self.mesh else found

    def explain(self) -> str:
        """The reasons in plain English, several lines."""
        from .explain import explain

        return explain(self)

    def to_dict(self) -> dict[str, Any]:
        """The decision as plain data for JSON."""
        result: dict[str, Any] = _plain(self)
        result["allowed"] = self.allowed
        return result


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
