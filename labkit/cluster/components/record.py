"""What was brought into a cluster for a component, kept in the cluster itself: so that anybody's labkit can take it away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.cluster.cluster import Cluster

from .serverside import server_side_apply

Object = Mapping[str, Any]

_NAMESPACE = "kube-system"
_LABEL = "labkit.dev/component"


@dataclass(frozen=True, slots=True)
class Reference:
    """Which object: enough to find it again."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, obj: Object) -> Reference:
        metadata = obj["metadata"]
        return cls(obj["apiVersion"], obj["kind"], metadata.get("namespace") or "", metadata["name"])

    def stub(self) -> dict[str, Any]:
        """An object that has nothing but its identity."""
        metadata = {"name": self.name} | ({"namespace": self.namespace} if self.namespace else {})
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata}

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    def __str__(self) -> str:
        return f"{self.kind} " + (f"{self.namespace}/" if self.namespace else "") + self.name


@dataclass(frozen=True, slots=True)
class Record:
    """What was brought into a cluster for one component. Kept in the cluster itself, so that anybody's labkit can take it away.

    automatic: it came along because something else needs it. extras: the optional parts that it was installed with.
    """

    name: str
    version: str = ""
    objects: tuple[Reference, ...] = ()
    automatic: bool = False
    extras: frozenset[str] = frozenset()

    @classmethod
    def read(cls, cluster: Cluster, name: str) -> Record | None:
        """The record of a component; None where labkit has not installed it."""
        found = cluster.get("configmaps", _config_map(name), _NAMESPACE)
        return None if found is None else cls._parse(name, found)

    @classmethod
    def all(cls, cluster: Cluster) -> list[Record]:
        """The records of all components that labkit has installed."""
        found = cluster.list("configmaps", _NAMESPACE, label_selector=_LABEL)
        return [cls._parse(one["metadata"]["labels"][_LABEL], one) for one in found]

    @classmethod
    def _parse(cls, name: str, found: Object) -> Record:
        data = found.get("data") or {}
        objects = tuple(Reference(*one) for one in json.loads(data.get("objects", "[]")))
        extras = frozenset(data.get("extras", "").split())
        return cls(name, data.get("version", ""), objects, data.get("automatic") == "true", extras)

    def write(self, cluster: Cluster) -> None:
        """Keep it in the cluster."""
        rows = [[one.api_version, one.kind, one.namespace, one.name] for one in self.objects]
        obj = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": _config_map(self.name),
                "namespace": _NAMESPACE,
                "labels": {_LABEL: self.name},
            },
            "data": {
                "version": self.version,
                "automatic": str(self.automatic).lower(),
                "objects": json.dumps(rows),
                "extras": " ".join(sorted(self.extras)),
            },
        }
        server_side_apply(cluster, obj)

    def erase(self, cluster: Cluster) -> None:
        """Forget it."""
        cluster.delete("configmaps", _config_map(self.name), _NAMESPACE, wait=None)

    def namespaces(self) -> list[str]:
        """The namespaces that came with it."""
        return [one.name for one in self.objects if one.kind == "Namespace"]


def _config_map(name: str) -> str:
    return f"labkit-component-{name}"
