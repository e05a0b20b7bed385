"""Strategic merge patch: lists of objects merge by the key that the schema names, $-directives are obeyed.

Follows k8s.io/apimachinery/pkg/util/strategicpatch.
"""

from __future__ import annotations

from typing import Any

from labkit.pocket.api.nodes import Node
from labkit.pocket.api.store import clone

Obj = dict[str, Any]

DIRECTIVE = "$patch"
DELETE_FROM = "$deleteFromPrimitiveList/"
ELEMENT_ORDER = "$setElementOrder/"
RETAIN_KEYS = "$retainKeys"


class PatchMistake(ValueError):  # noqa: N818 - it is what it says
    """The patch itself is malformed."""


def strategic_merge(node: Node, current: Obj, patch: Obj) -> Obj:
    """What `patch` makes of `current`; neither is changed. Raises PatchMistake."""
    result = _merge_map(node, current, patch)
    return result if result is not None else {}


def _merge_map(node: Node | None, current: Obj, patch: Obj) -> Obj | None:
    """The merged map, or None when the patch deletes it."""
    directive = patch.get(DIRECTIVE)
    if directive == "replace":
        replacement: Obj = _stripped({key: value for key, value in patch.items() if key != DIRECTIVE})
        return replacement
    if directive == "delete":
        return None
    if directive not in (None, "merge"):
        raise PatchMistake(f"unknown patch type: {directive} in map: map[{DIRECTIVE}:{directive}]")
    result = dict(current)
    retained = patch.get(RETAIN_KEYS)
    if retained is not None:
        if not isinstance(retained, list):
            raise PatchMistake("invalid patch format of retainKeys")
        result = {key: value for key, value in result.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$"):
            if key.startswith(DELETE_FROM):
                _delete_from(result, key.removeprefix(DELETE_FROM), value)
            continue
        child = _child(node, key)
        old = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and "replace" in (child.strategy if child else ()):
            result[key] = _stripped(value)
        elif isinstance(value, dict):
            merged = _merge_map(child, old if isinstance(old, dict) else {}, value)
            if merged is None:
                result.pop(key, None)
            else:
                result[key] = merged
        elif isinstance(value, list) and child is not None and "merge" in child.strategy:
            order = patch.get(ELEMENT_ORDER + key)
            result[key] = _merge_list(child, old if isinstance(old, list) else [], value, order)
        else:
            result[key] = _stripped(value)
    for key, order in patch.items():
        if key.startswith(ELEMENT_ORDER):
            name = key.removeprefix(ELEMENT_ORDER)
            if name not in patch and isinstance(result.get(name), list):
                # Only the order is given: sort what is there.
                child = _child(node, name)
                if child is not None and isinstance(order, list):
                    result[name] = _ordered(result[name], order, child.merge_key, result[name])
    return result


def _child(node: Node | None, key: str) -> Node | None:
    if node is None:
        return None
    if node.shape == "map":
        return node.item
    return node.properties.get(key)


def _delete_from(result: Obj, name: str, values: Any) -> None:
    if not isinstance(values, list):
        raise PatchMistake(f"invalid patch format of {DELETE_FROM}{name}")
    if isinstance(result.get(name), list):
        result[name] = [item for item in result[name] if item not in values]


def _merge_list(node: Node, current: list[Any], patch: list[Any], order: Any) -> list[Any]:
    key = node.merge_key
    if not key or not all(isinstance(item, dict) for item in patch):
        if any(isinstance(item, dict) for item in patch):
            raise PatchMistake("list of maps and primitives mixed, or no merge key")
        merged = list(dict.fromkeys([*current, *patch]))
        return _ordered(merged, order if isinstance(order, list) else patch, "", current)
    replace = any(item.get(DIRECTIVE) == "replace" for item in patch)
    result = [] if replace else list(current)
    changes = []
    for item in patch:
        directive = item.get(DIRECTIVE)
        if directive == "replace":
            # A bare {$patch: replace} stands for the whole list.
            if len(item) > 1:
                changes.append({name: value for name, value in item.items() if name != DIRECTIVE})
            continue
        if directive not in (None, "delete", "merge"):
            raise PatchMistake(f"unknown patch type: {directive} in map: map[{DIRECTIVE}:{directive}]")
        if key not in item:
            raise PatchMistake(f"map: {_go_map(item)} does not contain declared merge key: {key}")
        if directive == "delete":
            result = [old for old in result if not (isinstance(old, dict) and old.get(key) == item[key])]
        else:
            changes.append(item)
    for item in changes:
        at = next(
            (i for i, old in enumerate(result) if isinstance(old, dict) and old.get(key) == item[key]), None
        )
        if at is None:
            fresh = _merge_map(node.item, {}, item)
            result.append(fresh if fresh is not None else {})
        else:
            merged_item = _merge_map(node.item, result[at], item)
            if merged_item is not None:
                result[at] = merged_item
    return _ordered(result, order if isinstance(order, list) else changes, key, current)


def _ordered(items: list[Any], order: list[Any], key: str, before: list[Any]) -> list[Any]:
    """Items that the patch names, in its order; the server's own keep their place among those that were there before.

    So a new item comes before what only the server has: upstream's normalizeElementOrder and mergeSortedSlice.
    """

    def identity(item: Any) -> Any:
        return _hashable(item.get(key) if key and isinstance(item, dict) else item)

    rank: dict[Any, int] = {}
    for item in order:
        rank.setdefault(identity(item), len(rank))
    place = {identity(item): index for index, item in enumerate(before)}
    named = sorted((item for item in items if identity(item) in rank), key=lambda item: rank[identity(item)])
    others = [item for item in items if identity(item) not in rank]
    result: list[Any] = []
    for item in named:
        at = place.get(identity(item))
        while others and at is not None and place.get(identity(others[0]), at) < at:
            result.append(others.pop(0))
        result.append(item)
    return result + others


def _hashable(value: Any) -> Any:
    return repr(value) if isinstance(value, dict | list) else value


def _stripped(value: Any) -> Any:
    """A copy of new content without directives and nulls."""
    if isinstance(value, dict):
        return {
            key: _stripped(item)
            for key, item in value.items()
            if not key.startswith("$") and item is not None
        }
    if isinstance(value, list):
        return [
            _stripped(item)
            for item in value
            if not (isinstance(item, dict) and item.get(DIRECTIVE) in ("delete", "replace"))
        ]
    return clone(value)


def _go_map(value: Obj) -> str:
    return "map[" + " ".join(f"{key}:{item}" for key, item in sorted(value.items())) + "]"
