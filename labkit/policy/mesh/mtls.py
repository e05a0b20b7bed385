"""PeerAuthentication: which mode holds on which port (policy_applier.go), and which filter chain takes a connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from labkit.policy.model import ObjectKey
from labkit.policy.yamlseam import SourceMap

from .protocols import PortProtocol


class Mode(StrEnum):
    """A mutual TLS mode; UNSET inherits."""

    UNSET = "UNSET"
    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


@dataclass(frozen=True, eq=False)
class PeerAuthentication:
    """A PeerAuthentication, read. selector: empty for one of a namespace or of the mesh."""

    key: ObjectKey
    mode: Mode = Mode.UNSET
    ports: Mapping[int, Mode] = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    source: SourceMap | None = field(default=None, repr=False)

    def line(self, path: str) -> int | None:
        """The line of a field in the learner's YAML, where it is known."""
        return self.source.nearest(path) if self.source else None


def read_peer_authentication(
    obj: Mapping[str, Any], source: SourceMap | None = None, *, default_namespace: str = "default"
) -> PeerAuthentication:
    """Read a PeerAuthentication that is valid."""
    spec = obj.get("spec") or {}
    return PeerAuthentication(
        ObjectKey.of({**obj, "kind": "PeerAuthentication"}, default_namespace),
        _mode(spec.get("mtls")),
        {int(port): _mode(value) for port, value in (spec.get("portLevelMtls") or {}).items()},
        dict((spec.get("selector") or {}).get("matchLabels") or {}),
        str((obj.get("metadata") or {}).get("creationTimestamp") or ""),
        source,
    )


def _mode(value: Any) -> Mode:
    return Mode((value or {}).get("mode") or "UNSET")


@dataclass(frozen=True, slots=True)
class Setting:
    """A mode, and who set it: None and "" for the default."""

    mode: Mode
    policy: PeerAuthentication | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Modes:
    """What holds on a workload. ignored: policies that select it and do not count, each with its reason."""

    general: Setting
    ports: Mapping[int, Setting]
    ignored: tuple[tuple[PeerAuthentication, str], ...] = ()

    def on(self, port: int) -> Setting:
        """What holds on a port of the workload."""
        return self.ports.get(port, self.general)


def compose(
    policies: Iterable[PeerAuthentication], root: str, namespace: str, labels: Mapping[str, str]
) -> Modes:
    """ComposePeerAuthentication: mesh < namespace < workload < port; the oldest of a scope counts alone."""
    chosen: dict[str, PeerAuthentication] = {}
    ignored = []
    for policy in in_order(policies):
        if policy.key.namespace not in (root, namespace) or not policy.selector.items() <= labels.items():
            continue
        in_root = policy.key.namespace == root
        if policy.selector and in_root:
            ignored.append((policy, f"a selector in the root namespace {root} is ignored"))
            continue
        scope = "workload" if policy.selector else "mesh" if in_root else "namespace"
        older = chosen.setdefault(scope, policy)
        if older is not policy:
            ignored.append(
                (policy, f"{older.key.path} of the same scope ({scope}) is older, and only the oldest counts")
            )
    setting = Setting(Mode.PERMISSIVE)
    for scope in ("mesh", "namespace", "workload"):
        found = chosen.get(scope)
        if found is not None and found.mode is not Mode.UNSET:
            setting = Setting(found.mode, found, "spec.mtls.mode")
    ports = {}
    workload = chosen.get("workload")
    if workload is not None:
        for port, mode in workload.ports.items():
            path = f"spec.portLevelMtls.{port}"
            ports[port] = setting if mode is Mode.UNSET else Setting(mode, workload, f"{path}.mode")
    return Modes(setting, ports, tuple(ignored))


def namespace_mode(policies: Iterable[PeerAuthentication], root: str, namespace: str) -> Setting:
    """BestEffortInferServiceMTLSMode: what the client's side takes for the mode of a Service, selectors aside."""
    return compose((p for p in policies if not p.selector), root, namespace, {}).general


def in_order(policies: Iterable[Any]) -> list[Any]:
    """sortConfigByCreationTime: the oldest first, then by name and namespace."""
    return sorted(policies, key=lambda p: (p.created, p.key.name, p.key.namespace))


class Wire(StrEnum):
    """What comes over the wire to a pod.

    PLAINTEXT; MUTUAL: mutual TLS from a sidecar; TLS: the application's own, which a proxy cannot read.
    """

    PLAINTEXT = "plaintext"
    MUTUAL = "mutual TLS"
    TLS = "the application's own TLS"


class Chain(StrEnum):
    """The kind of filter chain that takes a connection.

    NONE: no chain fits, and the connection is reset. GARBLED: a chain for plaintext HTTP gets TLS. PASS: TCP, with the
    application's TLS inside.
    """

    HTTP = "HTTP"
    TCP = "TCP"
    PASS = "TLS passed through"
    GARBLED = "TLS where HTTP is expected"
    NO_CERTIFICATE = "TLS without the certificate that is asked for"
    NONE = "no filter chain"


def chain(mode: Mode, protocol: PortProtocol, wire: Wire, *, http: bool) -> Chain:
    """filterchain_options.go. http: whether the client speaks HTTP (an undeclared port finds that out)."""
    speaks_http = protocol is PortProtocol.HTTP or (protocol is PortProtocol.AUTO and http)
    plain = Chain.HTTP if speaks_http else Chain.TCP
    if mode is Mode.STRICT:
        if wire is Wire.PLAINTEXT:
            return Chain.NONE
        return Chain.NO_CERTIFICATE if wire is Wire.TLS else plain
    if wire is Wire.PLAINTEXT:
        return plain
    if mode is Mode.PERMISSIVE:
        if wire is Wire.MUTUAL:
            return plain
        return Chain.NONE if protocol is PortProtocol.HTTP else Chain.PASS
    # DISABLE: nothing looks for TLS on the port, so its first bytes are taken for the protocol's own.
    if protocol is PortProtocol.HTTP:
        return Chain.GARBLED
    return Chain.PASS
