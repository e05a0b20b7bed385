"""What established CustomResourceDefinitions define is served: follows them in the store, at once."""

from __future__ import annotations

from typing import Any

from labkit.pocket.api.custom.definitions import CRDS, condition
from labkit.pocket.api.custom.kind import CustomKind, Webhook
from labkit.pocket.api.registry import Registry, Resource, Subresource
from labkit.pocket.api.schema import Schemas
from labkit.pocket.api.store import Change, Store

Obj = dict[str, Any]

_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_PART_VERBS = frozenset({"get", "patch", "update"})


class CustomResources:
    """Keeps a registry up to date with the definitions in a store."""

    def __init__(self, store: Store, registry: Registry, schemas: Schemas) -> None:
        self._registry = registry
        self._schemas = schemas
        self.webhooks: dict[str, Webhook] = {}
        """By qualified resource name; for whoever brings custom resources and what watches over them."""
        self._served: dict[str, dict[str, Resource]] = {}
        """By the definition's name and the version's."""
        for crd in store.list(CRDS):
            self._follow(crd)
        store.observe(CRDS, self._changed)

    def _changed(self, change: Change) -> None:
        if change.type == "DELETED":
            self._drop(change.object["metadata"]["name"])
        else:
            self._follow(change.object)

    def _follow(self, crd: Obj) -> None:
        name = crd["metadata"]["name"]
        if condition(crd, "Established") != "True":
            self._drop(name)
            return
        served = self._served.setdefault(name, {})
        wanted = [version["name"] for version in crd["spec"]["versions"] if version.get("served")]
        for version in [version for version in served if version not in wanted]:
            self._registry.remove(served.pop(version))
        for version in wanted:
            known = served.get(version)
            if known is not None and known.custom is not None:
                kind = known.custom
                kind.follow(crd)
            else:
                kind = CustomKind(crd, version, self._schemas.node(_OBJECT_META), self.webhooks)
            resource = _resource(crd, version, kind)
            # Everybody who has the resource already has the same `kind`; only its names may be new.
            if known is None or known != resource or set(known.subresources) != set(resource.subresources):
                self._registry.add(resource)
                served[version] = resource
        self._registry.changed()

    def serve(self, crd: Obj) -> None:
        """Serve what a definition defines without there being such an object: a kind of the server's own.

        `crd` is a whole CustomResourceDefinition, with the status of one that is established.
        """
        self._follow(crd)

    def _drop(self, name: str) -> None:
        for resource in self._served.pop(name, {}).values():
            self._registry.remove(resource)


def _resource(crd: Obj, version: str, kind: CustomKind) -> Resource:
    spec = crd["spec"]
    names = (crd.get("status") or {}).get("acceptedNames") or {}
    subresources = {}
    if kind.has_status:
        subresources["status"] = Subresource("status", spec["group"], version, names["kind"], _PART_VERBS)
    if kind.scale is not None:
        subresources["scale"] = Subresource("scale", "autoscaling", "v1", "Scale", _PART_VERBS)
    return Resource(
        group=spec["group"],
        version=version,
        plural=names["plural"],
        singular=names.get("singular", ""),
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        verbs=frozenset(VERBS),
        subresources=subresources,
        custom=kind,
    )
