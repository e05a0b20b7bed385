"""The patch that `kubectl apply` would send: what the new manifest changes, and what it no longer has.

Rule: kubectl's client-side apply. The last applied manifest is kept in an annotation; fields that it had and the new one
has not are removed, everything else that others set on the live object is kept. Lists that the API merges by a key
are merged by that key (strategic merge patch); lists of custom resources are replaced (JSON merge patch).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"

#: Field name → keys by which the API merges its items, as the types' `patchMergeKey` says. Where a name is
#: used by several types, the keys are tried in order.
_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "ports": ("containerPort", "port"),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
}
#: Kinds whose `ports` are plain lists although the field's name is above.
_PLAIN_PORTS = {"NetworkPolicy", "EndpointSlice", "Endpoints", "Ingress"}


def annotated(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object with its own manifest in the annotation, written as kubectl writes it."""
    result = copy.deepcopy(dict(obj))
    metadata = result.setdefault("metadata", {})
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(ANNOTATION, None)
    metadata["annotations"] = annotations
    text = json.dumps(result, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":  # as Go's encoding/json does
        text = text.replace(character, f"\\u{ord(character):04x}")
    metadata["annotations"] = {**annotations, ANNOTATION: text + "\n"}
    return result


def last_applied(live: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest in the live object's annotation, or None."""
    text = (live.get("metadata", {}).get("annotations") or {}).get(ANNOTATION)
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None  # somebody edited it by hand: as if it were not there
    return found if isinstance(found, dict) else None


def patch(
    original: Mapping[str, Any] | None,
    desired: Mapping[str, Any],
    live: Mapping[str, Any],
    *,
    strategic: bool,
) -> dict[str, Any]:
    """The patch that brings `live` to `desired`, given what was applied last; {} when nothing has to change."""
    mergeable = strategic and desired.get("kind") not in _PLAIN_PORTS
    return _objects(original or {}, desired, live, _Rules(strategic, mergeable))


class _Rules:
    def __init__(self, strategic: bool, ports: bool) -> None:
        self.strategic, self.ports = strategic, ports

    def merged(self, field: str) -> bool:
        """Whether the API would merge the lists of this field rather than replace them."""
        return self.strategic and field in _MERGE_KEYS and (field != "ports" or self.ports)

    def key(self, field: str, *lists: Any) -> str | None:
        """The key by which the items of `field` are merged, None when the list is replaced."""
        if not self.merged(field):
            return None
        items = [item for items in lists if isinstance(items, list) for item in items]
        for key in _MERGE_KEYS.get(field, ()):
            if items and all(isinstance(item, dict) and key in item for item in items):
                values = [[item[key] for item in one] for one in lists if isinstance(one, list)]
                if all(len(one) == len(set(map(str, one))) for one in values):
                    return key
        return None


def _objects(
    original: Mapping[str, Any], desired: Mapping[str, Any], live: Mapping[str, Any], rules: _Rules
) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for field, value in desired.items():
        if value is None:
            if live.get(field) is not None and original.get(field) is not None:
                changes[field] = None
            continue
        if field not in live or live[field] is None:
            if not _is_empty(value):
                changes[field] = value
            continue
        changed = _values(field, original.get(field), value, live[field], rules)
        if changed is not _SAME:
            changes[field] = changed
    for field in original:
        if (field not in desired) and field in live:
            changes[field] = None
    return changes


_SAME = object()


def _is_empty(value: Any) -> bool:
    """An empty map or list that the server would drop again (metadata.annotations: {})."""
    return value in ({}, [])


def _values(field: str, original: Any, desired: Any, live: Any, rules: _Rules) -> Any:
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        before = original if isinstance(original, Mapping) else {}
        return _objects(before, desired, live, rules) or _SAME
    if isinstance(desired, list) and isinstance(live, list):
        key = rules.key(field, desired, live, original)
        if key:
            return _lists(field, key, original if isinstance(original, list) else [], desired, live, rules)
        if desired == live:
            return _SAME
        # Items without one key each: say that the list is to be replaced, or the API would merge it.
        return [{"$patch": "replace"}, *desired] if rules.merged(field) else desired
    return _SAME if type(desired) is type(live) and desired == live else desired


def _lists(
    field: str, key: str, original: list[Any], desired: list[Any], live: list[Any], rules: _Rules
) -> Any:
    before = {item[key]: item for item in original if isinstance(item, dict) and key in item}
    now = {item[key]: item for item in live}
    changes: list[dict[str, Any]] = []
    for item in desired:
        held = now.get(item[key])
        inner = item if held is None else _objects(before.get(item[key], {}), item, held, rules)
        if inner and held is not None and field == "volumes":
            inner |= {source: None for source in held if source not in item}  # a volume has one source
        if inner:
            changes.append({**inner, key: item[key]})
    wanted = {item[key] for item in desired}
    changes += [{"$patch": "delete", key: name} for name in before if name not in wanted and name in now]
    return changes or _SAME
