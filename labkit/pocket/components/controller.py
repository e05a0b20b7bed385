"""Turns components on and off, as Component objects come and go; after a restart, on again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from labkit.pocket.api import Api, clone
from labkit.pocket.api.custom.definitions import CRDS, condition
from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.objects import now
from labkit.pocket.components import registry
from labkit.pocket.components.registry import EmbeddedComponent
from labkit.pocket.components.resource import GROUP, RESOURCE
from labkit.pocket.controllers.reconcile import Key, Obj, Reconciler, Seen, itself

log = logging.getLogger(__name__)

FINALIZER = f"{GROUP}/component"
LABEL = f"{GROUP}/component"
"""Upon everything that a component has made, with its name."""

# A component's controllers that end by themselves begin again after this. Seconds.
_PAUSE = 1.0
# How soon to look again while something of a component is still going. Seconds.
_SOON = 0.05


async def run(api: Api) -> None:
    """Work until cancelled; then everything that was turned on has ended, too."""
    await Controller(api).run()


class Controller:
    """Knows which components run in this process."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        reconciler = Reconciler(self._api, "component", self._reconcile)
        reconciler.watch(RESOURCE, itself)
        reconciler.watch(CRDS, _of_definition)
        try:
            await reconciler.run()
        finally:
            tasks = list(self._running.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _reconcile(self, key: Key) -> float | None:
        _, name = key
        obj = self._api.find(RESOURCE, name)
        if obj is None:
            return None
        if obj["metadata"].get("deletionTimestamp"):
            return self._turn_off(obj)
        component = registry.find(name)
        if component is None:
            names = ", ".join(registry.known())
            self._say(obj, "Unknown", f'there is no embedded component "{name}"; there are: {names}')
            return None
        return self._turn_on(obj, component)

    # On

    def _turn_on(self, obj: Obj, component: EmbeddedComponent) -> float | None:
        if FINALIZER not in (obj["metadata"].get("finalizers") or ()):
            self._finalizers(obj, [*(obj["metadata"].get("finalizers") or ()), FINALIZER])
        for definition in component.definitions:
            _ensure(self._api, definition, component.name)
        waiting = [
            definition["metadata"]["name"]
            for definition in component.definitions
            if condition(self._api.find(CRDS, definition["metadata"]["name"]) or {}, "Established") != "True"
        ]
        if waiting:
            # They announce themselves when they are.
            self._say(obj, "Starting", f"waiting for {', '.join(waiting)} to be established", component)
            return None
        try:
            for made in component.objects:
                _ensure(self._api, made, component.name)
        except ApiError as error:
            self._say(obj, "Failed", error.message, component)
            raise
        self._api.custom.webhooks.update(component.webhooks)
        if component.name not in self._running:
            task = asyncio.create_task(self._keep_running(component), name=f"component {component.name}")
            self._running[component.name] = task
        self._say(obj, "Running", f"{component.name} is turned on", component, ready=True)
        return None

    async def _keep_running(self, component: EmbeddedComponent) -> None:
        while True:
            try:
                await component.run(self._api)
                log.error("the component %s ended by itself", component.name)
            except Exception:
                log.exception("the component %s failed", component.name)
            await asyncio.sleep(_PAUSE)

    # Off

    def _turn_off(self, obj: Obj) -> float | None:
        name = obj["metadata"]["name"]
        component = registry.find(name)
        if FINALIZER not in (obj["metadata"].get("finalizers") or ()):
            return None
        if component is not None:
            task = self._running.pop(name, None)
            if task is not None:
                task.cancel()
            left = [one for one in component.definitions if _remove(self._api, one)]
            left += [one for one in reversed(component.objects) if _remove(self._api, one)]
            if left:
                kinds = ", ".join(f"{one['kind']} {one['metadata']['name']}" for one in left)
                self._say(obj, "Stopping", f"waiting for the end of {kinds}", component)
                return _SOON
            for resource in component.webhooks:
                self._api.custom.webhooks.pop(resource, None)
        obj = self._api.get(RESOURCE, name)
        self._finalizers(obj, [one for one in obj["metadata"].get("finalizers") or () if one != FINALIZER])
        return None

    # Writing

    def _finalizers(self, obj: Obj, wanted: list[str]) -> None:
        def change(copy: Obj) -> Obj:
            copy["metadata"]["finalizers"] = wanted
            return copy

        self._api.modify(RESOURCE, obj["metadata"]["name"], None, change)

    def _say(
        self,
        obj: Obj,
        reason: str,
        message: str,
        component: EmbeddedComponent | None = None,
        *,
        ready: bool = False,
    ) -> None:
        status = "True" if ready else "False"

        def change(copy: Obj) -> Obj:
            said = copy.setdefault("status", {})
            if component is not None:
                said["version"], said["standsInFor"] = component.version, component.stands_in_for
            before = next((one for one in said.get("conditions") or () if one["type"] == "Ready"), None)
            since = before["lastTransitionTime"] if before and before["status"] == status else now()
            said["conditions"] = [
                {
                    "type": "Ready",
                    "status": status,
                    "reason": reason,
                    "message": message,
                    "lastTransitionTime": since,
                    "observedGeneration": copy["metadata"].get("generation", 1),
                }
            ]
            return copy

        self._api.modify(RESOURCE, obj["metadata"]["name"], None, change, subresource="status")


def _of_definition(seen: Seen) -> Iterable[Key]:
    name = (seen.object["metadata"].get("labels") or {}).get(LABEL)
    return [("", name)] if name else ()


def _ensure(api: Api, wanted: Obj, component: str) -> None:
    """Make an object that is not there; bring a definition that is to what it must say."""
    resource = api.resource_for(wanted["apiVersion"], wanted["kind"])
    metadata = wanted["metadata"]
    found = api.find(resource, metadata["name"], metadata.get("namespace"))
    obj = clone(wanted)
    obj["metadata"].setdefault("labels", {})[LABEL] = component
    if found is None:
        api.create(resource, obj, metadata.get("namespace"))
        return
    if wanted["kind"] != "CustomResourceDefinition" or found["metadata"].get("deletionTimestamp"):
        return

    def change(copy: Obj) -> Obj:
        copy["spec"] = obj["spec"]
        copy["metadata"].setdefault("labels", {})[LABEL] = component
        return copy

    api.modify(resource, metadata["name"], metadata.get("namespace"), change)


def _remove(api: Api, made: Obj) -> bool:
    """Ask an object to go; whether it is still there."""
    try:
        resource = api.resource_for(made["apiVersion"], made["kind"])
    except ApiError:
        return False
    metadata = made["metadata"]
    namespace = metadata.get("namespace")
    found = api.find(resource, metadata["name"], namespace)
    if found is None:
        return False
    if not found["metadata"].get("deletionTimestamp"):
        try:
            api.delete(resource, metadata["name"], namespace, propagation="Background")
        except ApiError as error:
            if error.code != 404:
                raise
    return api.find(resource, metadata["name"], namespace) is not None
