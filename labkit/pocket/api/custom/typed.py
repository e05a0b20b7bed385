"""Whether an applied configuration fits the schema's types, before it is merged.

Upstream: sigs.k8s.io/structured-merge-diff/typed, as k8s.io/apimachinery/pkg/util/managedfields calls it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labkit.pocket.api.errors import failure
from labkit.pocket.api.nodes import Node
from labkit.pocket.api.registry import Resource

Obj = dict[str, Any]


def check_typed(resource: Resource, node: Node, name: str, config: Obj) -> None:
    """Raises ApiError (500, as upstream has it)."""
    problems = list(_problems(node, config, ""))
    if not problems:
        return
    text = problems[0] if len(problems) == 1 else "errors:\n" + "\n".join(f"  {one}" for one in problems)
    metadata = config.get("metadata") or {}
    where = f"{metadata.get('namespace', '')}/{metadata.get('name', name)}"
    refusal = failure(
        500,
        "",
        f"failed to create typed patch object ({where}; {resource.api_version}, Kind={resource.kind}): {text}",
    )
    del refusal.status["reason"]
    raise refusal


_SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_WORDS = {"integer": "numeric (int or float)", "number": "numeric (int or float)"}


def _problems(node: Node | None, value: Any, path: str) -> Iterator[str]:
    if node is None or value is None or node.shape in ("any", "int-or-string", "time", "quantity"):
        return
    if node.shape in ("struct", "map"):
        if not isinstance(value, dict):
            yield f"{path}: expected map, got {_shown(value)}"
            return
        for key, element in value.items():
            child = node.item if node.shape == "map" else node.properties.get(key)
            if child is None and node.shape == "struct" and not node.open:
                yield f"{path}.{key}: field not declared in schema"
            else:
                yield from _problems(child, element, f"{path}.{key}")
    elif node.shape == "list":
        if not isinstance(value, list):
            yield f"{path}: expected list, got {_shown(value)}"
            return
        for index, element in enumerate(value):
            yield from _problems(node.item, element, f"{path}[{index}]")
    elif node.shape in _SCALARS:
        fits = isinstance(value, _SCALARS[node.shape])
        if not fits or (isinstance(value, bool) and node.shape != "boolean"):
            yield f"{path}: expected {_WORDS.get(node.shape, node.shape)}, got {_shown(value)}"


def _shown(value: Any) -> str:
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    if isinstance(value, str):
        text = f'"{value}"'
    return f"&value.valueUnstructured{{Value:{text}}}"
