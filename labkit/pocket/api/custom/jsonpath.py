"""The simple JSON paths that printer columns, scale subresources and selectable fields are given as.

`.spec.replicas`, `.metadata.labels['a\\.b']`, `.status.conditions[?(@.type=="Ready")].status`, `.spec.names[*]`, `.a[0]`.
Upstream: k8s.io/client-go/util/jsonpath.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_FIELD = re.compile(r"\.((?:[\w-]|\\.)+)")
_QUOTED = re.compile(r"\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]")
_INDEX = re.compile(r"\[(-?\d+)\]")
_ALL = re.compile(r"\[\*\]|\.\*")
_FILTER = re.compile(r"\[\?\(\s*@((?:\.[\w-]+)+)\s*(==|!=)\s*(?:\"([^\"]*)\"|'([^']*)'|(\w+))\s*\)\]")


@dataclass(frozen=True)
class _Step:
    kind: str
    name: str = ""
    index: int = 0
    inner: tuple[str, ...] = ()
    equal: bool = True
    value: str = ""


class PathError(Exception):
    """A path that cannot be read; says why."""


@lru_cache(maxsize=1000)
def _steps(path: str) -> tuple[_Step, ...]:
    found: list[_Step] = []
    at = 0
    while at < len(path):
        if match := _ALL.match(path, at):
            found.append(_Step("all"))
        elif match := _FIELD.match(path, at):
            found.append(_Step("field", re.sub(r"\\(.)", r"\1", match[1])))
        elif match := _QUOTED.match(path, at):
            found.append(_Step("field", re.sub(r"\\(.)", r"\1", match[1] or match[2] or "")))
        elif match := _INDEX.match(path, at):
            found.append(_Step("index", index=int(match[1])))
        elif match := _FILTER.match(path, at):
            inner = tuple(match[1].strip(".").split("."))
            value = next((text for text in match.groups()[2:] if text is not None), "")
            found.append(_Step("filter", inner=inner, equal=match[2] == "==", value=value))
        else:
            raise PathError(f"unrecognized character in action: {path[at:]!r}")
        at = match.end()
    return tuple(found)


def check(path: str) -> str:
    """What is wrong with a path, or nothing."""
    try:
        _steps(path)
    except PathError as error:
        return str(error)
    return ""


def values(path: str, obj: Any) -> list[Any]:
    """All that a path leads to in an object; nothing where it leads nowhere, or is not understood."""
    try:
        steps = _steps(path)
    except PathError:
        return []
    found = [obj]
    for step in steps:
        found = [value for one in found for value in _follow(step, one)]
    return found


def value(path: str, obj: Any) -> Any:
    """The first of them, or None."""
    found = values(path, obj)
    return found[0] if found else None


def _follow(step: _Step, value: Any) -> list[Any]:
    if step.kind == "field":
        return [value[step.name]] if isinstance(value, dict) and step.name in value else []
    if step.kind == "all":
        if isinstance(value, dict):
            return list(value.values())
        return list(value) if isinstance(value, list) else []
    if not isinstance(value, list):
        return []
    if step.kind == "index":
        return [value[step.index]] if -len(value) <= step.index < len(value) else []
    return [item for item in value if (_inner(step.inner, item) == step.value) == step.equal]


def _inner(names: tuple[str, ...], item: Any) -> str | None:
    for name in names:
        if not isinstance(item, dict) or name not in item:
            return None
        item = item[name]
    return {True: "true", False: "false"}.get(item, str(item)) if isinstance(item, bool) else str(item)
