"""The resources that hold objects, each once, those of custom resources too as they come and go: what the namespace
and garbage controllers look through."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from labkit.pocket.api.api import Api
from labkit.pocket.api.kinds.conversion import conversion_for
from labkit.pocket.api.registry import Resource
from labkit.pocket.controllers.reconcile import Informer, Key, Reconciler, Seen


def stored_resources(api: Api) -> list[Resource]:
    """One resource for each kind of stored object, although several versions may serve it."""
    return list(_by_bucket(api).values())


def _by_bucket(api: Api) -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for resource in api.registry:
        if resource.is_stored:
            found.setdefault(conversion_for(resource).bucket, resource)
    return found


def watch_everything(
    api: Api,
    reconciler: Reconciler,
    wanted: Callable[[Resource], bool],
    keys: Callable[[Resource, Seen], Iterable[Key]],
) -> Callable[[], None]:
    """Have a reconciler watch every resource that is wanted, now and from now on; gives the function that ends it."""
    watched: dict[str, Informer] = {}

    def look() -> None:
        found = _by_bucket(api)
        for bucket in [bucket for bucket in watched if bucket not in found]:
            watched.pop(bucket).finish()
        for bucket, resource in found.items():
            if bucket not in watched and wanted(resource):
                watched[bucket] = reconciler.watch(resource, _bound(keys, resource))

    look()
    return api.registry.listen(look)


def _bound(
    keys: Callable[[Resource, Seen], Iterable[Key]], resource: Resource
) -> Callable[[Seen], Iterable[Key]]:
    return lambda seen: keys(resource, seen)
