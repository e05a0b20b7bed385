"""Structural validation: an object is read by its OpenAPI schema, as the real server reads it into a Go struct.

Reading copies. Unknown fields are dropped and reported as fieldValidation wants it; a value of a wrong type is
refused in encoding/json's words; what a Go struct does not write out (null, empty lists and maps, the zero of a
plain field) is left out, so that what is stored is what a real server would show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from labkit.pocket.api.errors import ApiError, bad_request
from labkit.pocket.api.gotypes import fields_left_out_empty, named_types
from labkit.pocket.api.nodes import Node
from labkit.pocket.api.reading import Reader, TypeMismatch
from labkit.pocket.api.registry import Resource, package_data
from labkit.pocket.api.request import Options

Obj = dict[str, Any]

_SPECIAL = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}


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

    def of(self, resource: Resource) -> Node | None:
        """The compiled schema of a resource's kind, built in or custom."""
        if resource.custom is not None:
            return resource.custom.node
        return self.kind(resource.group, resource.version, resource.kind)

    def decode_as(self, resource: Resource, obj: Any, options: Options) -> Obj:
        """`decode` an object as one of a resource. Raises ApiError (400)."""
        if resource.custom is not None:
            return resource.custom.decode(obj, options)
        return self.decode(resource.group, resource.version, resource.kind, obj, options)

    def read_as(self, resource: Resource, obj: Obj) -> tuple[Obj, list[str]]:
        """`read` an object as one of a resource. Raises TypeMismatch, for custom resources ApiError (400)."""
        if resource.custom is not None:
            return resource.custom.read(obj)
        return self.read(resource.group, resource.version, resource.kind, obj)

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
                f'{kind} in version "{version}" cannot be handled as a {kind}: not a JSON object'
            )
        try:
            decoded, unknown = self.read(group, version, kind, obj)
        except TypeMismatch as error:
            raise _unreadable(kind, version, str(error)) from None
        problem = complain(unknown, options)
        if problem:
            raise _unreadable(kind, version, problem)
        return decoded

    def read(self, group: str, version: str, kind: str, obj: Obj) -> tuple[Obj, list[str]]:
        """The object as its schema has it, and the paths of unknown fields. Raises TypeMismatch."""
        reader = Reader()
        # A kind without a schema is taken as it is.
        decoded = reader.read(self.kind(group, version, kind) or Node("any"), obj, "", kind, "") or {}
        return decoded, reader.unknown


def complain(unknown: Sequence[str], options: Options) -> str:
    """What fieldValidation makes of unknown fields: an error's text (Strict), warnings (Warn) or nothing."""
    complaints = options.complaints + [f'unknown field "{path}"' for path in unknown]
    if options.validation == "Strict" and complaints:
        return "strict decoding error: " + ", ".join(complaints)
    if options.validation == "Warn":
        for complaint in complaints:
            options.warn(complaint)
    return ""


def _unreadable(kind: str, version: str, why: str) -> ApiError:
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


def _scalar(schema: Mapping[str, Any]) -> str:
    kind = str(schema.get("type"))
    if kind == "string":
        return {"byte": "bytes", "date-time": "time", "int-or-string": "int-or-string"}.get(
            str(schema.get("format")), "string"
        )
    return kind
