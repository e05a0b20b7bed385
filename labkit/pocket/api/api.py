"""The API as the cluster's own parts and the HTTP server call it: create, read, change, delete, watch.

Everything a write goes through is here, in order: decoding by schema, defaults, the server's own fields,
admission, validation, the store. What is special about a kind is in `kinds`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from labkit.pocket.api import deletion, names, updates
from labkit.pocket.api.admission import Admission
from labkit.pocket.api.errors import (
    ApiError,
    already_exists,
    bad_request,
    invalid,
    method_not_allowed,
    not_found,
)
from labkit.pocket.api.events import record
from labkit.pocket.api.kinds import rules_for
from labkit.pocket.api.kinds.conversion import conversion_for
from labkit.pocket.api.objects import generated_name, new_uid, now, ordered, same_content
from labkit.pocket.api.ownership import track
from labkit.pocket.api.registry import Registry, Resource
from labkit.pocket.api.request import Options
from labkit.pocket.api.schema import Schemas
from labkit.pocket.api.selectors import Selection
from labkit.pocket.api.store import Store, clone
from labkit.pocket.api.watches import Watch

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
        self.admission = Admission(self, service_cidr)

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
        rules = rules_for(resource.qualified)
        conversion = conversion_for(resource)
        obj = conversion.write(self._decode(resource, obj, options))
        metadata = obj["metadata"]
        self._place(resource, metadata, namespace)
        generates = not metadata.get("name") and metadata.get("generateName")
        if generates:
            metadata["name"] = generated_name(metadata["generateName"])
        for field in (
            "resourceVersion",
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
        ):
            metadata.pop(field, None)
        metadata.pop("generation", None)
        metadata["uid"] = new_uid()
        metadata["creationTimestamp"] = now()
        if rules.generation:
            metadata["generation"] = 1
        if "status" in resource.subresources and not rules.keeps_status:
            obj.pop("status", None)
        rules.default(obj)
        rules.prepare(obj, None)
        self.admission.check_namespace(resource, obj)
        rules.admit(self._admission(options), obj, None)
        errors = names.object_meta(metadata, rules.check_name, namespaced=resource.namespaced)
        errors += rules.validate(obj)
        for warning in rules.warnings(obj, None):
            options.warn(warning)
        if errors:
            raise invalid(resource.group, resource.kind, metadata.get("name", ""), errors)
        while self.store.get(conversion.bucket, metadata.get("namespace", ""), metadata["name"]):
            if not generates:
                raise self._taken(resource, conversion.bucket, metadata)
            metadata["name"] = generated_name(metadata["generateName"])
        obj = self._finished(resource, obj, None, options)
        if not options.dry_run:
            obj = self.store.put(conversion.bucket, obj)
        return conversion.read(obj)

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
        obj = conversion.write(self._decode(resource, obj, options))
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "") if resource.namespaced else ""
        old = self.store.get(conversion.bucket, namespace, metadata.get("name", ""))
        if old is None:
            raise not_found(resource.group, resource.plural, metadata.get("name", ""))
        return conversion.read(self._replace(resource, old, obj, subresource, options))

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
        from labkit.pocket.api.patch import (
            patch_object,
        )  # patches need the schemas; a cluster may run without one

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

    # How a write is done

    def _decode(self, resource: Resource, obj: Obj, options: Options) -> Obj:
        updates.check_kind(self.schemas, resource, obj)
        decoded = self.schemas.decode(resource.group, resource.version, resource.kind, obj, options)
        metadata = decoded.pop("metadata", None)
        return {
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": metadata if isinstance(metadata, dict) else {},
            **{key: value for key, value in decoded.items() if key not in ("kind", "apiVersion")},
        }

    def _admission(self, options: Options) -> Admission:
        return (
            self.admission
            if not options.dry_run
            else Admission(self, self.admission.service_cidr, dry_run=True)
        )

    def _taken(self, resource: Resource, bucket: str, metadata: Obj) -> ApiError:
        error = already_exists(resource.group, resource.plural, metadata["name"])
        existing = self.store.get(bucket, metadata.get("namespace", ""), metadata["name"])
        if existing is not None and existing["metadata"].get("deletionTimestamp"):
            error.status["message"] = f"object is being deleted: {error.message}"
        return error

    def _place(self, resource: Resource, metadata: Obj, namespace: str | None) -> None:
        """Bring metadata.namespace and the namespace of the request together."""
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        given = metadata.get("namespace")
        if namespace and given and given != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if namespace or given:
            # An order that reads well: name, generateName, namespace first.
            rest = dict(metadata)
            metadata.clear()
            for field in ("name", "generateName"):
                if rest.get(field):
                    metadata[field] = rest.pop(field)
            rest.pop("namespace", None)
            metadata["namespace"] = namespace or given
            metadata.update(rest)

    def _replace(
        self, resource: Resource, old: Obj, obj: Obj, subresource: str | None, options: Options
    ) -> Obj:
        """Write `obj` (decoded, and no longer the caller's) over `old`; both in the stored version."""
        rules = rules_for(resource.qualified)
        bucket = conversion_for(resource).bucket
        namespace, name = old["metadata"].get("namespace", ""), old["metadata"]["name"]
        updates.check_identity(resource, obj, old)
        obj, errors = updates.merged(resource, rules, self._admission(options), obj, old, subresource)
        for warning in rules.warnings(obj, old):
            options.warn(warning)
        if errors:
            raise invalid(resource.group, resource.kind, name, errors)
        obj = self._finished(resource, obj, old, options, subresource)
        if same_content(obj, old):
            return old
        if (
            rules.generation
            and subresource not in ("status", "binding")
            and self._spec(obj) != self._spec(old)
        ):
            obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        if options.dry_run:
            return obj
        if deletion.is_finished(obj, rules):
            self.store.remove(bucket, namespace, name)
            return obj
        return self.store.put(bucket, obj)

    def _finished(
        self, resource: Resource, obj: Obj, old: Obj | None, options: Options, subresource: str | None = None
    ) -> Obj:
        """The last step before the store: who owns which field, and the usual order of fields."""
        return ordered(track(self.schemas, resource, obj, old, options, subresource))

    @staticmethod
    def _spec(obj: Obj) -> Obj:
        return {key: value for key, value in obj.items() if key not in ("metadata", "status")}
