"""Server-side apply: the applier owns the fields it names, and taking one from another manager needs force.

Follows sigs.k8s.io/structured-merge-diff and the apiserver's fieldmanager.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from labkit.pocket.api.custom.typed import check_typed
from labkit.pocket.api.errors import ApiError, bad_request, conflict, failure, not_found
from labkit.pocket.api.fieldsets import (
    FieldSet,
    Path,
    changed,
    child_of,
    fields_of,
    is_keyed,
    item_element,
    path_text,
    without,
)
from labkit.pocket.api.nodes import Node
from labkit.pocket.api.objects import now
from labkit.pocket.api.ownership import APPLY, Entry, read_entries, write_entries
from labkit.pocket.api.registry import Resource
from labkit.pocket.api.request import Options
from labkit.pocket.api.store import clone

if TYPE_CHECKING:
    from labkit.pocket.api.api import Api

Obj = dict[str, Any]


def apply(
    api: Api,
    resource: Resource,
    name: str,
    namespace: str | None,
    body: Any,
    subresource: str | None,
    force: bool,
    options: Options,
) -> Obj:
    """Apply a configuration; creates the object when there is none. Raises ApiError (400, 404, 409, 422)."""
    config = _read(api, resource, name, namespace, body, options)
    node = api.schemas.of(resource)
    applied = fields_of(node, config)
    live = api.find(resource, name, namespace)
    entry = Entry(options.manager, APPLY, resource.api_version, now(), applied, subresource or "")
    if live is None:
        if subresource:
            raise not_found(resource.group, resource.plural, name)
        write_entries(config, [entry])
        return api.create(resource, config, namespace, options=replace(options, applied=True))
    wanted = config["metadata"].get("resourceVersion")
    if wanted and wanted != live["metadata"]["resourceVersion"]:
        raise conflict(resource.group, resource.plural, name)
    entries = read_entries(live)
    merged: Obj = merge(node, live, config)
    mine = next((one for one in entries if one.key == entry.key), None)
    others = [one for one in entries if one.key != entry.key]
    touched = changed(node, live, merged)[0] & applied
    conflicts = [(one, path) for one in others for path in sorted(one.fields & touched)]
    if conflicts and not force:
        raise _conflict(conflicts)
    others = [replace(one, fields=without(one.fields, touched)) for one in others]
    if mine is not None:
        owned = frozenset().union(*(one.fields for one in others))
        merged = _pruned(node, merged, without(mine.fields, applied) - owned, applied | owned)
        if mine.fields == applied:
            entry = replace(entry, time=mine.time)
    write_entries(merged, [*others, entry])
    merged["metadata"].pop("resourceVersion", None)
    return api.update(resource, merged, subresource=subresource, options=replace(options, applied=True))


def _read(api: Api, resource: Resource, name: str, namespace: str | None, body: Any, options: Options) -> Obj:
    if not isinstance(body, dict):
        raise bad_request("error decoding YAML: the applied configuration is not an object")
    if not body.get("apiVersion") or not body.get("kind"):
        raise bad_request("invalid object type: /, Kind=")
    if (body["apiVersion"], body["kind"]) != (resource.api_version, resource.kind):
        raise bad_request(
            f"invalid object type: {body['apiVersion']}, Kind={body['kind']} "
            f"(expected {resource.api_version}, Kind={resource.kind})"
        )
    node = api.schemas.of(resource)
    if node is not None:
        check_typed(resource, node, name, body)
    config = api.schemas.decode_as(resource, body, options)
    metadata = config.setdefault("metadata", {})
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    given = metadata.setdefault("name", name)
    if given != name:
        raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
    if resource.namespaced:
        if metadata.get("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = namespace
    return config


def merge(node: Node | None, live: Any, config: Any) -> Any:
    """What applying `config` makes of `live`: maps and keyed lists merge, everything else is replaced."""
    atomic = node is not None and (node.atomic or node.shape == "any")
    if isinstance(live, dict) and isinstance(config, dict) and not atomic:
        result = dict(live)
        for key, value in config.items():
            result[key] = merge(child_of(node, key), live.get(key), value)
        return result
    if isinstance(live, list) and isinstance(config, list) and node is not None:
        if node.list_type == "set":
            return live + [item for item in config if item not in live]
        if is_keyed(node):
            return _merge_items(node, live, config)
    return clone(config)


def _merge_items(node: Node, live: list[Any], config: list[Any]) -> list[Any]:
    wanted = {item_element(node, item): item for item in config}
    result = []
    for item in live:
        element = item_element(node, item)
        result.append(merge(node.item, item, wanted.pop(element)) if element in wanted else item)
    return result + [clone(item) for item in wanted.values()]


def _pruned(node: Node | None, obj: Obj, gone: FieldSet, kept: FieldSet) -> Obj:
    """`obj` without the fields that the applier used to name and no longer does, and nobody else owns."""
    result: Obj = clone(obj)
    for path in sorted(gone, key=len):  # an item goes as a whole, while its keys still tell which it is
        if any(other[: len(path)] == path for other in kept):
            continue
        _remove(node, result, path)
    return result


def _remove(node: Node | None, place: Any, path: Path) -> None:
    element, rest = path[0], path[1:]
    if element.startswith("f:") and isinstance(place, dict):
        field = element[2:]
        if not rest:
            place.pop(field, None)
        elif field in place:
            _remove(child_of(node, field), place[field], rest)
    elif isinstance(place, list) and node is not None:
        for index, item in enumerate(place):
            if item_element(node, item) == element:
                if rest:
                    _remove(node.item, item, rest)
                else:
                    del place[index]
                return


def _conflict(conflicts: list[tuple[Entry, Path]]) -> ApiError:
    if len(conflicts) == 1:
        entry, path = conflicts[0]
        message = f"Apply failed with 1 conflict: conflict with {entry.described()}: {path_text(path)}"
    else:
        by_manager: dict[str, list[str]] = {}
        for entry, path in conflicts:
            by_manager.setdefault(entry.described(), []).append(path_text(path))
        lines = []
        for manager in sorted(by_manager):
            lines.append(f"conflicts with {manager}:")
            lines += [f"- {path}" for path in by_manager[manager]]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return failure(
        409,
        "Conflict",
        message,
        causes=[
            {
                "reason": "FieldManagerConflict",
                "message": f"conflict with {entry.described()}",
                "field": path_text(path),
            }
            for entry, path in conflicts
        ],
    )
