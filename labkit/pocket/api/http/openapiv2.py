"""OpenAPI v2, as JSON and in its own protobuf form.

kubectl asks for the latter when OpenAPI v3 has nothing of a kind: to find out that nobody knows the kind. The
numbers are those of gnostic's openapiv2.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Obj = Mapping[str, Any]

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
PREFIX = "#/definitions/"


def swagger(definitions: Obj, info: Obj) -> dict[str, Any]:
    """The document with the definitions, and no operations."""
    return {
        "swagger": "2.0",
        "info": dict(info),
        "paths": {},
        "definitions": {name: _schema(schema) for name, schema in definitions.items()},
    }


def _schema(schema: Obj) -> dict[str, Any]:
    """An OpenAPI v3 schema as v2 has it."""
    result = {key: value for key, value in schema.items() if key not in ("allOf", "oneOf", "default", "enum")}
    reference = schema.get("$ref") or next((s["$ref"] for s in schema.get("allOf", ()) if "$ref" in s), None)
    if reference is not None:
        result["$ref"] = PREFIX + reference.rpartition("/")[2]
    if "oneOf" in schema:  # IntOrString and Quantity
        result["type"] = "string"
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            result[part] = _schema(schema[part])
    if "properties" in schema:
        result["properties"] = {name: _schema(value) for name, value in schema["properties"].items()}
    return result


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _field(number: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _named(number: int, pairs: Iterable[tuple[str, bytes]]) -> bytes:
    """Repeated messages of a name (1) and a value (2)."""
    return b"".join(_field(number, _field(1, name) + _field(2, value)) for name, value in pairs)


def to_protobuf(document: Obj) -> bytes:
    """A document of `swagger` in protobuf form."""
    info = document["info"]
    definitions = _named(1, ((name, _encoded(schema)) for name, schema in document["definitions"].items()))
    return b"".join(
        (
            _field(1, document["swagger"]),
            _field(2, _field(1, info["title"]) + _field(2, info["version"])),
            _field(8, b""),
            _field(9, definitions),
        )
    )


def _encoded(schema: Obj) -> bytes:
    import yaml  # only this needs it

    parts = []
    for key, number in (("$ref", 1), ("format", 2), ("description", 4)):
        if schema.get(key):
            parts.append(_field(number, schema[key]))
    parts += [_field(19, name) for name in schema.get("required", ())]
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        parts.append(_field(21, _field(1, _encoded(extra))))
    if schema.get("type"):
        parts.append(_field(22, _field(1, schema["type"])))
    if "items" in schema:
        parts.append(_field(23, _field(1, _encoded(schema["items"]))))
    if "properties" in schema:
        properties = ((name, _encoded(value)) for name, value in schema["properties"].items())
        parts.append(_field(25, _named(1, properties)))
    extensions = (
        (key, _field(2, yaml.safe_dump(value, default_flow_style=False)))
        for key, value in schema.items()
        if key.startswith("x-")
    )
    parts.append(_named(31, extensions))
    return b"".join(parts)
