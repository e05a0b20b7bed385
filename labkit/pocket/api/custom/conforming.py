"""Making an object conform to a structural schema: unknown fields go, defaults come in.

Upstream: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting,objectmeta}.
"""

from __future__ import annotations

from typing import Any

from labkit.pocket.api.custom.structural import Structural
from labkit.pocket.api.nodes import Node
from labkit.pocket.api.reading import Reader, TypeMismatch
from labkit.pocket.api.store import clone, encode

Obj = dict[str, Any]

_HEAD = ("apiVersion", "kind", "metadata")


class BadMetadata(Exception):  # noqa: N818 - the caller makes an error of it
    """The metadata of an object, or of one embedded in it, cannot be read."""


def prune(schema: Structural, obj: Obj, metadata: Node) -> tuple[Obj, list[str]]:
    """A copy without the fields that the schema does not have, and their paths. Raises BadMetadata."""
    unknown: list[str] = []
    given = obj.get("metadata")
    result: Obj = {key: obj[key] for key in ("apiVersion", "kind") if key in obj}
    if given is not None:
        try:
            result["metadata"], strange = _read_metadata(metadata, given, "metadata")
        except TypeMismatch as error:
            raise BadMetadata(str(error)) from None
        unknown += strange
    pruned: list[str] = []
    embedded: list[str] = []
    for key, value in obj.items():
        if key not in _HEAD:
            _keep(schema, key, value, "", result, _Sink(pruned, embedded, metadata))
    return result, [*unknown, *sorted(pruned), *embedded]


class _Sink:
    """Where a walk puts the paths it drops."""

    def __init__(self, pruned: list[str], embedded: list[str], metadata: Node) -> None:
        self.pruned = pruned
        self.embedded = embedded
        self.metadata = metadata


def _read_metadata(node: Node, value: Any, path: str) -> tuple[Any, list[str]]:
    reader = Reader()
    read = reader.read(node, value, path, "ObjectMeta", "")
    return read if read is not None else {}, reader.unknown


def _keep(schema: Structural, key: str, value: Any, path: str, into: Obj, sink: _Sink) -> None:
    at = f"{path}.{key}" if path else key
    child = schema.properties.get(key)
    if child is not None:
        into[key] = _pruned(child, value, at, sink)
    elif isinstance(schema.additional, Structural):
        into[key] = _pruned(schema.additional, value, at, sink)
    elif schema.additional or schema.preserve:
        into[key] = clone(value)
    else:
        sink.pruned.append(at)


def _pruned(schema: Structural, value: Any, path: str, sink: _Sink) -> Any:
    if isinstance(value, dict):
        result: Obj = {}
        for key, element in value.items():
            if schema.embedded and key in _HEAD:
                result[key] = element if key != "metadata" else _embedded_metadata(element, value, path, sink)
            else:
                _keep(schema, key, element, path, result, sink)
        return result
    if isinstance(value, list):
        if schema.items is None:
            return clone(value)
        return [_pruned(schema.items, element, f"{path}[{i}]", sink) for i, element in enumerate(value)]
    return value


def _embedded_metadata(value: Any, _owner: Obj, path: str, sink: _Sink) -> Any:
    try:
        read, strange = _read_metadata(sink.metadata, value, f"{path}.metadata")
    except TypeMismatch as error:
        raise BadMetadata(f"{path}.metadata: Invalid value: {encode(value)}: {error}") from None
    sink.embedded += strange
    return read


def fill_in(schema: Structural, value: Any) -> None:
    """Put in defaults where nothing (or a null that may not be) stands; drop such nulls where there is no default."""
    if isinstance(value, dict):
        for name, child in schema.properties.items():
            if child.has_default and (
                name not in value
                or (value[name] is None and not child.nullable and child.default is not None)
            ):
                value[name] = clone(child.default)
        for name in list(value):
            beneath = schema.properties.get(name)
            if beneath is None and isinstance(schema.additional, Structural):
                beneath = schema.additional
            if beneath is None:
                continue
            if value[name] is None and not beneath.nullable:
                if beneath.has_default:
                    value[name] = clone(beneath.default)
                elif name in schema.properties:
                    del value[name]
                    continue
            if isinstance(value[name], dict | list):
                fill_in(beneath, value[name])
    elif isinstance(value, list) and schema.items is not None:
        for index, element in enumerate(value):
            if element is None and not schema.items.nullable and schema.items.has_default:
                value[index] = clone(schema.items.default)
            if isinstance(value[index], dict | list):
                fill_in(schema.items, value[index])
