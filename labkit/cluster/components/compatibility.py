"""Which versions are known to fail together, and which upstream has never tried: a table of rules, each with its source.

Refused is what is known to fail or below what upstream supports; a version newer than upstream has tried is only a warning,
because most often it works.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .versions import Range, numbers

KUBERNETES = "kubernetes"


class Severity(enum.Enum):
    """What follows from a rule."""

    REFUSE = "refuse"
    WARN = "warn"


_ANY = Range()


@dataclass(frozen=True, slots=True)
class Rule:
    """These versions of a component fail with those of another (a component, or "kubernetes"), or with an extra switched on.

    `remedy` says what to do instead, `source` where this is known from.
    """

    component: str
    versions: Range
    reason: str
    remedy: str
    source: str
    other: str = ""
    others: Range = _ANY
    extra: str = ""


@dataclass(frozen=True, slots=True)
class Support:
    """Which versions of another thing upstream supports for a range of versions of a component."""

    component: str
    versions: Range
    other: str
    supported: Range
    source: str


@dataclass(frozen=True, slots=True)
class Objection:
    """Something that speaks against installing."""

    severity: Severity
    message: str


_ALP = "projectcalico/calico#11857, #11986: no CheckProvider in 3.30.0 to 3.31.7, so Envoy gets UNKNOWN and answers 403"
_ALP_NEEDS = "docs.tigera.io, Application layer policy"
_ISTIO = "istio.io, Supported Releases: support status of Istio releases"
_CALICO = "docs.tigera.io, System requirements for Kubernetes, per version"
_LINKERD = "linkerd.io, Releases and Versions: supported Kubernetes versions"
_GATEWAY = "linkerd.io, Gateway API support: version compatibility"

RULES: tuple[Rule, ...] = (
    Rule(
        "calico", Range("3.30.0", "3.31"), extra="alp", source=_ALP,
        reason="with application layer policy every HTTP request gets 403 in Calico 3.30.0 to 3.31.7",
        remedy="Take Calico 3.32.0 or later, or 3.29.",
    ),
    Rule(
        "calico", Range(), extra="alp", other=KUBERNETES, others=Range(high="1.28"), source=_ALP_NEEDS,
        reason="application layer policy needs Istio's native sidecars, which Kubernetes has from 1.29 on",
        remedy="Use a node image of Kubernetes 1.29 or later.",
    ),
    Rule(
        "calico", Range(), extra="alp", other="istio", others=Range(high="1.21"), source=_ALP_NEEDS,
        reason="application layer policy needs the native sidecars of Istio 1.22 or later",
        remedy="Take a newer Istio.",
    ),
    Rule(
        "calico", Range("3.29.0", "3.29.3"), source="projectcalico/calico 3.29.0 to 3.29.3, mended in 3.29.4",
        reason="it renames policies of the default tier to default.NAME, so that what lessons say about names is wrong",
        remedy="Take Calico 3.29.4 or later.",
    ),
    Rule(
        "kind", Range(high="0.23"), source="kind's release notes of 0.24.0",
        reason="the network of kind before 0.24 accepts NetworkPolicies and enforces none",
        remedy="Take kind 0.24 or later.",
    ),
)  # fmt: skip

SUPPORT: tuple[Support, ...] = (
    Support("istio", Range("1.26", "1.27"), KUBERNETES, Range("1.29", "1.33"), _ISTIO),
    Support("istio", Range("1.28", "1.28"), KUBERNETES, Range("1.30", "1.34"), _ISTIO),
    Support("istio", Range("1.29", "1.29"), KUBERNETES, Range("1.31", "1.35"), _ISTIO),
    Support("istio", Range("1.30", "1.30"), KUBERNETES, Range("1.32", "1.36"), _ISTIO),
    Support("calico", Range("3.29", "3.29"), KUBERNETES, Range("1.29", "1.32"), _CALICO),
    Support("calico", Range("3.31", "3.31"), KUBERNETES, Range("1.32", "1.35"), _CALICO),
    Support("calico", Range("3.32", "3.32"), KUBERNETES, Range("1.34", "1.36"), _CALICO),
    Support("calico", Range("3.33", "3.33"), KUBERNETES, Range("1.35", "1.37"), _CALICO),
    Support(
        "cert-manager", Range("1.21", "1.21"), KUBERNETES, Range("1.33", "1.36"), "cert-manager.io, Supported Releases"
    ),
    # Linkerd's open-source releases are edges by date; 2.16, 2.18, 2.19 and 2.20 are tags on them.
    Support("linkerd", Range("24.8.2", "24.11.7"), KUBERNETES, Range("1.22", "1.29"), _LINKERD),
    Support("linkerd", Range("25.4.4", "25.10.6"), KUBERNETES, Range("1.22", "1.32"), _LINKERD),
    Support("linkerd", Range("25.10.7", "26.6.2"), KUBERNETES, Range("1.22", "1.35"), _LINKERD),
    Support("linkerd", Range("26.6.3", "26.99"), KUBERNETES, Range("1.31", "1.35"), _LINKERD),
    Support("linkerd", Range("24.2.4", "25.4.3"), "gateway-api", Range("0.7", "1.1.1"), _GATEWAY),
    Support("linkerd", Range("25.4.4", "26.6.2"), "gateway-api", Range("1.1.1", "1.2.1"), _GATEWAY),
    Support("linkerd", Range("26.6.3", "26.99"), "gateway-api", Range("1.2.1", "1.5.1"), _GATEWAY),
)  # fmt: skip


def objections(
    component: str, version: str, there: Mapping[str, str], extras: Iterable[str] = ()
) -> list[Objection]:
    """What speaks against this version of a component.

    there: versions of what the cluster has, "kubernetes" and components by name; what is not in it does not matter.
    extras: which optional parts are wanted. Asks in both directions: a rule about Calico with Istio also holds for Istio
    where Calico is there.
    """
    wanted = set(extras)
    broken = (_broken(rule, component, version, there, wanted) for rule in RULES)
    found = [Objection(Severity.REFUSE, message) for message in broken if message]
    untried = (_unsupported(support, component, version, there) for support in SUPPORT)
    found += [objection for objection in untried if objection]
    return found


def _broken(rule: Rule, component: str, version: str, there: Mapping[str, str], extras: set[str]) -> str:
    subject = {**there, component: version}
    if component not in (rule.component, rule.other) or rule.component not in subject:
        return ""
    if rule.extra and not (component == rule.component and rule.extra in extras):
        return ""
    if rule.versions != _ANY and subject[rule.component] not in rule.versions:
        return ""
    if rule.other and (rule.other not in subject or subject[rule.other] not in rule.others):
        return ""
    return f"{_titled(component, version)} is not installed: {rule.reason}. {rule.remedy} ({rule.source})"


def _unsupported(
    support: Support, component: str, version: str, there: Mapping[str, str]
) -> Objection | None:
    subject = {**there, component: version}
    if component not in (support.component, support.other) or not numbers(version):
        return None
    ours, theirs = subject.get(support.component, ""), subject.get(support.other, "")
    if ours not in support.versions or not numbers(theirs) or theirs in support.supported:
        return None
    pair = f"{_titled(support.component, ours)} supports {_titled(support.other, str(support.supported))}"
    here = f"here is {_titled(support.other, theirs)}"
    if support.supported.below(theirs):
        text = f"{_titled(component, version)} is not installed: {pair}, and {here}. ({support.source})"
        return Objection(Severity.REFUSE, text)
    return Objection(Severity.WARN, f"{pair}; {here}, which is newer than was tried. ({support.source})")


_TITLES = {
    "kubernetes": "Kubernetes", "istio": "Istio", "linkerd": "Linkerd", "calico": "Calico", "gateway-api": "Gateway API",
}  # fmt: skip


def _titled(name: str, version: str) -> str:
    return f"{_TITLES.get(name, name)} {version.removeprefix('v')}".rstrip()
