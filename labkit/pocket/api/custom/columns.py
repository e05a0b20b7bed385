"""The table of `kubectl get` for custom resources: additionalPrinterColumns and their cells.

Upstream: k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labkit.pocket.api.custom import jsonpath
from labkit.pocket.api.kinds.printing import since
from labkit.pocket.api.store import encode

Obj = dict[str, Any]

_AGE: Obj = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_NAME_WORDS = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow "
    "a client to request the generation of an appropriate name automatically. Name is primarily intended for "
    "creation idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_CREATED_WORDS = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this value. It is represented "
    "in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)


def definitions(columns: Sequence[Obj]) -> list[Obj]:
    """The columnDefinitions of a Table, for a version's additionalPrinterColumns (Age alone, when it has none)."""
    found: list[Obj] = [
        {"name": "Name", "type": "string", "format": "name", "description": _NAME_WORDS, "priority": 0}
    ]
    for column in columns or (_AGE,):
        words = column.get("description")
        if not words:
            words = f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
            if column is _AGE:
                words = _CREATED_WORDS
        found.append(
            {
                "name": column["name"],
                "type": column["type"],
                "format": column.get("format", ""),
                "description": words,
                "priority": column.get("priority", 0),
            }
        )
    return found


def row(columns: Sequence[Obj], obj: Obj) -> list[Any]:
    """The cells of an object."""
    return [obj["metadata"]["name"], *(_cell(column, obj) for column in columns or (_AGE,))]


def _cell(column: Obj, obj: Obj) -> Any:
    found = jsonpath.values(column["jsonPath"], obj)
    if not found:
        return None
    value, kind = found[0], column["type"]
    if kind == "string":
        return _text(value)
    if kind == "integer":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return int(value) if is_number else None
    if kind == "number":
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    return since(value) if isinstance(value, str) else None


def _text(value: Any) -> str | None:
    if isinstance(value, dict | list):
        return encode(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)
