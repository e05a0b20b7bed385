"""Patches: strategic merge, JSON merge, JSON patch, and server-side apply."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException

from labkit.pocket.api.errors import ApiError, bad_request, failure, invalid
from labkit.pocket.api.fields import invalid as invalid_field
from labkit.pocket.api.nodes import Node
from labkit.pocket.api.reading import TypeMismatch
from labkit.pocket.api.registry import Resource
from labkit.pocket.api.request import Options
from labkit.pocket.api.schema import complain
from labkit.pocket.api.store import clone, encode
from labkit.pocket.api.strategic import PatchMistake, strategic_merge
from labkit.pocket.api.updates import kind_mismatch

if TYPE_CHECKING:
    from labkit.pocket.api.api import Api

Obj = dict[str, Any]

log = logging.getLogger(__name__)

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)


def apply_patch(node: Node | None, patch_type: str, current: Obj, body: Any) -> Obj:
    """The object that a patch makes of `current` (which stays as it is). Raises ApiError (400, 415, 422)."""
    if patch_type == JSON_PATCH:
        return _json_patch(current, body)
    if patch_type not in (MERGE_PATCH, STRATEGIC_PATCH):
        raise failure(415, "UnsupportedMediaType", "415: Unsupported Media Type")
    if not isinstance(body, dict):
        if body is None:
            raise bad_request("Invalid JSON Patch")
        kind = {list: "array", str: "string", bool: "bool"}.get(type(body), "number")
        prefix = "" if patch_type == STRATEGIC_PATCH else "error decoding patch: "
        raise bad_request(
            f"{prefix}json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )
    if patch_type == MERGE_PATCH:
        merged: Obj = merge(current, body)
        return merged
    if node is None:
        raise failure(415, "UnsupportedMediaType", "415: Unsupported Media Type")
    try:
        return strategic_merge(node, current, body)
    except PatchMistake as error:
        refusal = failure(500, "", str(error))
        del refusal.status["reason"]
        raise refusal from None


def merge(current: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return clone(patch)
    result = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def _json_patch(current: Obj, body: Any) -> Obj:
    if not isinstance(body, list):
        kind = "object" if isinstance(body, dict) else "string"
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {kind} into Go value of type []handlers.jsonPatchOp"
        )
    try:
        result = clone(current)
        for operation in body:
            result = jsonpatch.JsonPatch([_as_go_reads(operation, result)]).apply(result, in_place=True)
    except jsonpatch.JsonPatchTestFailed as error:
        raise _unprocessable(f"testing value failed: {error}") from None
    except (jsonpatch.JsonPatchException, JsonPointerException, TypeError, KeyError) as error:
        raise _unprocessable(_pointer_words(body, error)) from None
    if not isinstance(result, dict):
        raise bad_request("the patch leaves no object")
    return result


def _as_go_reads(operation: Any, document: Any) -> Any:
    """What the Go library (evanphx/json-patch) is lenient about: a path without its first slash, and a replacement of
    a field that is not there, which adds it."""
    if not isinstance(operation, dict):
        return operation
    read = {**operation}
    for key in ("path", "from"):
        if isinstance(read.get(key), str) and read[key] and not read[key].startswith("/"):
            read[key] = "/" + read[key].partition("/")[2]
    if read.get("op") == "replace" and isinstance(read.get("path"), str):
        pointer = JsonPointer(read["path"])
        parent, last = pointer.to_last(document)
        if isinstance(parent, dict) and last is not None and last not in parent:
            read["op"] = "add"
    return read


def _pointer_words(body: list[Any], error: Exception) -> str:
    for operation in body:
        if isinstance(operation, dict) and operation.get("op") in ("remove", "replace"):
            return f"{operation['op']} operation does not apply: doc is missing path: {operation.get('path')}: missing value"
    return str(error)


def _unprocessable(message: str) -> ApiError:
    # A real server hides the reason behind this sentence; ours is in the log.
    log.debug("JSON patch refused: %s", message)
    return failure(422, "Invalid", "the server rejected our request due to an error in our request")


def _check_reading(
    api: Api, resource: Resource, patch_type: str, patched: Obj, body: Any, options: Options
) -> None:
    """Refuse what a patch makes that is no object of the kind. Raises ApiError (422).

    A real server shows the whole patch here (or what came of it), and says what is wrong last.
    """
    named = str(patched.get("apiVersion") or ""), str(patched.get("kind") or "")
    try:
        if (
            patch_type != STRATEGIC_PATCH
            and resource.custom is None
            and named != (resource.api_version, resource.kind)
        ):
            raise TypeMismatch(kind_mismatch(api.schemas, resource, *named, patched))
        _, unknown = api.schemas.read_as(resource, patched)
        problem = complain(unknown, options)
    except TypeMismatch as error:
        problem = error.as_converter() if patch_type == STRATEGIC_PATCH else str(error)
    if problem:
        shown = go_text(body) if patch_type == STRATEGIC_PATCH else _shown(resource, patched, body)
        raise invalid("", "", "", [invalid_field("patch", shown, problem)])


def _shown(resource: Resource, patched: Obj, body: Any) -> str:
    if resource.custom is not None:
        return json.dumps(patched, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return encode(_resorted(patched, _touched(body) if isinstance(body, list) else body))


def _resorted(value: Any, patch: Any) -> Any:
    """Maps that a patch touches come out sorted, others as they were (the Go library's way)."""
    if isinstance(value, dict) and isinstance(patch, dict):
        return {key: _resorted(value[key], patch.get(key)) for key in sorted(value)}
    if isinstance(value, list) and isinstance(patch, dict):
        return [_resorted(item, patch.get(str(index))) for index, item in enumerate(value)]
    return value


def _touched(operations: list[Any]) -> Obj:
    """The maps and lists that a JSON patch goes through, as a tree."""
    tree: Obj = {}
    for operation in operations:
        here = tree
        for part in str(operation.get("path", "")).split("/")[1:-1]:
            here = here.setdefault(part.replace("~1", "/").replace("~0", "~"), {})
    return tree


def go_text(value: Any) -> str:
    """A value as Go's %+v prints it: map[a:1 b:[x y]]."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_text(item) for item in value) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def patch_object(
    api: Api,
    resource: Resource,
    name: str,
    namespace: str | None,
    patch_type: str,
    body: Any,
    subresource: str | None,
    force: bool,
    options: Options,
) -> Obj:
    """Patch an object and write it; see Api.patch."""
    if patch_type == APPLY_PATCH:
        from labkit.pocket.api.serverside import apply

        return apply(api, resource, name, namespace, body, subresource, force, options)
    current = api.get(resource, name, namespace)
    node = api.schemas.of(resource)
    patched = apply_patch(node, patch_type, current, body)
    _check_reading(api, resource, patch_type, patched, body, options)
    metadata = patched.get("metadata")
    if not isinstance(metadata, dict):
        raise bad_request(f"{resource.kind} without metadata")
    if metadata.get("name") != name:
        raise bad_request(
            f"the name of the object ({metadata.get('name')}) does not match the name on the URL ({name})"
        )
    if resource.namespaced and metadata.get("namespace") != current["metadata"]["namespace"]:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    return api.update(resource, patched, subresource=subresource, options=options)
