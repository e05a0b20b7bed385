"""The API as the cluster's own parts and the HTTP server call it: create, read, change, delete, watch.

What a write goes through is in `writing`, what is special about a kind in `kinds`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from labkit.pocket.api import deletion
from labkit.pocket.api.custom.serving import CustomResources
from labkit.pocket.api.errors import ApiError, method_not_allowed, not_found
from labkit.pocket.api.events import record
from labkit.pocket.api.kinds.conversion import conversion_for
from labkit.pocket.api.registry import Registry, Resource
from labkit.pocket.api.request import Options
from labkit.pocket.api.schema import Schemas
from labkit.pocket.api.selectors import Selection
from labkit.pocket.api.store import Store, clone
from labkit.pocket.api.watches import Watch
from labkit.pocket.api.writing import Writer

Obj = dict[str, Any]

log = logging.getLogger(__name__)


class Api:
    """A Kubernetes API in this process. Synchronous, not thread-safe: call it on the event loop.

    Objects returned are shared with the store and with every watcher: never change them, copy them first.
    Refusals are raised as ApiError with the Status a client would get.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry | None = None,
        schemas: Schemas | None = None,
        *,
        service_cidr: str = "10.96.0.0/16",
    ) -> None:
        self.store = store
        self.registry = registry or Registry.builtin()
        self.schemas = schemas or Schemas.builtin()
        self.custom = CustomResources(store, self.registry, self.schemas)
        self._writer = Writer(self, service_cidr)

    # Resources

    def resource(self, name: Resource | str) -> Resource:
        """By name: "pods", "deployments.apps". Raises ApiError (404) for what is not served."""
        return name if isinstance(name, Resource) else self.registry.named(name)

    def resource_for(self, api_version: str, kind: str) -> Resource:
        """By ("apps/v1", "Deployment"). Raises ApiError (404) for what is not served."""
        return self.registry.of_kind(api_version, kind)

    # Reading

    def find(self, resource: Resource | str, name: str, namespace: str | None = None) -> Obj | None:
        """The object, or None when it is not there."""
        resource = self.resource(resource)
        conversion = conversion_for(resource)
        found = self.store.get(conversion.bucket, (namespace or "") if resource.namespaced else "", name)
        return None if found is None else conversion.read(found)

    def get(self, resource: Resource | str, name: str, namespace: str | None = None) -> Obj:
        """The object. Raises ApiError (404)."""
        resource = self.resource(resource)
        found = self.find(resource, name, namespace)
        if found is None:
            raise not_found(resource.group, resource.plural, name)
        return found

    def list(
        self,
        resource: Resource | str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[Obj]:
        """The objects, in order of namespace and name. Raises ApiError (400) for a malformed selector."""
        resource = self.resource(resource)
        conversion = conversion_for(resource)
        objects = self.store.list(conversion.bucket, (namespace or None) if resource.namespaced else None)
        if conversion.converts:
            objects = [conversion.read(obj) for obj in objects]
        selection = Selection.parse(resource, label_selector, field_selector)
        return objects if selection.is_everything else [obj for obj in objects if selection.matches(obj)]

    def watch(self, resource: Resource | str, namespace: str | None = None) -> Watch:
        """Follow a resource, beginning with ADDED for everything that exists."""
        resource = self.resource(resource)
        bucket = conversion_for(resource).bucket
        subscription = self.store.watch(bucket)
        return Watch(self.store.list(bucket, namespace or None), subscription, namespace or None)

    # Writing

    def create(
        self,
        resource: Resource | str,
        obj: Obj,
        namespace: str | None = None,
        *,
        dry_run: bool = False,
        options: Options | None = None,
    ) -> Obj:
        """Create an object. Raises ApiError: 400, 403, 404 (namespace), 409 (exists), 422."""
        resource = self.resource(resource)
        options = options or Options(dry_run=dry_run)
        if "create" not in resource.verbs:
            raise method_not_allowed()
        conversion = conversion_for(resource)
        obj = conversion.write(self._writer.decoded(resource, obj, options))
        return conversion.read(self._writer.create(resource, obj, namespace, options))

    def update(
        self,
        resource: Resource | str,
        obj: Obj,
        *,
        subresource: str | None = None,
        options: Options | None = None,
    ) -> Obj:
        """Replace an object (or, with subresource="status", its status).

        With metadata.resourceVersion set the object must not have changed since: 409 Conflict. A write that
        changes nothing is none: same resourceVersion, no event. Raises ApiError: 400, 404, 409, 422.
        """
        resource = self.resource(resource)
        options = options or Options()
        conversion = conversion_for(resource)
        obj = conversion.write(self._writer.decoded(resource, obj, options))
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "") if resource.namespaced else ""
        old = self.store.get(conversion.bucket, namespace, metadata.get("name", ""))
        if old is None:
            raise not_found(resource.group, resource.plural, metadata.get("name", ""))
        return conversion.read(self._writer.replace(resource, old, obj, subresource, options))

    def modify(
        self,
        resource: Resource | str,
        name: str,
        namespace: str | None,
        change: Callable[[Obj], Obj | None],
        *,
        subresource: str | None = None,
        options: Options | None = None,
    ) -> Obj:
        """Read, change, write. `change` gets a deep copy to alter and return; None means leave it as it is."""
        resource = self.resource(resource)
        old = self.get(resource, name, namespace)
        new = change(clone(old))
        return old if new is None else self.update(resource, new, subresource=subresource, options=options)

    def patch(
        self,
        resource: Resource | str,
        name: str,
        namespace: str | None,
        patch_type: str,
        body: Any,
        *,
        subresource: str | None = None,
        force: bool = False,
        options: Options | None = None,
    ) -> Obj:
        """Apply a patch. `patch_type` is the media type without parameters, such as `application/merge-patch+json`.

        `body` is the parsed patch. Server-side apply (`application/apply-patch+yaml`) creates what is not there.
        """
        from labkit.pocket.api.patch import patch_object  # it calls back

        return patch_object(
            self,
            self.resource(resource),
            name,
            namespace,
            patch_type,
            body,
            subresource,
            force,
            options or Options(),
        )

    def delete(
        self,
        resource: Resource | str,
        name: str,
        namespace: str | None = None,
        *,
        grace_period: int | None = None,
        propagation: str | None = None,
        preconditions: Mapping[str, str] | None = None,
        options: Options | None = None,
    ) -> Obj:
        """Delete, or begin to: pods on a node and objects with finalizers are only marked.

        Gives the object's last state. `preconditions` may hold `uid` and `resourceVersion`.
        Raises ApiError: 403, 404, 409.
        """
        resource = self.resource(resource)
        return deletion.delete(
            self,
            resource,
            name,
            namespace,
            grace_period,
            propagation,
            preconditions or {},
            options or Options(),
        )

    def record_event(self, involved: Obj, type: str, reason: str, message: str, component: str) -> None:  # noqa: A002
        """Note something that happened to an object, as `kubectl describe` and `kubectl events` show it.

        A repetition counts up the event that is there. It never raises: an event is not worth a failure.
        """
        try:
            record(self, involved, type, reason, message, component)
        except ApiError as error:  # the namespace is going away
            log.debug("event %s (%s) not recorded: %s", reason, message, error)
