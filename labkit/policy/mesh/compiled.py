"""An AuthorizationPolicy as a small closed model, in the order and the words of Envoy's RBAC filter.

What the engine decides on, and what the pocket cluster's Envoy configuration is rendered from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from labkit.policy.model import ObjectKey
from labkit.policy.yamlseam import SourceMap

from .matchers import ValueMatch


class Action(StrEnum):
    """What a policy does with a request that one of its rules matches."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    AUDIT = "AUDIT"
    CUSTOM = "CUSTOM"


class Subject(StrEnum):
    """What a condition is about."""

    PRINCIPAL = "principal"
    SERVICE_ACCOUNT = "service account"
    TRUST_DOMAIN = "trust domain"
    NAMESPACE = "namespace"
    REQUEST_PRINCIPAL = "request principal"
    SOURCE_IP = "source address"
    REMOTE_IP = "remote address"
    HEADER = "header"
    CLAIM = "claim"
    HOST = "host"
    METHOD = "method"
    PATH = "path"
    PORT = "port"
    DESTINATION_IP = "destination address"
    SNI = "server name"
    METADATA = "metadata"


# Tests of the client's certificate: they need mutual TLS.
OF_THE_PEER = frozenset({Subject.PRINCIPAL, Subject.SERVICE_ACCOUNT, Subject.TRUST_DOMAIN, Subject.NAMESPACE})
# Tests that only HTTP has: model.go returns "is HTTP only" for them on a TCP filter chain.
HTTP_ONLY = frozenset(
    {Subject.HOST, Subject.METHOD, Subject.PATH, Subject.REQUEST_PRINCIPAL, Subject.HEADER, Subject.CLAIM}
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One field of a source, an operation or a `when` entry.

    It holds when one of `values` matches (or there are none) and none of `not_values` does. name: the header's name
    in lower case, the way to a claim, or a filter and the key of its metadata. path, not_path: where the two lists
    stand; "" for one that is not written.
    """

    subject: Subject
    values: tuple[ValueMatch, ...] = ()
    not_values: tuple[ValueMatch, ...] = ()
    name: tuple[str, ...] = ()
    path: str = ""
    not_path: str = ""
    written: tuple[str, ...] = ()
    not_written: tuple[str, ...] = ()

    def holds(self, value: object) -> bool:
        """Whether a fact passes; None is a fact that is not there."""
        if self.values and not any(match.matches(value) for match in self.values):  # type: ignore[arg-type]
            return False
        return not any(match.matches(value) for match in self.not_values)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One item of `from` or `to` with the `when` entries of its side: all conditions must hold, none is "any"."""

    path: str
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """Something of a rule that is not in Envoy's configuration, and why."""

    path: str
    reason: str
    whole_rule: bool = False


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One policy of Envoy's RBAC filter: an alternative of each side must hold.

    key: the name that Envoy logs, "ns[NS]-policy[NAME]-rule[i]". never: made for a policy without rules.
    """

    key: str
    path: str
    permissions: tuple[Alternative, ...] = (Alternative(""),)
    principals: tuple[Alternative, ...] = (Alternative(""),)
    never: bool = False

    def conditions(self) -> Iterator[Condition]:
        """Every condition of the rule."""
        for alternative in (*self.principals, *self.permissions):
            yield from alternative.conditions


@dataclass(frozen=True, eq=False)
class CompiledAuthorization:
    """An AuthorizationPolicy, read. `http` and `tcp`: its rules on the two kinds of filter chains.

    selector None: every workload. targets: whether it names targetRefs, which a sidecar does not look at.
    """

    key: ObjectKey
    action: Action
    http: tuple[CompiledRule, ...]
    tcp: tuple[CompiledRule, ...]
    selector: Mapping[str, str] | None = None
    targets: bool = False
    dry_run: bool = False
    provider: str = ""
    created: str = ""
    left_http: tuple[Left, ...] = ()
    left_tcp: tuple[Left, ...] = ()
    source: SourceMap | None = field(default=None, repr=False)

    @property
    def namespace(self) -> str:
        """The policy's namespace."""
        return self.key.namespace

    def line(self, path: str) -> int | None:
        """The line of a field in the learner's YAML, where it is known."""
        return self.source.nearest(path) if self.source else None


def rule_key(namespace: str, name: str, index: int) -> str:
    """The name of a rule in Envoy's configuration and access log (builder.go, policyName)."""
    return f"ns[{namespace}]-policy[{name}]-rule[{index}]"
