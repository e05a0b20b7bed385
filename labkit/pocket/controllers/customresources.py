"""CustomResourceDefinitions become established, and go when their objects are gone.

Upstream: k8s.io/apiextensions-apiserver/pkg/controller/{status,establish,finalizer}.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from labkit.pocket.api.api import Api
from labkit.pocket.api.custom.definitions import CRDS, FINALIZER, condition, with_condition
from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.registry import Resource
from labkit.pocket.controllers.everything import watch_everything
from labkit.pocket.controllers.reconcile import Key, Obj, Reconciler, Seen

log = logging.getLogger(__name__)

_NAMES = (
    ("plural", "PluralConflict"),
    ("singular", "SingularConflict"),
    ("shortNames", "ShortNamesConflict"),
    ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
)


async def run(api: Api) -> None:
    """Work until cancelled."""
    reconciler = Reconciler(api, "custom resource", lambda key: reconcile(api, key))
    reconciler.watch(CRDS, lambda seen: _of_group(api, seen))
    # The last object of a definition that is going lets it go.
    end = watch_everything(
        api,
        reconciler,
        lambda resource: resource.custom is not None,
        lambda resource, seen: _of_object(resource, seen),
    )
    try:
        await reconciler.run()
    finally:
        end()


def _of_group(api: Api, seen: Seen) -> Iterable[Key]:
    """Whoever waits for a name of this group looks again."""
    group = seen.object["spec"]["group"]
    return [("", crd["metadata"]["name"]) for crd in api.list(CRDS) if crd["spec"]["group"] == group]


def _of_object(resource: Resource, seen: Seen) -> Iterable[Key]:
    return [("", resource.qualified)] if seen.deleted else ()


def reconcile(api: Api, key: Key) -> float | None:
    """Bring one definition's conditions into order, or take its deletion as far as it goes now."""
    _, name = key
    crd = api.find(CRDS, name)
    if crd is None:
        return None
    if crd["metadata"].get("deletionTimestamp"):
        return _empty(api, crd)

    def change(copy: Obj) -> Obj:
        accepted, problem = _accepted(api, copy)
        copy.setdefault("status", {})["acceptedNames"] = accepted
        if problem:
            with_condition(copy, "NamesAccepted", "False", *problem)
            if condition(copy, "Established") != "True":
                with_condition(copy, "Established", "False", "NotAccepted", "not all names are accepted")
        else:
            with_condition(copy, "NamesAccepted", "True", "NoConflicts", "no conflicts found")
            words = "the initial names have been accepted"
            if condition(copy, "Established") != "True":
                with_condition(copy, "Established", "True", "InitialNamesAccepted", words)
        return copy

    api.modify(CRDS, name, None, change, subresource="status")
    return None


def _accepted(api: Api, crd: Obj) -> tuple[Obj, tuple[str, str] | None]:
    """The names that nobody else of the group has, and what is wrong with the others (reason, message)."""
    spec, before = crd["spec"], (crd.get("status") or {}).get("acceptedNames") or {}
    plurals_and_kin: set[str] = set()
    kinds: set[str] = set()
    for other in api.list(CRDS):
        if other["spec"]["group"] != spec["group"] or other["metadata"]["uid"] == crd["metadata"]["uid"]:
            continue
        names = (other.get("status") or {}).get("acceptedNames") or {}
        words = [names.get("plural"), names.get("singular"), *(names.get("shortNames") or ())]
        plurals_and_kin.update(word for word in words if word)
        kinds.update(word for word in (names.get("kind"), names.get("listKind")) if word)
    accepted: Obj = {"plural": before.get("plural", ""), "kind": before.get("kind", "")}
    problem: tuple[str, str] | None = None
    for field, reason in _NAMES:
        wanted = spec["names"].get(field)
        if not wanted:
            continue
        taken = kinds if field in ("kind", "listKind") else plurals_and_kin
        clash = [name for name in (wanted if isinstance(wanted, list) else [wanted]) if name in taken]
        if clash:
            problem = (reason, ", ".join(f'"{name}" is already in use' for name in clash))
            if before.get(field):
                accepted[field] = before[field]
        else:
            accepted[field] = wanted
    if spec["names"].get("categories"):
        accepted["categories"] = spec["names"]["categories"]
    return accepted, problem


def _empty(api: Api, crd: Obj) -> float | None:
    """Ask the objects of a deleted definition to go; when they are gone, let it go."""
    name = crd["metadata"]["name"]
    if FINALIZER not in (crd["metadata"].get("finalizers") or ()):
        return None
    resource = next((one for one in api.registry if one.custom is not None and one.qualified == name), None)
    if resource is not None:
        _say(api, name, "InstanceDeletionInProgress", "CustomResource deletion is in progress", "True")
        for obj in api.list(resource):
            metadata = obj["metadata"]
            if metadata.get("deletionTimestamp"):
                continue
            try:
                api.delete(resource, metadata["name"], metadata.get("namespace"))
            except ApiError as error:
                if error.code != 404:
                    log.warning("%s %s could not be deleted: %s", name, metadata["name"], error.message)
                    return 1.0
        if api.list(resource):
            return None  # what waits for finalizers announces its own end
    _say(api, name, "InstanceDeletionCompleted", "removed all instances", "False")

    def change(copy: Obj) -> Obj:
        finalizers = copy["metadata"].get("finalizers") or []
        copy["metadata"]["finalizers"] = [item for item in finalizers if item != FINALIZER]
        return copy

    api.modify(CRDS, name, None, change)
    return None


def _say(api: Api, name: str, reason: str, message: str, status: str) -> None:
    def change(copy: Obj) -> Obj:
        with_condition(copy, "Terminating", status, reason, message)
        return copy

    api.modify(CRDS, name, None, change, subresource="status")
