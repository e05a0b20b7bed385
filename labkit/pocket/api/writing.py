"""What a write goes through, in order: reading by schema, defaults, the server's own fields, admission, validation,
field ownership, the store. What is special about a kind is in `kinds`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labkit.pocket.api import deletion, names, updates
from labkit.pocket.api.admission import Admission
from labkit.pocket.api.errors import ApiError, already_exists, bad_request, invalid
from labkit.pocket.api.kinds import rules_for
from labkit.pocket.api.kinds.conversion import conversion_for
from labkit.pocket.api.objects import generated_name, new_uid, now, ordered, same_content, without
from labkit.pocket.api.ownership import track
from labkit.pocket.api.registry import Resource
from labkit.pocket.api.request import Options

if TYPE_CHECKING:
    from labkit.pocket.api.api import Api

Obj = dict[str, Any]

# What a client cannot set at creation; the server does, or nobody.
_SERVER_FIELDS = (
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)

# Writes that are not a change of what is wanted: metadata.generation stays.
_UNCOUNTED = ("status", "binding")


class Writer:
    """Creates and replaces objects in the stored version; Api converts to it and back."""

    def __init__(self, api: Api, service_cidr: str) -> None:
        self._api = api
        self._admission = Admission(api, service_cidr)
        self._rehearsal = Admission(api, service_cidr, dry_run=True)

    def decoded(self, resource: Resource, obj: Obj, options: Options) -> Obj:
        """A copy of a caller's object as its schema has it. Raises ApiError (400)."""
        schemas = self._api.schemas
        updates.check_kind(schemas, resource, obj)
        read = schemas.decode_as(resource, obj, options)
        metadata = read.get("metadata")
        return {
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": metadata if isinstance(metadata, dict) else {},
            **without(read, "kind", "apiVersion", "metadata"),
        }

    def create(self, resource: Resource, obj: Obj, namespace: str | None, options: Options) -> Obj:
        """Store a new object; see Api.create."""
        rules = rules_for(resource)
        bucket = conversion_for(resource).bucket
        metadata = obj["metadata"]
        _place(resource, metadata, namespace)
        generates = not metadata.get("name") and metadata.get("generateName")
        if generates:
            metadata["name"] = generated_name(metadata["generateName"])
        for field in _SERVER_FIELDS:
            metadata.pop(field, None)
        metadata["uid"] = new_uid()
        metadata["creationTimestamp"] = now()
        if rules.generation:
            metadata["generation"] = 1
        if "status" in resource.subresources and not rules.keeps_status:
            obj.pop("status", None)
        rules.default(obj)
        rules.prepare(obj, None)
        admission = self._admission_for(options)
        admission.check_namespace(resource, obj)
        rules.admit(admission, obj, None)
        if resource.custom is not None:
            resource.custom.mutate(obj, None, options.user)
        errors = names.object_meta(metadata, rules.check_name, namespaced=resource.namespaced)
        errors += rules.validate(obj)
        if errors:
            raise invalid(resource.group, resource.kind, metadata.get("name", ""), errors)
        for warning in rules.warnings(obj, None):
            options.warn(warning)
        if resource.custom is not None:
            resource.custom.review(obj, None)
        store = self._api.store
        while existing := store.get(bucket, metadata.get("namespace", ""), metadata["name"]):
            if not generates:
                raise _taken(resource, existing)
            metadata["name"] = generated_name(metadata["generateName"])
        obj = ordered(track(self._api.schemas, resource, obj, None, options))
        return obj if options.dry_run else store.put(bucket, obj)

    def replace(
        self, resource: Resource, old: Obj, obj: Obj, subresource: str | None, options: Options
    ) -> Obj:
        """Write `obj` (decoded, and no longer the caller's) over `old`; see Api.update."""
        rules = rules_for(resource)
        bucket = conversion_for(resource).bucket
        namespace, name = old["metadata"].get("namespace", ""), old["metadata"]["name"]
        updates.check_identity(resource, rules, obj, old, options)
        obj, errors = updates.merged(resource, rules, self._admission_for(options), obj, old, subresource)
        if errors:
            raise invalid(resource.group, resource.kind, name, errors)
        for warning in rules.warnings(obj, old):
            options.warn(warning)
        if resource.custom is not None:
            resource.custom.review(obj, old)
        obj = ordered(track(self._api.schemas, resource, obj, old, options, subresource))
        if same_content(obj, old):
            return old
        if rules.generation and subresource not in _UNCOUNTED and _wanted(obj) != _wanted(old):
            obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        if options.dry_run:
            return obj
        if deletion.is_finished(obj, rules):
            self._api.store.remove(bucket, namespace, name)
            return obj
        return self._api.store.put(bucket, obj)

    def _admission_for(self, options: Options) -> Admission:
        return self._rehearsal if options.dry_run else self._admission


def _wanted(obj: Obj) -> Obj:
    return without(obj, "metadata", "status")


def _taken(resource: Resource, existing: Obj) -> ApiError:
    metadata = existing["metadata"]
    error = already_exists(resource.group, resource.plural, metadata["name"])
    if metadata.get("deletionTimestamp"):
        error.status["message"] = f"object is being deleted: {error.message}"
    return error


def _place(resource: Resource, metadata: Obj, namespace: str | None) -> None:
    """Bring metadata.namespace and the namespace of the request together. Raises ApiError (400)."""
    if not resource.namespaced:
        metadata.pop("namespace", None)
        return
    given = metadata.get("namespace")
    if namespace and given and given != namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if not namespace and not given:
        raise bad_request("an empty namespace may not be set during creation")
    metadata["namespace"] = namespace or given
