"""Garbage collection: what belongs to nobody any more goes; who waits for dependents waits.

Upstream: pkg/controller/garbagecollector. An object is deleted when all its owners are gone;
`--cascade=foreground` keeps the owner until its blocking dependents are gone; `--cascade=orphan` takes
the owner out of its dependents.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.objects import key_of
from labkit.pocket.api.registry import Resource
from labkit.pocket.controllers.everything import watch_everything
from labkit.pocket.controllers.reconcile import Key, Obj, Reconciler, Seen

log = logging.getLogger(__name__)

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

Place = tuple[Resource, str, str]
"""Where an object is: resource, namespace, name."""


async def run(api: Api) -> None:
    """Work until cancelled."""
    await Collector(api).run()


class Collector:
    """Knows every object by its uid, and whose dependents are which."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._places: dict[str, Place] = {}
        self._owners: dict[str, frozenset[str]] = {}
        self._dependents: defaultdict[str, set[str]] = defaultdict(set)
        # The queue's keys are uids: a name may be taken by another object meanwhile.
        self._reconciler = Reconciler(api, "garbage collector", self._reconcile)

    async def run(self) -> None:
        """Work until cancelled."""
        # events own nothing and nobody owns them
        end = watch_everything(
            self._api, self._reconciler, lambda resource: resource.qualified != "events", self._saw
        )
        try:
            await self._reconciler.run()
        finally:
            end()

    def _saw(self, resource: Resource, seen: Seen) -> Iterable[Key]:
        metadata = seen.object["metadata"]
        uid = metadata["uid"]
        touched = {uid}
        owners = frozenset(reference["uid"] for reference in metadata.get("ownerReferences") or ())
        before = self._owners.get(uid, frozenset())
        if seen.deleted:
            self._places.pop(uid, None)
            self._owners.pop(uid, None)
            for owner in before:
                self._dependents[owner].discard(uid)
                touched.add(owner)  # it may have waited for this
            touched |= self._dependents.get(uid, set())
        else:
            self._places[uid] = (resource, *key_of(seen.object))
            self._owners[uid] = owners
            for owner in owners:
                self._dependents[owner].add(uid)
            for owner in before - owners:
                self._dependents[owner].discard(uid)
                touched.add(owner)
            if self._waits(seen.object):
                touched |= self._dependents.get(uid, set())
        for owner in [owner for owner in before | {uid} if not self._dependents.get(owner)]:
            self._dependents.pop(owner, None)
        # Most objects own nothing, are owned by nobody and wait for nothing: not worth a look.
        return [("", item) for item in touched if self._matters(item)]

    def _matters(self, uid: str) -> bool:
        if uid not in self._places:
            return False
        if self._owners.get(uid):
            return True
        obj = self._object(uid)
        return obj is not None and bool(obj["metadata"].get("deletionTimestamp"))

    def _object(self, uid: str) -> Obj | None:
        place = self._places.get(uid)
        if place is None:
            return None
        resource, namespace, name = place
        obj = self._api.find(resource, name, namespace)
        return obj if obj is not None and obj["metadata"]["uid"] == uid else None

    @staticmethod
    def _waits(obj: Obj) -> bool:
        """Whether it is being deleted in the foreground."""
        metadata = obj["metadata"]
        return bool(metadata.get("deletionTimestamp")) and FOREGROUND in (metadata.get("finalizers") or ())

    def _reconcile(self, key: Key) -> float | None:
        _, uid = key
        obj = self._object(uid)
        if obj is None:
            return None
        metadata = obj["metadata"]
        if metadata.get("deletionTimestamp"):
            finalizers = metadata.get("finalizers") or ()
            if ORPHAN in finalizers:
                self._orphan(uid)
                return None
            if FOREGROUND in finalizers:
                self._finish_foreground(uid)
                return None
            return None
        if metadata.get("ownerReferences"):
            self._judge(uid, obj)
        return None

    # An object with owners

    def _judge(self, uid: str, obj: Obj) -> None:
        """Delete it when no owner is left; else forget the owners that are gone or only wait for it."""
        solid, gone, waiting = [], [], []
        for reference in obj["metadata"]["ownerReferences"]:
            owner = self._owner(reference, obj["metadata"].get("namespace", ""))
            if owner is None:
                gone.append(reference["uid"])
            elif self._waits(owner):
                waiting.append(reference["uid"])
            else:
                solid.append(reference["uid"])
        if solid:
            if gone or waiting:
                self._disown(uid, {*gone, *waiting})
            return
        finalizers = obj["metadata"].get("finalizers") or ()
        if waiting and self._dependents.get(uid):
            policy = "Foreground"
        elif ORPHAN in finalizers:
            policy = "Orphan"
        elif FOREGROUND in finalizers:
            policy = "Foreground"
        else:
            policy = "Background"
        resource, namespace, name = self._places[uid]
        try:
            self._api.delete(resource, name, namespace, propagation=policy, preconditions={"uid": uid})
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    def _owner(self, reference: Obj, namespace: str) -> Obj | None:
        """The owner if it exists: same uid, and in the dependent's namespace or in none."""
        try:
            resource = self._api.resource_for(reference["apiVersion"], reference["kind"])
        except ApiError:
            # A kind that is not served (any more): upstream leaves the object alone, and so do we.
            return {"metadata": {"name": reference["name"], "uid": reference["uid"]}}
        owner = self._api.find(resource, reference["name"], namespace if resource.namespaced else None)
        return owner if owner is not None and owner["metadata"]["uid"] == reference["uid"] else None

    def _disown(self, uid: str, owners: set[str]) -> None:
        resource, namespace, name = self._places[uid]

        def change(copy: Obj) -> Obj | None:
            references = copy["metadata"].get("ownerReferences") or []
            kept = [reference for reference in references if reference["uid"] not in owners]
            if len(kept) == len(references):
                return None
            copy["metadata"]["ownerReferences"] = kept
            return copy

        try:
            self._api.modify(resource, name, namespace, change)
        except ApiError as error:
            if error.code != 404:
                raise

    # An owner that goes

    def _orphan(self, uid: str) -> None:
        for dependent in list(self._dependents.get(uid, ())):
            if dependent in self._places:
                self._disown(dependent, {uid})
        self._drop_finalizer(uid, ORPHAN)

    def _finish_foreground(self, uid: str) -> None:
        for dependent in self._dependents.get(uid, ()):
            found = self._object(dependent)
            if found is not None and any(
                reference["uid"] == uid and reference.get("blockOwnerDeletion")
                for reference in found["metadata"].get("ownerReferences") or ()
            ):
                return
        self._drop_finalizer(uid, FOREGROUND)

    def _drop_finalizer(self, uid: str, finalizer: str) -> None:
        resource, namespace, name = self._places[uid]

        def change(copy: Obj) -> Obj:
            finalizers = copy["metadata"].get("finalizers") or []
            copy["metadata"]["finalizers"] = [item for item in finalizers if item != finalizer]
            return copy

        try:
            self._api.modify(resource, name, namespace, change)
        except ApiError as error:
            if error.code != 404:
                raise
