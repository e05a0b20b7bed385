"""What the mesh as a whole is set to: the ConfigMap `istio` of the root namespace, as far as it decides requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Normalization(StrEnum):
    """How a path is rewritten before anything compares it (meshConfig.pathNormalization)."""

    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """Settings of the mesh; the defaults are Istio's own."""

    root_namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    normalization: Normalization = Normalization.BASE
    cluster_domain: str = "cluster.local"

    @property
    def trust_domains(self) -> tuple[str, ...]:
        """The trust domain and its aliases: certificates of each are accepted."""
        return (self.trust_domain, *self.trust_domain_aliases)

    def identity(self, namespace: str, service_account: str) -> str:
        """The SPIFFE identity of a service account."""
        return f"spiffe://{self.trust_domain}/ns/{namespace}/sa/{service_account}"

    def expanded_domains(self, values: Sequence[str]) -> tuple[str, ...]:
        """trustdomain.Bundle.ExpandTrustDomainAliases."""
        known = self.trust_domains
        result: list[str] = []
        for value in values:
            result += known if value in known else (value,)
        return tuple(dict.fromkeys(result))

    def principals(self, values: Sequence[str]) -> tuple[str, ...]:
        """trustdomain.Bundle.ReplaceTrustDomainAliases: one of ours stands for all of ours."""
        return tuple(expanded for value in values for expanded in self._principal(value))

    def _principal(self, value: str) -> Sequence[str]:
        parts = value.split("/")
        if len(parts) != 5 or parts[0] == "*":
            return (value,)
        written = parts[0]
        if written != "cluster.local" and not any(_fits(domain, written) for domain in self.trust_domains):
            return (value,)
        result = [
            value
            if written.startswith("*") and domain.endswith(written[1:])
            else "/".join((domain, *parts[1:]))
            for domain in self.trust_domains
        ]
        return list(dict.fromkeys(result))

    def read(self, mesh: Mapping[str, Any]) -> MeshConfig:
        """These settings with what a MeshConfig writes."""
        path = (mesh.get("pathNormalization") or {}).get("normalization") or self.normalization
        return replace(
            self,
            root_namespace=str(mesh.get("rootNamespace") or self.root_namespace),
            trust_domain=str(mesh.get("trustDomain") or self.trust_domain),
            trust_domain_aliases=tuple(mesh.get("trustDomainAliases") or self.trust_domain_aliases),
            normalization=Normalization.BASE if path == "DEFAULT" else Normalization(path),
        )


def _fits(domain: str, pattern: str) -> bool:
    if pattern.startswith("*"):
        return domain.endswith(pattern[1:])
    if pattern.endswith("*"):
        return domain.startswith(pattern[:-1])
    return domain == pattern
