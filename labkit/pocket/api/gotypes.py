"""What OpenAPI does not tell of the Go types behind the schemas, where it shows in what the server answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labkit.pocket.api.registry import package_data

if TYPE_CHECKING:
    from labkit.pocket.api.nodes import Node


def fields_left_out_empty(definition: str) -> frozenset[str] | None:
    """The fields of a schema's Go struct that are left out when empty: plain ones with omitempty.

    `definition` is the schema's name, such as io.k8s.api.core.v1.Container; None when the struct is not known.
    """
    messages: dict[str, list[list[Any]]] = package_data("protobuf")["messages"]
    if _go_name(definition) not in messages:
        return None
    return frozenset(_left_out(messages, _go_name(definition)))


def _left_out(messages: dict[str, list[list[Any]]], name: str) -> set[str]:
    found: set[str] = set()
    for _, field, kind, kept, *_ in messages[name]:
        if not field and isinstance(kind, list):
            found |= _left_out(messages, kind[0])
        elif not kept:
            found.add(field)
    return found


def named_types(definition: str) -> dict[str, str]:
    """The fields of a schema's Go struct whose type is a named string, such as v1.Protocol."""
    fields: list[list[Any]] = package_data("protobuf")["messages"].get(_go_name(definition)) or []
    return {field[1]: field[4] for field in fields if len(field) > 4}


def _go_name(definition: str) -> str:
    """io.k8s.api.core.v1.Pod -> k8s.io/api/core/v1.Pod"""
    parts = definition.split(".")
    if parts[:3] == ["io", "k8s", "api"]:
        return "k8s.io/api/" + "/".join(parts[3:-1]) + "." + parts[-1]
    if parts[:3] == ["io", "k8s", "apimachinery"]:
        return "k8s.io/apimachinery/" + "/".join(parts[3:-1]) + "." + parts[-1]
    if parts[:3] == ["io", "k8s", "apiextensions-apiserver"]:
        return "k8s.io/apiextensions-apiserver/" + "/".join(parts[3:-1]) + "." + parts[-1]
    return definition


_PACKAGES = {
    "Quantity": "resource.Quantity",
    "IntOrString": "int32",
    "ObjectMeta": "v1.ObjectMeta",
}


def go_type(node: Node) -> str:
    """The Go type of a field, as encoding/json's messages name it."""
    if node.shape == "struct":
        return _PACKAGES.get(node.type_name, f"v1.{node.type_name}")
    if node.shape == "list":
        return "[]" + (go_type(node.item) if node.item else "interface {}")
    if node.shape == "map":
        return "map[string]" + (go_type(node.item) if node.item else "interface {}")
    if node.shape == "integer":
        return node.format or "int64"
    return {
        "boolean": "bool",
        "bytes": "[]uint8",
        "number": "float64",
        "int-or-string": "int32",
    }.get(node.shape, "string")
