"""Structural validation: an object is read by its OpenAPI schema, as the real server reads it into a Go struct.

Reading copies. Unknown fields are dropped and reported as fieldValidation wants it; a value of a wrong type is
refused in encoding/json's words; what a Go struct does not write out (null, empty lists and maps, the zero of a
plain field) is left out, so that what is stored is what a real server would show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from labkit.pocket.api.errors import ApiError, bad_request
from labkit.pocket.api.gotypes import fields_left_out_empty, go_type, named_types
from labkit.pocket.api.kinds import quantity
from labkit.pocket.api.registry import package_data
from labkit.pocket.api.request import Options

Obj = dict[str, Any]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_SPECIAL = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}


@dataclass(eq=False)
class Node:
    """A schema made ready for walking.

    `shape` is struct, map, list, any, string, bytes, integer, number, boolean, int-or-string, quantity or time.
    `merge_key`, `strategy`, `list_type` and `map_keys` are the x-kubernetes-* extensions of the place where it
    stands; `atomic` says that a struct or map is owned as a whole. `omitted` are a struct's fields that Go
    leaves out when they are empty; None where that is not known. `named` are those with a string type of their own.
    """

    shape: str
    type_name: str = ""
    format: str = ""
    properties: dict[str, Node] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    item: Node | None = None
    merge_key: str = ""
    strategy: tuple[str, ...] = ()
    list_type: str = ""
    map_keys: tuple[str, ...] = ()
    atomic: bool = False
    defaults: dict[str, Any] = field(default_factory=dict)
    omitted: frozenset[str] | None = None
    named: dict[str, str] = field(default_factory=dict)


class _TypeMismatch(Exception):  # noqa: N818 - internal signal
    pass


class Schemas:
    """The schemas of all kinds, by name and by group, version and kind; compiled when first needed."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.definitions = definitions
        self._nodes: dict[str, Node] = {}
        self._kinds: dict[tuple[str, str, str], str] = {}
        for name, schema in definitions.items():
            gvks = schema.get("x-kubernetes-group-version-kind", ())
            if len(gvks) == 1:
                gvk = gvks[0]
                self._kinds[gvk["group"], gvk["version"], gvk["kind"]] = name

    @classmethod
    @cache
    def builtin(cls) -> Schemas:
        """Those of the package data."""
        return cls(package_data("definitions"))

    def kind(self, group: str, version: str, kind: str) -> Node | None:
        """The compiled schema of a kind, or None when there is none."""
        name = self._kinds.get((group, version, kind))
        return None if name is None else self.node(name)

    def node(self, name: str) -> Node:
        """The compiled schema of a definition."""
        found = self._nodes.get(name)
        if found is None:
            # Entered before its fields are read: JSONSchemaProps and its like contain themselves.
            found = self._nodes[name] = Node(_SPECIAL.get(name, "struct"), type_name=name.rpartition(".")[2])
            if found.shape == "struct":
                self._fill(found, self.definitions[name])
                found.omitted = fields_left_out_empty(name)
                found.named = named_types(name)
        return found

    def _fill(self, node: Node, schema: Mapping[str, Any]) -> None:
        properties = schema.get("properties")
        node.atomic = schema.get("x-kubernetes-map-type") == "atomic"
        if properties is not None:
            node.required = frozenset(schema.get("required", ()))
            for key, value in properties.items():
                node.properties[key] = self._compile(value)
                if "default" in value:
                    node.defaults[key] = value["default"]
        elif schema.get("type") == "object" and "additionalProperties" in schema:
            node.shape = "map"
            node.item = self._compile(schema["additionalProperties"])
        elif schema.get("type") in (None, "object"):
            # A struct without fields (emptyDir: {} has some; SleepAction's like have none) takes anything.
            node.shape = "any" if not schema.get("x-kubernetes-group-version-kind") else "struct"
        else:
            node.shape = _scalar(schema)

    def _compile(self, schema: Mapping[str, Any]) -> Node:
        reference = schema.get("$ref") or next(
            (s["$ref"] for s in schema.get("allOf", ()) if "$ref" in s), None
        )
        extensions: dict[str, Any] = {
            "merge_key": schema.get("x-kubernetes-patch-merge-key", ""),
            "strategy": tuple(s for s in schema.get("x-kubernetes-patch-strategy", "").split(",") if s),
            "list_type": schema.get("x-kubernetes-list-type", ""),
            "map_keys": tuple(schema.get("x-kubernetes-list-map-keys", ())),
        }
        if reference is not None:
            target = self.node(reference.rpartition("/")[2])
            atomic = schema.get("x-kubernetes-map-type") == "atomic"
            if not any(extensions.values()) and not atomic:
                return target
            # The same fields under another name tag; properties are shared, so recursion is safe.
            return Node(
                target.shape,
                target.type_name,
                target.format,
                target.properties,
                target.required,
                target.item,
                atomic=atomic or target.atomic,
                defaults=target.defaults,
                omitted=target.omitted,
                **extensions,
            )
        kind = schema.get("type")
        if kind == "array":
            return Node("list", item=self._compile(schema["items"]), **extensions)
        if kind == "object" and "additionalProperties" in schema:
            return Node(
                "map",
                item=self._compile(schema["additionalProperties"]),
                atomic=schema.get("x-kubernetes-map-type") == "atomic",
                **extensions,
            )
        if kind == "object" and "properties" in schema:
            node = Node("struct", **extensions)
            self._fill(node, schema)
            return node
        if kind is None or kind == "object":
            return Node("any", **extensions)
        return Node(_scalar(schema), format=schema.get("format", ""), **extensions)

    def decode(self, group: str, version: str, kind: str, obj: Any, options: Options) -> Obj:
        """Read an object of a kind: a copy, pruned. Raises ApiError (400) for wrong types and, under
        fieldValidation=Strict, for unknown fields; under Warn these become warnings of `options`."""
        if not isinstance(obj, dict):
            raise bad_request(
                f"{kind} in version {version!r} cannot be handled as a {kind}: not a JSON object"
            )
        node = self.kind(group, version, kind)
        reader = _Reader()
        # A kind without a schema is taken as it is, apart from its metadata.
        node = node or Node("any")
        try:
            decoded: Obj = reader.read(node, obj, "", kind, "") or {}
        except _TypeMismatch as error:
            raise _unreadable(kind, version, str(error)) from None
        if reader.unknown:
            complaints = ", ".join(f'unknown field "{path}"' for path in reader.unknown)
            if options.validation == "Strict":
                raise _unreadable(kind, version, f"strict decoding error: {complaints}")
            if options.validation == "Warn":
                for path in reader.unknown:
                    options.warn(f'unknown field "{path}"')
        return decoded


def _unreadable(kind: str, version: str, why: str) -> ApiError:
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


def _scalar(schema: Mapping[str, Any]) -> str:
    kind = str(schema.get("type"))
    if kind == "string":
        return {"byte": "bytes", "date-time": "time", "int-or-string": "int-or-string"}.get(
            str(schema.get("format")), "string"
        )
    return kind


_DROP = object()


class _Reader:
    """One pass over one object."""

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def read(self, node: Node, value: Any, path: str, owner: str, json_path: str) -> Any:
        """A copy of `value`, or None when the field is to be left out.

        `path` is the field's path with indices; `owner` the Go struct it is in; `json_path` the path without
        indices, as encoding/json names fields.
        """
        if value is None:
            return None
        shape = node.shape
        if shape == "struct":
            return self._struct(node, value, path, owner, json_path)
        if shape == "string":
            if not isinstance(value, str):
                raise self._mismatch(value, "string", owner, json_path)
            return value
        if shape == "list":
            if not isinstance(value, list):
                raise self._mismatch(value, go_type(node), owner, json_path)
            item = node.item
            assert item is not None
            read = self.read
            return [
                _zero(item) if element is None else read(item, element, f"{path}[{index}]", owner, json_path)
                for index, element in enumerate(value)
            ]
        if shape == "map":
            if not isinstance(value, dict):
                raise self._mismatch(value, go_type(node), owner, json_path)
            item = node.item
            assert item is not None
            result = {}
            for key, element in value.items():
                read_element = self.read(item, element, f"{path}.{key}", owner, json_path)
                result[key] = _zero(item) if read_element is None else read_element
            return result
        if shape == "any":
            return _copy_any(value)
        return self._scalar(node, value, owner, json_path)

    def _struct(self, node: Node, value: Any, path: str, owner: str, json_path: str) -> Obj:
        if not isinstance(value, dict):
            raise self._mismatch(value, go_type(node), owner, json_path)
        result: Obj = {}
        name = node.type_name or owner
        prefix = f"{path}." if path else ""
        json_prefix = f"{json_path}." if json_path else ""
        properties = node.properties
        for key, element in value.items():
            child = properties.get(key)
            if child is None:
                self.unknown.append(prefix + key)
                continue
            try:
                read = self.read(child, element, prefix + key, name, json_prefix + key)
            except _TypeMismatch as error:
                if key in node.named and str(error).endswith(
                    (f".{key} of type string", f".{key} of type []string")
                ):
                    wanted = node.named[key]
                    if str(error).endswith("of type string"):
                        wanted = wanted.removeprefix("[]")
                    raise _TypeMismatch(str(error).rpartition(" ")[0] + " " + wanted) from None
                raise
            if read is None or (not read and self._is_left_out(node, child, key, read)):
                continue
            result[key] = read
        return result

    @staticmethod
    def _is_left_out(node: Node, child: Node, key: str, value: Any) -> bool:
        """Whether Go's `omitempty` leaves out this empty value."""
        if child.shape in ("struct", "any") and isinstance(value, dict):
            return False  # an empty struct says something: podSelector: {}
        if node.omitted is not None:
            return key in node.omitted
        return key not in node.required and isinstance(value, list | dict)

    def _scalar(self, node: Node, value: Any, owner: str, json_path: str) -> Any:
        shape = node.shape
        if shape == "integer":
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if not isinstance(value, int) or isinstance(value, bool):
                raise self._mismatch(value, go_type(node), owner, json_path)
            bits = 31 if node.format == "int32" else 63
            if not -(1 << bits) <= value < (1 << bits):
                raise self._mismatch(value, go_type(node), owner, json_path)
        elif shape == "boolean":
            if not isinstance(value, bool):
                raise self._mismatch(value, "bool", owner, json_path)
        elif shape == "number":
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise self._mismatch(value, "float64", owner, json_path)
        elif shape == "int-or-string":
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise self._mismatch(value, go_type(node), owner, json_path)
        elif shape == "quantity":
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise self._mismatch(value, "string", owner, json_path)
            text = str(value)
            canonical = quantity.canonical(text)
            if canonical is None:
                raise _TypeMismatch(f"quantities must match the regular expression '{quantity.PATTERN}'")
            return canonical
        elif shape == "time":
            if not isinstance(value, str):
                raise self._mismatch(value, "string", owner, json_path)
            if value and not _TIME.fullmatch(value):
                raise _TypeMismatch(
                    f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"'
                )
        elif shape == "bytes":
            if not isinstance(value, str):
                raise self._mismatch(value, "[]uint8", owner, json_path)
            position = _bad_base64(value)
            if position is not None:
                raise _TypeMismatch(f"illegal base64 data at input byte {position}")
        return value

    @staticmethod
    def _mismatch(value: Any, wanted: str, owner: str, json_path: str) -> _TypeMismatch:
        if isinstance(value, bool):
            found = "bool"
        elif isinstance(value, int | float):
            # encoding/json names the number when it is a number of the wrong kind, and only then.
            found = f"number {value}" if wanted.startswith(("int", "uint")) else "number"
        elif isinstance(value, str):
            found = "string"
        else:
            found = "array" if isinstance(value, list) else "object"
        return _TypeMismatch(
            f"json: cannot unmarshal {found} into Go struct field {owner}.{json_path} of type {wanted}"
        )


def _zero(node: Node) -> Any:
    """What Go makes of null where a plain value must be."""
    return {"struct": {}, "map": {}, "list": [], "integer": 0, "boolean": False, "number": 0}.get(
        node.shape, ""
    )


def _copy_any(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy_any(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy_any(item) for item in value]
    return value


_BASE64 = re.compile(r"[A-Za-z0-9+/]*")


def _bad_base64(text: str) -> int | None:
    """Where base64 text goes wrong, or None when it does not."""
    compact = text.replace("\n", "").replace("\r", "")
    body = compact.rstrip("=")
    match = _BASE64.match(body)
    assert match is not None
    if match.end() < len(body):
        return match.end()
    padding = len(compact) - len(body)
    if len(compact) % 4 or padding > 2:
        return len(compact)
    return None
