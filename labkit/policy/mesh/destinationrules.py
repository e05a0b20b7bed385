"""DestinationRule: which TLS a client's proxy uses towards a Service (mtls_checker.go, cluster_tls.go)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from labkit.policy.model import ObjectKey, Service
from labkit.policy.yamlseam import SourceMap

from .meshconfig import MeshConfig
from .mtls import in_order


class TlsMode(StrEnum):
    """A DestinationRule's tls.mode."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


@dataclass(frozen=True, slots=True)
class Traffic:
    """A trafficPolicy, as far as it is about TLS."""

    mode: TlsMode | None = None
    ports: Mapping[int, TlsMode] = field(default_factory=dict)
    path: str = ""

    def on(self, port: int) -> tuple[TlsMode | None, str]:
        """The mode for a port of the Service, and where it stands."""
        if port in self.ports:
            return self.ports[port], f"{self.path}.portLevelSettings"
        return self.mode, f"{self.path}.tls.mode"


@dataclass(frozen=True, eq=False)
class DestinationRule:
    """A DestinationRule, read. subsets: labels of each, by name."""

    key: ObjectKey
    host: str
    traffic: Traffic
    exported_to: tuple[str, ...] = ()
    subsets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    selector: Mapping[str, str] | None = None
    created: str = ""
    source: SourceMap | None = field(default=None, repr=False)

    def line(self, path: str) -> int | None:
        """The line of a field in the learner's YAML, where it is known."""
        return self.source.nearest(path) if self.source else None

    def full_host(self, config: MeshConfig) -> str:
        """The host as a full name: a name without a dot is one of the rule's own namespace."""
        if "." in self.host or self.host.startswith("*"):
            return self.host
        return f"{self.host}.{self.key.namespace}.svc.{config.cluster_domain}"

    def exports_to(self, namespace: str) -> bool:
        """Whether clients of a namespace see it."""
        scopes = [self.key.namespace if scope == "." else scope for scope in self.exported_to]
        return not scopes or "*" in scopes or namespace in scopes


def read_destination_rule(
    obj: Mapping[str, Any], source: SourceMap | None = None, *, default_namespace: str = "default"
) -> DestinationRule:
    """Read a DestinationRule."""
    spec = obj.get("spec") or {}
    policy = spec.get("trafficPolicy") or {}
    ports = {}
    for item in policy.get("portLevelSettings") or ():
        number, mode = (item.get("port") or {}).get("number"), (item.get("tls") or {}).get("mode")
        if number and item.get("tls") is not None:
            ports[int(number)] = TlsMode(mode or "DISABLE")
    tls = policy.get("tls")
    return DestinationRule(
        ObjectKey.of({**obj, "kind": "DestinationRule"}, default_namespace),
        str(spec.get("host") or ""),
        Traffic(None if tls is None else TlsMode(tls.get("mode") or "DISABLE"), ports, "spec.trafficPolicy"),
        tuple(spec.get("exportTo") or ()),
        {str(s.get("name")): dict(s.get("labels") or {}) for s in spec.get("subsets") or ()},
        (spec.get("workloadSelector") or {}).get("matchLabels"),
        str((obj.get("metadata") or {}).get("creationTimestamp") or ""),
        source,
    )


def rule_for(
    rules: Iterable[DestinationRule],
    config: MeshConfig,
    service: Service,
    namespace: str,
    labels: Mapping[str, str],
) -> DestinationRule | None:
    """The rule that a client of a namespace uses for a Service: of its own namespace, the Service's, the root's.

    Within a namespace the most specific host, then the oldest: later ones only add subsets (destination_rule.go).
    """
    hostname = f"{service.name}.{service.namespace}.svc.{config.cluster_domain}"
    fitting: list[DestinationRule] = [
        rule
        for rule in in_order(rules)
        if fits_host(rule.full_host(config), hostname)
        and rule.exports_to(namespace)
        and (
            rule.selector is None
            or (rule.key.namespace == namespace and rule.selector.items() <= labels.items())
        )
    ]
    for owner in dict.fromkeys((namespace, service.namespace, config.root_namespace)):
        found = [rule for rule in fitting if rule.key.namespace == owner]
        if found:
            longest = max(len(rule.full_host(config).lstrip("*")) for rule in found)
            best = [rule for rule in found if len(rule.full_host(config).lstrip("*")) == longest]
            with_policy = [rule for rule in best if rule.traffic.mode is not None or rule.traffic.ports]
            return (with_policy or best)[0]
    return None


def fits_host(pattern: str, hostname: str) -> bool:
    """Whether a host of a rule, which may begin with `*`, means a Service."""
    return hostname.endswith(pattern[1:]) if pattern.startswith("*") else hostname == pattern
