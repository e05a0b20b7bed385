"""What an update may change: the whole object, its status, or one of the special subresources.

`merged` puts the request and the stored object together; it follows k8s.io/apiserver's rest.BeforeUpdate and the
kinds' strategies.
"""

from __future__ import annotations

from typing import Any

from labkit.pocket.api import names
from labkit.pocket.api.errors import bad_request, conflict
from labkit.pocket.api.errors import invalid as invalid_object
from labkit.pocket.api.fields import IMMUTABLE, FieldError, forbidden, invalid, quoted
from labkit.pocket.api.kinds.rules import Cluster, Rules
from labkit.pocket.api.reading import TypeMismatch
from labkit.pocket.api.registry import Resource
from labkit.pocket.api.request import Options
from labkit.pocket.api.schema import Schemas
from labkit.pocket.api.store import clone

Obj = dict[str, Any]

# Metadata that only the server sets.
_SERVER_FIELDS = (
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
    "selfLink",
)


def check_kind(schemas: Schemas, resource: Resource, obj: Obj) -> None:
    """The object must be of the resource's kind; what is left out is taken from the URL. Raises ApiError (400)."""
    api_version = obj.get("apiVersion") or resource.api_version
    kind = obj.get("kind") or resource.kind
    if resource.custom is not None:
        resource.custom.check_kind({**obj, "apiVersion": api_version, "kind": kind})
        return
    if (api_version, kind) == (resource.api_version, resource.kind):
        return
    version = quoted(str(api_version).rpartition("/")[2])
    why = kind_mismatch(schemas, resource, str(api_version), kind, obj)
    raise bad_request(f"{kind} in version {version} cannot be handled as a {resource.kind}: {why}")


def kind_mismatch(schemas: Schemas, resource: Resource, api_version: str, kind: str, obj: Obj) -> str:
    """Why an object that says it is of another kind is none of the resource's."""
    group, _, version = api_version.rpartition("/")
    if schemas.kind(group, version, kind) is None:
        return (
            f"no kind {quoted(kind)} is registered for version {quoted(api_version)} "
            'in scheme "pkg/runtime/scheme.go:110"'
        )
    # It is read as what it says it is first, and what is wrong with that is said first.
    try:
        schemas.read(group, version, kind, obj)
    except TypeMismatch as error:
        return str(error)
    return f"converting (v1.{kind}) to (core.{resource.kind}): unknown conversion"


def check_identity(resource: Resource, rules: Rules, obj: Obj, old: Obj, options: Options) -> None:
    """Optimistic concurrency: the object must be the one, and in the state, that the writer has seen.

    Raises ApiError (409, 422).
    """
    metadata, before = obj["metadata"], old["metadata"]
    wanted = metadata.get("resourceVersion")
    if not wanted and not rules.unconditional and not options.applied:
        problem = invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid_object(resource.group, resource.plural, before["name"], [problem])
    if wanted and wanted != before["resourceVersion"]:
        raise conflict(resource.group, resource.plural, before["name"])
    uid = metadata.get("uid")
    if uid and uid != before["uid"] and not wanted:
        key = "/".join(part for part in (resource.plural, before.get("namespace"), before["name"]) if part)
        raise conflict(
            resource.group,
            resource.plural,
            before["name"],
            f"StorageError: invalid object, Code: 4, Key: /registry/{key}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}",
        )


def merged(
    resource: Resource, rules: Rules, cluster: Cluster, obj: Obj, old: Obj, subresource: str | None
) -> tuple[Obj, list[FieldError]]:
    """The object to store, and what is wrong with it. `obj` may be changed; `old` is not."""
    if subresource == "status":
        return _status(rules, obj, old)
    if subresource in _PARTS:
        return _part(rules, obj, old, _PARTS[subresource])
    metadata, before = obj["metadata"], old["metadata"]
    errors: list[FieldError] = []
    if metadata.get("uid") and metadata["uid"] != before["uid"]:
        errors.append(invalid("metadata.uid", metadata["uid"], IMMUTABLE))
    metadata["uid"] = before["uid"]
    for field in _SERVER_FIELDS:
        metadata.pop(field, None)
        if field in before:
            metadata[field] = before[field]
    metadata["resourceVersion"] = before["resourceVersion"]
    if before.get("namespace"):
        metadata["namespace"] = before["namespace"]
    if "status" in resource.subresources:
        obj.pop("status", None)
        if "status" in old:
            obj["status"] = clone(old["status"])
    rules.default(obj)
    rules.prepare(obj, old)
    rules.admit(cluster, obj, old)
    errors += names.object_meta(metadata, rules.check_name, namespaced=resource.namespaced)
    errors += _new_finalizers(metadata, before)
    whole, change = rules.validate(obj), rules.validate_update(obj, old)
    errors += change + whole if rules.change_first else whole + change
    return obj, errors


def _status(rules: Rules, obj: Obj, old: Obj) -> tuple[Obj, list[FieldError]]:
    new = {key: clone(value) for key, value in old.items() if key != "status"}
    if obj.get("status") is not None:
        new["status"] = obj["status"]
    if "managedFields" in obj["metadata"]:
        new["metadata"]["managedFields"] = obj["metadata"]["managedFields"]
    return new, rules.validate_status(new, old)


# Subresource: the paths that it may write. They are for the cluster's own parts, or narrow.
_PARTS: dict[str | None, tuple[tuple[str, ...], ...]] = {
    "binding": (("spec", "nodeName"), ("status", "conditions")),
    "finalize": (("spec", "finalizers"), ("metadata", "finalizers")),
    "ephemeralcontainers": (("spec", "ephemeralContainers"),),
    "resize": (("spec", "containers"),),
}


def _part(
    rules: Rules, obj: Obj, old: Obj, paths: tuple[tuple[str, ...], ...]
) -> tuple[Obj, list[FieldError]]:
    new: Obj = clone(old)
    for first, second in paths:
        given = (obj.get(first) or {}).get(second)
        target = new.setdefault(first, {})
        if given is None:
            target.pop(second, None)
        else:
            target[second] = given
        if not target:
            del new[first]
    if "spec" in new:
        rules.default(new)
        return new, rules.validate(new) + rules.validate_part(new, old)
    return new, []


def _new_finalizers(metadata: Obj, before: Obj) -> list[FieldError]:
    if not before.get("deletionTimestamp"):
        return []
    added = sorted(set(metadata.get("finalizers") or []) - set(before.get("finalizers") or []))
    if not added:
        return []
    shown = "[]string{" + ", ".join(f'"{item}"' for item in added) + "}"
    return [
        forbidden(
            "metadata.finalizers",
            "no new finalizers can be added if the object is being deleted, found new finalizers " + shown,
        )
    ]
