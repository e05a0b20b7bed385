"""Sets of fields of an object, as managedFields records them (FieldsV1 of structured-merge-diff).

A path is a tuple of elements: `f:name` for a field, `k:{"name":"web"}` for an item of a list with keys, `v:"x"`
for a value in a set. A set of fields is a set of paths.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from labkit.pocket.api.nodes import Node

Obj = dict[str, Any]
Path = tuple[str, ...]
FieldSet = frozenset[Path]

# What nobody owns: the server's own, and what names the object.
_UNOWNED: tuple[Path, ...] = (
    ("f:apiVersion",),
    ("f:kind",),
    *(
        ("f:metadata", f"f:{field}")
        for field in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        )
    ),
)


def fields_of(node: Node | None, obj: Obj) -> FieldSet:
    """All fields that an object sets: leaves, and the items of keyed lists themselves."""
    found: set[Path] = set()
    _collect(node, obj, (), found)
    return frozenset(path for path in found if not _is_unowned(path))


def _is_unowned(path: Path) -> bool:
    return path == ("f:metadata",) or any(path[: len(prefix)] == prefix for prefix in _UNOWNED)


def child_of(node: Node | None, field: str) -> Node | None:
    """The schema of a field, if known."""
    if node is None:
        return None
    return node.item if node.shape == "map" else node.properties.get(field)


def is_keyed(node: Node | None) -> bool:
    """Whether a list's items are known by keys."""
    return node is not None and node.list_type == "map" and bool(node.map_keys)


def item_element(node: Node, item: Any) -> str | None:
    """The path element of a list's item, or None when it has none (the list is owned as a whole)."""
    if node.list_type == "set":
        return "v:" + json.dumps(item, separators=(",", ":"))
    if isinstance(item, dict):
        defaults = node.item.defaults if node.item is not None else {}
        keys = {key: item.get(key, defaults.get(key)) for key in sorted(node.map_keys)}
        keys = {key: value for key, value in keys.items() if value is not None}
        return "k:" + json.dumps(keys, separators=(",", ":"))
    return None


def _collect(node: Node | None, value: Any, path: Path, found: set[Path]) -> None:
    if isinstance(value, dict) and value and not (node is not None and (node.atomic or node.shape == "any")):
        if node is None and path:
            found.add(path)  # what no schema describes is owned as a map, too
        for field, item in value.items():
            _collect(child_of(node, field), item, (*path, f"f:{field}"), found)
        return
    if isinstance(value, list) and value and node is not None and (is_keyed(node) or node.list_type == "set"):
        for item in value:
            element = item_element(node, item)
            if element is None:
                continue
            found.add((*path, element))
            if isinstance(item, dict):
                _collect(node.item, item, (*path, element), found)
        return
    if path:
        found.add(path)


def changed(node: Node | None, old: Any, new: Any) -> tuple[FieldSet, FieldSet]:
    """(fields that were added or changed, fields that were removed) between two states."""
    touched: set[Path] = set()
    removed: set[Path] = set()
    _compare(node, old, new, (), touched, removed)
    return (
        frozenset(path for path in touched if not _is_unowned(path)),
        frozenset(path for path in removed if not _is_unowned(path)),
    )


def _compare(
    node: Node | None, old: Any, new: Any, path: Path, touched: set[Path], removed: set[Path]
) -> None:
    if old == new and type(old) is type(new):
        return
    if new is None:
        _all(node, old, path, removed)
        return
    granular = not (node is not None and (node.atomic or node.shape == "any"))
    if isinstance(new, dict) and granular and (isinstance(old, dict) or old is None) and (new or old):
        before = old or {}
        if old is None and path and (node is None or node.shape == "map" or node.optional):
            touched.add(path)
        for field in {**before, **new}:
            element = (*path, f"f:{field}")
            if field in new and new[field] is None and before.get(field, ...) is not None:
                touched.add(element)  # a null that is meant
                continue
            _compare(child_of(node, field), before.get(field), new.get(field), element, touched, removed)
        return
    if isinstance(new, list) and node is not None and (is_keyed(node) or node.list_type == "set"):
        if old is None:
            touched.add(path)
        was = {item_element(node, item): item for item in old or []}
        now = {item_element(node, item): item for item in new}
        for key, item in now.items():
            if key is None:
                continue
            if key not in was:
                touched.add((*path, key))
            _compare(node.item, was.get(key), item, (*path, key), touched, removed)
        for key, item in was.items():
            if key is not None and key not in now:
                _all(node.item, item, (*path, key), removed)
        return
    touched.add(path)


def _all(node: Node | None, value: Any, path: Path, found: set[Path]) -> None:
    _collect(node, value, path, found)
    found.add(path)


def to_fields_v1(paths: Iterable[Path]) -> Obj:
    """The FieldsV1 form: nested objects, with "." for a path that has paths beneath it."""
    root: Obj = {}
    members: list[tuple[Obj, bool]] = []
    for path in sorted(paths):
        place = root
        for element in path:
            place = place.setdefault(element, {})
        members.append((place, True))
    for place, _ in members:
        if place:
            rest = dict(place)
            place.clear()
            place["."] = {}
            place.update(rest)
    return root


def from_fields_v1(fields: Any) -> FieldSet:
    """The paths in a FieldsV1 object."""
    found: set[Path] = set()

    def walk(place: Any, path: Path) -> None:
        if not isinstance(place, dict) or not place:
            found.add(path)
            return
        for element, beneath in place.items():
            if element == ".":
                found.add(path)
            else:
                walk(beneath, (*path, element))

    if isinstance(fields, dict) and fields:
        walk(fields, ())
    return frozenset(found)


def path_text(path: Path) -> str:
    """A path for people: `.spec.containers[name="web"].image`."""
    parts = []
    for element in path:
        kind, _, rest = element.partition(":")
        if kind == "f":
            parts.append(f".{rest}")
        elif kind == "k":
            keys = json.loads(rest)
            parts.append(
                "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(keys.items())) + "]"
            )
        else:
            parts.append(f"[={rest}]")
    return "".join(parts)


def without(paths: FieldSet, gone: FieldSet) -> FieldSet:
    """The paths that are neither in `gone` nor beneath a removed list item."""
    items = {path for path in gone if path and path[-1][:2] in ("k:", "v:")}
    return frozenset(
        path
        for path in paths
        if path not in gone and not any(path[: index + 1] in items for index in range(len(path)))
    )
