"""Who owns what: controller references, adoption of orphans that match, release of those that no longer do.

Upstream: pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.controllers.reconcile import Obj
from labkit.policy.labels import Selector


def controller_reference(owner: Obj) -> Obj:
    """The ownerReference that makes `owner` the one controller of an object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Obj) -> Obj | None:
    """The ownerReference of the object's controller, if it has one."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: Obj = reference
            return found
    return None


def is_controlled_by(obj: Obj, owner: Obj) -> bool:
    """Whether `owner`, and not an earlier object of its name, controls the object."""
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def claim(api: Api, resource: str, owner: Obj, selector: Selector, candidates: Iterable[Obj]) -> list[Obj]:
    """The candidates that belong to `owner` after adopting matching orphans and releasing strangers."""
    claimed = []
    owner_goes = bool(owner["metadata"].get("deletionTimestamp"))
    for obj in candidates:
        metadata = obj["metadata"]
        matches = selector.matches(metadata.get("labels") or {})
        reference = controller_of(obj)
        if reference is not None:
            if reference["uid"] != owner["metadata"]["uid"]:
                continue
            if matches:
                claimed.append(obj)
            elif not owner_goes:
                _release(api, resource, obj, owner)
        elif matches and not owner_goes and not metadata.get("deletionTimestamp"):
            adopted = _adopt(api, resource, obj, owner)
            if adopted is not None:
                claimed.append(adopted)
    return claimed


def _adopt(api: Api, resource: str, obj: Obj, owner: Obj) -> Obj | None:
    def change(copy: Obj) -> Obj | None:
        if controller_of(copy) is not None or copy["metadata"]["uid"] != obj["metadata"]["uid"]:
            return None
        references = copy["metadata"].setdefault("ownerReferences", [])
        references.append(controller_reference(owner))
        return copy

    adopted = _quietly_modify(api, resource, obj, change)
    return adopted if adopted is not None and is_controlled_by(adopted, owner) else None


def _release(api: Api, resource: str, obj: Obj, owner: Obj) -> None:
    def change(copy: Obj) -> Obj:
        references = copy["metadata"].get("ownerReferences") or []
        copy["metadata"]["ownerReferences"] = [
            reference for reference in references if reference["uid"] != owner["metadata"]["uid"]
        ]
        return copy

    _quietly_modify(api, resource, obj, change)


def _quietly_modify(api: Api, resource: str, obj: Obj, change: object) -> Obj | None:
    try:
        metadata = obj["metadata"]
        return api.modify(resource, metadata["name"], metadata.get("namespace"), change)  # type: ignore[arg-type]
    except ApiError as error:
        if error.code == 404:
            return None
        raise
