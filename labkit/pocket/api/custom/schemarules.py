"""Whether a schema is structural, and makes sense: what is refused in a CustomResourceDefinition's openAPIV3Schema.

Upstream: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/validation.go (structural) and
pkg/apis/apiextensions/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from labkit.pocket.api.custom.cel import compile_rule
from labkit.pocket.api.custom.celtokens import CelMistake
from labkit.pocket.api.custom.validation import validate
from labkit.pocket.api.fields import FieldError, forbidden, invalid, not_supported, required

Schema = Mapping[str, Any]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_JUNCTORS = ("allOf", "anyOf", "oneOf")
# What may say something only where the structure is described, not inside of allOf and its like.
_STRUCTURE = ("description", "type", "default", "title", "nullable", "additionalProperties")


def schema_errors(schema: Schema, field: str) -> list[FieldError]:
    """The errors of a version's schema; `field` is where it stands."""
    if not schema.get("type"):
        return [required(f"{field}.type", "must not be empty at the root")]
    errors = list(_structural(schema, field, root=True)) + list(_sense(schema, field))
    if schema["type"] != "object":
        errors.append(invalid(f"{field}.type", schema["type"], "must be object at the root"))
    return errors or list(_defaults(schema, field))


def _children(schema: Schema, field: str) -> Iterator[tuple[Schema, str]]:
    for name in sorted(schema.get("properties") or {}):
        yield schema["properties"][name], f"{field}.properties[{name}]"
    if isinstance(schema.get("items"), Mapping):
        yield schema["items"], f"{field}.items"
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield schema["additionalProperties"], f"{field}.additionalProperties"


def _structural(schema: Schema, field: str, *, root: bool = False) -> Iterator[FieldError]:
    kind = schema.get("type", "")
    preserve = schema.get("x-kubernetes-preserve-unknown-fields")
    int_or_string = schema.get("x-kubernetes-int-or-string")
    if not kind and not int_or_string and not preserve:
        where = "must not be empty for specified array items" if field.endswith(".items") else ""
        yield required(f"{field}.type", where or "must not be empty for specified object fields")
    if kind == "array" and schema.get("items") is None:
        yield required(f"{field}.items", "must be specified")
    if schema.get("pattern") and not _compiles(schema["pattern"]):
        problem = _why_not(schema["pattern"])
        words = f"must be a valid regular expression, but isn't: {problem}"
        yield invalid(f"{field}.pattern", schema["pattern"], words)
    if schema.get("x-kubernetes-embedded-resource") and kind != "object":
        yield invalid(f"{field}.type", kind, "must be object if x-kubernetes-embedded-resource is true")
    if root or schema.get("x-kubernetes-embedded-resource"):
        properties = schema.get("properties") or {}
        metadata = properties.get("metadata")
        said = set(metadata or ()) - {"type", "description", "properties"}
        if said or set((metadata or {}).get("properties") or ()) - {"name", "generateName"}:
            yield _metadata_only(field)
        for name in ("apiVersion", "kind"):
            if name in properties and properties[name].get("type") != "string":
                yield invalid(
                    f"{field}.properties[{name}].type", properties[name].get("type", ""), "must be string"
                )
        if metadata is not None and metadata.get("type") != "object":
            yield invalid(f"{field}.properties[metadata].type", metadata.get("type", ""), "must be object")
    for word in _JUNCTORS:
        for index, one in enumerate(schema.get(word) or ()):
            yield from _inside(one, f"{field}.{word}[{index}]", int_or_string=bool(int_or_string))
    if isinstance(schema.get("not"), Mapping):
        yield from _inside(schema["not"], f"{field}.not", int_or_string=False)
    for child, at in _children(schema, field):
        yield from _structural(child, at)


def _metadata_only(field: str) -> FieldError:
    return forbidden(
        f"{field}.properties[metadata]",
        "must not specify anything other than name and generateName, but metadata is implicitly specified",
    )


def _inside(schema: Schema, field: str, *, int_or_string: bool) -> Iterator[FieldError]:
    """What is within allOf and its like describes values, not structure."""
    for word in _STRUCTURE:
        if schema.get(word) and not (word == "type" and int_or_string):
            yield forbidden(f"{field}.{word}", "must be empty to be structural")
    for child, at in _children(schema, field):
        yield from _inside(child, at, int_or_string=False)


def _sense(schema: Schema, field: str) -> Iterator[FieldError]:
    kind = schema.get("type", "")
    if kind and kind not in _TYPES:
        yield not_supported(f"{field}.type", kind, _TYPES)
    if schema.get("uniqueItems"):
        words = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{field}.uniqueItems", words)
    if schema.get("properties") and schema.get("additionalProperties") not in (None, True):
        words = "additionalProperties and properties are mutual exclusive"
        yield forbidden(f"{field}.additionalProperties", words)
    if schema.get("additionalProperties") is False:
        yield forbidden(f"{field}.additionalProperties", "additionalProperties cannot be set to false")
    for word in ("$ref", "definitions", "dependencies", "patternProperties", "id", "additionalItems"):
        if schema.get(word):
            yield forbidden(f"{field}.{word}", f"{word} is not supported")
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        yield from _rule(rule, f"{field}.x-kubernetes-validations[{index}]")
    yield from _list_sense(schema, field)
    map_type = schema.get("x-kubernetes-map-type")
    if map_type and map_type not in ("atomic", "granular"):
        yield not_supported(f"{field}.x-kubernetes-map-type", map_type, ["atomic", "granular"])
    for child, at in _children(schema, field):
        yield from _sense(child, at)


def _rule(rule: Any, field: str) -> Iterator[FieldError]:
    text = rule.get("rule", "")
    if not text.strip():
        yield required(f"{field}.rule", "rule is not specified")
        return
    try:
        compile_rule(text)
    except CelMistake as mistake:
        if "Syntax error" in str(mistake):  # what is only not known here may be known upstream
            yield invalid(f"{field}.rule", text, f"compilation failed: ERROR: <input>: {mistake}")


def _list_sense(schema: Schema, field: str) -> Iterator[FieldError]:
    list_type = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    item = schema.get("items")
    if not list_type:
        if keys:
            words = "must be map if x-kubernetes-list-map-keys is non-empty"
            yield required(f"{field}.x-kubernetes-list-type", words)
        return
    if list_type not in ("atomic", "set", "map"):
        yield not_supported(f"{field}.x-kubernetes-list-type", list_type, ["atomic", "map", "set"])
        return
    if schema.get("type") != "array":
        words = "must be array if x-kubernetes-list-type is specified"
        yield invalid(f"{field}.type", schema.get("type", ""), words)
    if list_type != "map" or not isinstance(item, Mapping):
        return
    if not keys:
        words = "must not be empty if x-kubernetes-list-type is map"
        yield required(f"{field}.x-kubernetes-list-map-keys", words)
    if item.get("type") != "object":
        words = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{field}.items.type", item.get("type", ""), words)
        return
    properties = item.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in properties:
            words = "entries must all be names of item properties"
            yield invalid(f"{field}.x-kubernetes-list-map-keys[{index}]", key, words)
        elif "default" not in properties[key] and key not in (item.get("required") or ()):
            words = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            yield required(f"{field}.items.properties[{key}].default", words)


def _defaults(schema: Schema, field: str) -> Iterator[FieldError]:
    if schema.get("default") is not None:
        yield from validate(schema, schema["default"], f"{field}.default")
    for child, at in _children(schema, field):
        yield from _defaults(child, at)


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern.replace(r"\z", r"\Z"))
    except re.error:
        return False
    return True


def _why_not(pattern: str) -> str:
    """regexp/syntax's sentence, for the commonest mistakes."""
    try:
        re.compile(pattern)
    except re.error as error:
        if "unterminated subpattern" in error.msg:
            return f"error parsing regexp: missing closing ): `{pattern}`"
        if "unterminated character set" in error.msg:
            return f"error parsing regexp: missing closing ]: `{pattern[error.pos or 0 :]}`"
        return f"error parsing regexp: {error.msg}: `{pattern}`"
    return ""
