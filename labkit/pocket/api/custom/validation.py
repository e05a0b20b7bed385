"""What is wrong with an object by its schema, in the words of k8s.io/kube-openapi's validators.

Upstream: pkg/validation/validate of k8s.io/kube-openapi, and the list types and embedded objects of
k8s.io/apiextensions-apiserver/pkg/apiserver/schema/{listtype,objectmeta}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from labkit.pocket.api.custom.formats import CHECKS, fits
from labkit.pocket.api.custom.structural import Structural
from labkit.pocket.api.fields import (
    ErrorType,
    FieldError,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)

Schema = Mapping[str, Any]
Obj = dict[str, Any]

_NOWHERE = "<nil>"
"""How a real server names the field of a failed oneOf and its like."""


def validate(schema: Schema, value: Any, path: str, shown: str | None = None) -> list[FieldError]:
    """The errors of a value at `path`; `shown` is the path in the sentences, where it differs."""
    return list(_errors(schema, value, path, path if shown is None else shown))


def _errors(schema: Schema, value: Any, path: str, shown: str) -> Iterator[FieldError]:
    if value is None and schema.get("nullable"):
        return
    yield from _type_errors(schema, value, path, shown)
    if isinstance(value, str):
        yield from _string_errors(schema, value, path, shown)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_errors(schema, value, path, shown)
    elif isinstance(value, list):
        yield from _list_errors(schema, value, path, shown)
    if "enum" in schema and not any(_equal(value, allowed) for allowed in schema["enum"]):
        yield _enum_error(path, value, schema["enum"])
    if isinstance(value, dict):
        yield from _object_errors(schema, value, path, shown)
    yield from _junctors(schema, value, path, shown)


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other and isinstance(one, bool) == isinstance(other, bool))


def _enum_error(path: str, value: Any, allowed: Sequence[Any]) -> FieldError:
    return not_supported(path, value, [str(one) for one in allowed])


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


_GO_FORMATS = {"integer": "int64", "number": "float64"}


def _type_errors(schema: Schema, value: Any, path: str, shown: str) -> Iterator[FieldError]:
    wanted = schema.get("type") or ""
    types = ["integer", "string"] if schema.get("x-kubernetes-int-or-string") and not wanted else [wanted]
    if types == [""]:
        return
    found = _type_name(value)
    form = schema.get("format") or ""
    numeric = "number" in types or "integer" in types
    fits_type = (
        found in types
        or (found == "integer" and "number" in types)
        or (isinstance(value, float) and value.is_integer() and "integer" in types)
    )
    if form and not numeric:
        if isinstance(value, str | list):
            return  # the format says it
        if not fits_type and form in CHECKS:
            yield _mistyped(path, shown, form, _GO_FORMATS.get(found, ""))
            return
    if not fits_type:
        yield _mistyped(path, shown, ",".join(types), found)


def _mistyped(path: str, shown: str, wanted: str, found: str) -> FieldError:
    return FieldError(
        ErrorType.TYPE_INVALID, path, found, f'{shown} in body must be of type {wanted}: "{found}"'
    )


def _string_errors(schema: Schema, value: str, path: str, shown: str) -> Iterator[FieldError]:
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield too_long(path, schema["maxLength"])
    elif "minLength" in schema and len(value) < schema["minLength"]:
        yield invalid(path, value, f"{shown} in body should be at least {schema['minLength']} chars long")
    elif schema.get("pattern") and not go_pattern(schema["pattern"]).search(value):
        yield invalid(path, value, f"{shown} in body should match '{schema['pattern']}'")
    form = schema.get("format") or ""
    if form and not fits(form, value):
        yield FieldError(
            ErrorType.TYPE_INVALID, path, value, f'{shown} in body must be of type {form}: "{value}"'
        )


@lru_cache(maxsize=1000)
def go_pattern(text: str) -> re.Pattern[str]:
    r"""Go's regular expressions for Python: `\z` is `\Z`, and classes such as [[:alpha:]] are spelled out."""
    for name, characters in (
        ("alpha", "A-Za-z"),
        ("alnum", "A-Za-z0-9"),
        ("digit", "0-9"),
        ("lower", "a-z"),
        ("upper", "A-Z"),
        ("space", r"\s"),
        ("xdigit", "0-9A-Fa-f"),
    ):
        text = text.replace(f"[:{name}:]", characters)
    text = re.sub(r"(?<!\\)\$$", r"\\Z", text.replace(r"\z", r"\Z"))
    try:
        return re.compile(text)
    except re.error:  # what only Go understands refuses nothing
        return re.compile("")


def _number_errors(schema: Schema, value: float, path: str, shown: str) -> Iterator[FieldError]:
    step = schema.get("multipleOf")
    if step:
        if value == 0:  # upstream takes the value for the factor here
            yield invalid(path, value, f"factor MultipleOf declared for {shown} must be positive: {value}")
        elif not (value / step).is_integer():
            yield invalid(path, value, f"{shown} in body should be a multiple of {step}")
    highest, lowest = schema.get("maximum"), schema.get("minimum")
    if highest is not None:
        if schema.get("exclusiveMaximum"):
            if value >= highest:
                yield invalid(path, value, f"{shown} in body should be less than {highest}")
        elif value > highest:
            yield invalid(path, value, f"{shown} in body should be less than or equal to {highest}")
    if lowest is not None:
        if schema.get("exclusiveMinimum"):
            if value <= lowest:
                yield invalid(path, value, f"{shown} in body should be greater than {lowest}")
        elif value < lowest:
            yield invalid(path, value, f"{shown} in body should be greater than or equal to {lowest}")


def _list_errors(schema: Schema, value: list[Any], path: str, shown: str) -> Iterator[FieldError]:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        yield invalid(path, len(value), f"{shown} in body should have at least {least} items")
    if most is not None and len(value) > most:
        yield too_many(path, len(value), most)
    if schema.get("uniqueItems") and any(value.index(item) != index for index, item in enumerate(value)):
        yield duplicate(path, value)
    item = schema.get("items")
    if isinstance(item, Mapping):
        for index, element in enumerate(value):
            yield from _errors(item, element, f"{path}[{index}]", f"{shown}[{index}]")


def _object_errors(schema: Schema, value: Obj, path: str, shown: str) -> Iterator[FieldError]:
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    if least is not None and len(value) < least:
        yield invalid(path, len(value), f"{shown} in body should have at least {least} properties")
    if most is not None and len(value) > most:
        yield too_many(path, len(value), most)
    for name in schema.get("required") or ():
        if name not in value:
            yield required(_join(path, name))
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    for name, element in value.items():
        child = properties.get(name, extra if isinstance(extra, Mapping) else None)
        if child is not None:
            yield from _errors(child, element, _join(path, name), _join(shown, name))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _junctors(schema: Schema, value: Any, path: str, shown: str) -> Iterator[FieldError]:
    def tried(schemas: Sequence[Schema]) -> list[list[FieldError]]:
        return [list(_errors(one, value, path, shown)) for one in schemas]

    def said(words: str) -> FieldError:
        return invalid(_NOWHERE, "", f'"{shown}" {words}')

    if schema.get("anyOf"):
        results = tried(schema["anyOf"])
        if all(results):
            yield said("must validate at least one schema (anyOf)")
            yield from min(results, key=len)
    if schema.get("oneOf"):
        results = tried(schema["oneOf"])
        right = sum(1 for errors in results if not errors)
        if not right:
            yield said("must validate one and only one schema (oneOf). Found none valid")
            yield from min(results, key=len)
        elif right > 1:
            yield said(f"must validate one and only one schema (oneOf). Found {right} valid alternatives")
    if schema.get("allOf"):
        results = tried(schema["allOf"])
        wrong = [errors for errors in results if errors]
        if wrong:
            if len(wrong) == len(results):
                yield said("must validate all the schemas (allOf). None validated")
            else:
                yield said("must validate all the schemas (allOf)")
            for errors in wrong:
                yield from errors
    if schema.get("not") and not list(_errors(schema["not"], value, path, shown)):
        yield said("must not validate the schema (not)")


def list_errors(schema: Structural, value: Any, path: str) -> Iterator[FieldError]:
    """Items that are twice in lists that are sets or maps."""
    if isinstance(value, dict):
        for name, element in value.items():
            child = schema.properties.get(name)
            if child is None and isinstance(schema.additional, Structural):
                child = schema.additional
            if child is not None:
                yield from list_errors(child, element, _join(path, name))
    elif isinstance(value, list) and schema.items is not None:
        if schema.list_type in ("set", "map"):
            seen: list[Any] = []
            for index, element in enumerate(value):
                key = element
                if schema.list_type == "map":
                    if not isinstance(element, dict):
                        continue
                    key = {name: element[name] for name in schema.map_keys if name in element}
                if key in seen:
                    yield duplicate(f"{path}[{index}]", key)
                seen.append(key)
        for index, element in enumerate(value):
            yield from list_errors(schema.items, element, f"{path}[{index}]")


def embedded_errors(schema: Structural, value: Any, path: str) -> Iterator[FieldError]:
    """Embedded objects that do not say what they are."""
    if isinstance(value, dict):
        if schema.embedded:
            for name in ("apiVersion", "kind"):
                if not isinstance(value.get(name), str) or not value[name]:
                    yield required(_join(path, name))
        for name, element in value.items():
            child = schema.properties.get(name)
            if child is None and isinstance(schema.additional, Structural):
                child = schema.additional
            if child is not None:
                yield from embedded_errors(child, element, _join(path, name))
    elif isinstance(value, list) and schema.items is not None:
        for index, element in enumerate(value):
            yield from embedded_errors(schema.items, element, f"{path}[{index}]")
