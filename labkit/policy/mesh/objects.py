"""The kinds of objects that make a mesh, and how a World reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.policy import yamlseam
from labkit.policy.model import ObjectKey
from labkit.policy.networkpolicy import PolicyError, Problem
from labkit.policy.yamlseam import SourceMap

from .authorization import compile_authorization
from .destinationrules import read_destination_rule
from .jwtrules import read_request_authentication
from .meshconfig import MeshConfig
from .mtls import read_peer_authentication
from .validation import CUSTOM, review

_SECURITY = ("security.istio.io/v1", "security.istio.io/v1beta1")
_NETWORKING = ("networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3")
KINDS: Mapping[str, tuple[str, ...]] = {
    "PeerAuthentication": _SECURITY,
    "AuthorizationPolicy": _SECURITY,
    "RequestAuthentication": _SECURITY,
    "DestinationRule": _NETWORKING,
    "VirtualService": _NETWORKING,
    "Gateway": _NETWORKING,
}
_READERS: Mapping[str, Callable[..., Any]] = {
    "PeerAuthentication": read_peer_authentication,
    "RequestAuthentication": read_request_authentication,
    "DestinationRule": read_destination_rule,
}


@dataclass(frozen=True, eq=False)
class MeshObject:
    """One object of the mesh, valid, to be compiled for a mesh's settings."""

    key: ObjectKey
    object: Mapping[str, Any]
    source: SourceMap | None = field(default=None, repr=False)
    default_namespace: str = "default"
    _compiled: dict[MeshConfig, Any] = field(default_factory=dict, repr=False)

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.key.namespace

    def line(self, path: str) -> int | None:
        """The line of a field, or of what is around it."""
        return self.source.nearest(path) if self.source else None

    def compiled(self, config: MeshConfig) -> Any:
        """The object as the engine uses it; None for kinds that only remarks look at."""
        if config not in self._compiled:
            self._compiled[config] = self._compile(config)
        return self._compiled[config]

    def _compile(self, config: MeshConfig) -> Any:
        options: dict[str, Any] = {"default_namespace": self.default_namespace}
        if self.key.kind == "AuthorizationPolicy":
            return compile_authorization(self.object, config, self.source, **options)
        reader = _READERS.get(self.key.kind)
        return reader(self.object, self.source, **options) if reader else None


def read_mesh_object(
    obj: Mapping[str, Any], source: SourceMap | None = None, *, default_namespace: str = "default"
) -> MeshObject:
    """Take an object of one of KINDS.

    Raises PolicyError with every reason why a cluster would refuse it. A CUSTOM policy is no such reason: a cluster with an
    authorizer has it, and decisions about its workloads are then left open.
    """
    key = ObjectKey.of(obj, default_namespace)
    problems: list[Problem] = []
    if obj.get("spec") is not None and not isinstance(obj["spec"], Mapping):
        problems.append(Problem("spec", f"expected an object, found {obj['spec']!r}"))
    else:
        said = review(obj, source, default_namespace=default_namespace)
        problems += [problem for problem in said.problems if problem.message != CUSTOM]
    if problems:
        raise PolicyError(key, problems)
    return MeshObject(key, obj, source, default_namespace)


def is_mesh_config(obj: Mapping[str, Any]) -> bool:
    """Whether an object is the ConfigMap with a mesh's settings."""
    return obj.get("kind") == "ConfigMap" and ObjectKey.of(obj).path == "istio-system/istio"


def read_mesh_config(obj: Mapping[str, Any]) -> MeshConfig:
    """The settings in the ConfigMap `istio`. Raises YamlError."""
    text = str((obj.get("data") or {}).get("mesh") or "")
    found = yamlseam.load(text, "ConfigMap istio-system/istio, key mesh")
    return MeshConfig().read(found[0].object) if found else MeshConfig()
