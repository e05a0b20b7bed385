"""Structural schemas: the openAPIV3Schema of a version, compiled once for pruning, defaulting, validation and ownership.

Upstream: k8s.io/apiextensions-apiserver/pkg/apiserver/schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.pocket.api.nodes import Node

Obj = dict[str, Any]


@dataclass(eq=False)
class Structural:
    """One place of a schema.

    `additional` is the schema of a map's values, or True where any value may be; `preserve` keeps unknown fields;
    `embedded` says that a whole object (apiVersion, kind, metadata) is here. `raw` is the schema as it was written.
    """

    raw: Mapping[str, Any]
    type: str = ""
    properties: dict[str, Structural] = field(default_factory=dict)
    items: Structural | None = None
    additional: Structural | bool | None = None
    nullable: bool = False
    preserve: bool = False
    embedded: bool = False
    has_default: bool = False
    defaults_within: bool = False
    """Whether there is a default here or beneath."""
    default: Any = None
    rules_within: bool = False
    """Whether there are CEL rules here or beneath."""
    list_type: str = ""
    map_keys: tuple[str, ...] = ()


def compile_schema(raw: Mapping[str, Any]) -> Structural:
    """The compiled form of a schema, which is taken to be structural."""
    properties = {name: compile_schema(value) for name, value in (raw.get("properties") or {}).items()}
    items = raw.get("items")
    extra = raw.get("additionalProperties")
    compiled = Structural(
        raw=raw,
        type=raw.get("type", ""),
        properties=properties,
        items=compile_schema(items) if isinstance(items, dict) else None,
        additional=compile_schema(extra) if isinstance(extra, dict) else extra,
        nullable=bool(raw.get("nullable")),
        preserve=bool(raw.get("x-kubernetes-preserve-unknown-fields")),
        embedded=bool(raw.get("x-kubernetes-embedded-resource")),
        has_default="default" in raw,
        default=raw.get("default"),
        list_type=raw.get("x-kubernetes-list-type", ""),
        map_keys=tuple(raw.get("x-kubernetes-list-map-keys") or ()),
    )
    beneath = [*properties.values()]
    beneath += [one for one in (compiled.items, compiled.additional) if isinstance(one, Structural)]
    compiled.defaults_within = compiled.has_default or any(one.defaults_within for one in beneath)
    own_rules = bool(raw.get("x-kubernetes-validations"))
    compiled.rules_within = own_rules or any(one.rules_within for one in beneath)
    return compiled


_SCALARS = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean"}


def node_of(schema: Structural) -> Node:
    """The schema as field ownership and server-side apply go along it."""
    raw = schema.raw
    atomic = raw.get("x-kubernetes-map-type") == "atomic"
    if raw.get("x-kubernetes-int-or-string"):
        return Node("int-or-string")
    if schema.type == "array":
        item = node_of(schema.items) if schema.items is not None else None
        return Node("list", item=item, list_type=schema.list_type, map_keys=schema.map_keys)
    if schema.type == "object" and schema.additional and not schema.properties:
        item = node_of(schema.additional) if isinstance(schema.additional, Structural) else None
        return Node("map", item=item, atomic=atomic)
    if schema.type in _SCALARS:
        return Node(_SCALARS[schema.type])
    # What is not described is still owned field by field: it has no node.
    node = Node("struct", atomic=atomic, optional=True, open=schema.preserve)
    for name, child in schema.properties.items():
        node.properties[name] = node_of(child)
        if child.has_default:
            node.defaults[name] = child.default
    return node
