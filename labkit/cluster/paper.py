"""A cluster on paper: keeps objects and runs nothing, for machines that can run no cluster at all.

Policies, tables, graphs, predictions and checks by the model work on it as on any other; it cannot be probed, and says why.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from labkit.policy import ObjectKey, World, yamlseam
from labkit.policy.yamlseam import SourceMap

_CLUSTER_WIDE = ("Namespace", "Node")


class PaperCluster:
    """Objects in memory. `why` says why there is nothing better, for the learner to read."""

    live = False

    def __init__(self, why: str) -> None:
        self.why = why
        self._objects: dict[ObjectKey, dict[str, Any]] = {}
        self._sources: dict[ObjectKey, SourceMap] = {}
        for namespace in ("default", "kube-system"):
            self._put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self._put(_dns_pod())

    def apply(
        self,
        manifest: str | Iterable[Mapping[str, Any]],
        source: str = "<yaml>",
        *,
        namespace: str | None = None,
    ) -> list[tuple[ObjectKey, str]]:
        """Keep objects; gives each object's key and "created", "configured" or "unchanged", as `kubectl apply` words it.

        Raises `yamlseam.YamlError` for text that is no YAML and `PolicyError` for a NetworkPolicy that no API server accepts.
        """
        items: list[tuple[Mapping[str, Any], SourceMap | None]]
        if isinstance(manifest, str):
            items = [(item.object, item.source) for item in yamlseam.load(manifest, source)]
        else:
            items = [(item, None) for item in manifest]
        placed = [(self._placed(obj, namespace or "default"), origin) for obj, origin in items]
        World.from_objects(
            obj for obj, _ in placed
        )  # refuses what the API server refuses, before anything is kept
        done = []
        for obj, origin in placed:
            key = ObjectKey.of(obj)
            before = self._objects.get(key)
            done.append(
                (key, "created" if before is None else "unchanged" if before == obj else "configured")
            )
            self._put(obj)
            if origin is not None:
                self._sources[key] = origin
        return done

    # On paper an object is always exactly what was last written.
    replace = apply

    def delete(self, kind: str, name: str, namespace: str | None = None) -> bool:
        """Forget an object; gives whether it was there."""
        key = ObjectKey(kind, "" if kind in _CLUSTER_WIDE else namespace or "default", name)
        return self._objects.pop(key, None) is not None

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """An object, or None."""
        return next((o for o in self.list(kind, namespace=namespace) if o["metadata"]["name"] == name), None)

    def list(self, kind: str, *, namespace: str | None = None) -> list[dict[str, Any]]:
        """All objects of a kind, in one namespace or in all."""
        found = (obj for obj in self._all() if obj["kind"] == kind)
        return [
            copy.deepcopy(o)
            for o in found
            if namespace is None or o["metadata"].get("namespace") == namespace
        ]

    def snapshot(self) -> World:
        """The world as it would be if all of this ran."""
        return World.from_objects(self._all(), self._sources)

    def _placed(self, obj: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        kept = copy.deepcopy(dict(obj))
        if kept.get("kind") not in _CLUSTER_WIDE:
            kept.setdefault("metadata", {}).setdefault("namespace", namespace)
        return kept

    def _put(self, obj: dict[str, Any]) -> None:
        self._objects[ObjectKey.of(obj)] = obj

    def _all(self) -> Iterator[dict[str, Any]]:
        for obj in self._objects.values():
            yield obj
            if obj["kind"] == "Deployment":
                yield from pods_of(obj)


def pods_of(deployment: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The pods that a Deployment would start, with names that tell that they are on paper."""
    meta, spec = deployment["metadata"], deployment["spec"]
    template = spec["template"]
    for number in range(1, int(spec.get("replicas", 1)) + 1):
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{meta['name']}-{number}",
                "namespace": meta.get("namespace", "default"),
                "labels": dict(template.get("metadata", {}).get("labels", {})),
            },
            "spec": template["spec"],
        }


def _dns_pod() -> dict[str, Any]:
    ports = [
        {"name": name, "containerPort": 53, "protocol": protocol}
        for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "coredns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "spec": {
            "containers": [{"name": "coredns", "image": "registry.k8s.io/coredns/coredns", "ports": ports}]
        },
        # The address that the first pod of a new cluster gets.
        "status": {"podIP": "10.244.0.2", "podIPs": [{"ip": "10.244.0.2"}]},
    }
