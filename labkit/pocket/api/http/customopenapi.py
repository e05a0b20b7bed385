"""OpenAPI v3 of custom resources: the schemas of a definition, and the operations that clients look up in it.

Upstream: k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from labkit.pocket.api.registry import Resource
from labkit.pocket.api.store import clone

Obj = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_SCHEMAS = "#/components/schemas/"
_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized "
    "schemas to the latest internal value, and may reject unrecognized values. More info: "
    f"{_CONVENTIONS}#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
    f"endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: {_CONVENTIONS}#types-kinds"
)
_EMBEDDED_API_VERSION = (
    "apiVersion defines the versioned schema of this representation of an object. More info: "
    f"{_CONVENTIONS}#resources"
)
_EMBEDDED_KIND = (
    "kind is a string value representing the type of this object. In CamelCase. More info: "
    f"{_CONVENTIONS}#types-kinds"
)
_FIELD_VALIDATION = (
    "fieldValidation instructs the server on how to handle objects in the request (POST/PUT/PATCH) containing unknown "
    "or duplicate fields: Ignore, Warn (the default) or Strict."
)


def definition_name(resource: Resource) -> str:
    """com.example.lab.v1.Widget"""
    group = ".".join(reversed(resource.group.split(".")))
    return f"{group}.{resource.version}.{resource.kind}"


def definitions(resource: Resource) -> dict[str, Obj]:
    """The schemas of a custom resource and of its list, by name."""
    assert resource.custom is not None
    schema = _described(clone(resource.custom.raw_schema))
    properties = {**(schema.get("properties") or {}), **_head("Standard object's metadata.")}
    schema["properties"] = {name: properties[name] for name in sorted(properties)}
    schema["x-kubernetes-group-version-kind"] = [_gvk(resource, resource.kind)]
    name = definition_name(resource)
    listed: Obj = {
        "description": f"{resource.kind}List is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"description": _API_VERSION, "type": "string"},
            "items": {
                "description": f"List of {resource.plural}. More info: {_CONVENTIONS}",
                "type": "array",
                "items": {"$ref": _SCHEMAS + name},
            },
            "kind": {"description": _KIND, "type": "string"},
            "metadata": {
                "description": f"Standard list metadata. More info: {_CONVENTIONS}#types-kinds",
                "allOf": [{"$ref": f"{_SCHEMAS}{_META}.ListMeta"}],
            },
        },
        "x-kubernetes-group-version-kind": [_gvk(resource, f"{resource.kind}List")],
    }
    return {name: schema, f"{name}List": listed}


def _head(words: str) -> Obj:
    return {
        "apiVersion": {"description": _API_VERSION, "type": "string"},
        "kind": {"description": _KIND, "type": "string"},
        "metadata": {
            "description": f"{words} More info: {_CONVENTIONS}#metadata",
            "allOf": [{"$ref": f"{_SCHEMAS}{_META}.ObjectMeta"}],
        },
    }


def _described(schema: Obj) -> Obj:
    """With what the extensions stand for spelled out for clients that do not know them."""
    if schema.get("x-kubernetes-int-or-string") and not schema.get("type"):
        schema.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    if schema.get("x-kubernetes-embedded-resource"):
        head = _head("Standard object's metadata.")
        head["apiVersion"]["description"] = _EMBEDDED_API_VERSION
        head["kind"]["description"] = _EMBEDDED_KIND
        schema["properties"] = {**(schema.get("properties") or {}), **head}
        schema["required"] = sorted({*(schema.get("required") or ()), "kind", "apiVersion"}, reverse=True)
    for name, child in (schema.get("properties") or {}).items():
        if "$ref" not in child and "allOf" not in child:
            schema["properties"][name] = _described(child)
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            schema[part] = _described(schema[part])
    return schema


def _gvk(resource: Resource, kind: str) -> Obj:
    return {"group": resource.group, "version": resource.version, "kind": kind}


def paths(resources: Iterable[Resource]) -> dict[str, Obj]:
    """The operations on custom resources of one group version."""
    found: dict[str, Obj] = {}
    for resource in resources:
        root = f"/apis/{resource.group}/{resource.version}"
        place = f"{root}/namespaces/{{namespace}}" if resource.namespaced else root
        many, one = f"{place}/{resource.plural}", f"{place}/{resource.plural}/{{name}}"
        namespaced = [_path_parameter("namespace")] if resource.namespaced else []
        named = [*namespaced, _path_parameter("name")]
        found[many] = {
            "get": _operation(resource, "list", f"{definition_name(resource)}List"),
            "post": _operation(resource, "post"),
            "delete": _operation(resource, "deletecollection", f"{_META}.Status"),
            "parameters": namespaced,
        }
        if resource.namespaced:
            everywhere = _operation(resource, "list", f"{definition_name(resource)}List")
            found[f"{root}/{resource.plural}"] = {"get": everywhere}
        found[one] = {
            "get": _operation(resource, "get"),
            "put": _operation(resource, "put"),
            "patch": _operation(resource, "patch"),
            "delete": _operation(resource, "delete", f"{_META}.Status"),
            "parameters": named,
        }
        for sub in resource.subresources.values():
            scale = "io.k8s.api.autoscaling.v1.Scale" if sub.name == "scale" else ""
            found[f"{one}/{sub.name}"] = {
                **{verb: _operation(resource, verb, scale) for verb in ("get", "put", "patch")},
                "parameters": named,
            }
    return dict(sorted(found.items()))


def _path_parameter(name: str) -> Obj:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}


def _query_parameter(name: str, words: str = "", kind: str = "string") -> Obj:
    parameter: Obj = {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}}
    return {"description": words, **parameter} if words else parameter


_WRITES = [
    _query_parameter("dryRun"),
    _query_parameter("fieldManager"),
    _query_parameter("fieldValidation", _FIELD_VALIDATION),
]
_LISTS = [
    _query_parameter(name, kind=kind)
    for name, kind in (
        ("allowWatchBookmarks", "boolean"),
        ("continue", "string"),
        ("fieldSelector", "string"),
        ("labelSelector", "string"),
        ("limit", "integer"),
        ("resourceVersion", "string"),
        ("resourceVersionMatch", "string"),
        ("sendInitialEvents", "boolean"),
        ("timeoutSeconds", "integer"),
        ("watch", "boolean"),
    )
]
_PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")


def _operation(resource: Resource, action: str, answer: str = "") -> Obj:
    own = {"$ref": _SCHEMAS + definition_name(resource)}
    returned = {"$ref": _SCHEMAS + answer} if answer else own
    operation: Obj = {
        "description": f"{action} the specified {resource.kind}",
        "responses": {
            "200": {
                "description": "OK",
                "content": {
                    media: {"schema": returned} for media in ("application/json", "application/yaml")
                },
            },
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(resource, resource.kind),
    }
    if action == "patch":
        patch = {"schema": {"$ref": f"{_SCHEMAS}{_META}.Patch"}}
        operation["parameters"] = [*_WRITES, _query_parameter("force", kind="boolean")]
        operation["requestBody"] = {"content": dict.fromkeys(_PATCHES, patch), "required": True}
    elif action in ("post", "put"):
        operation["parameters"] = _WRITES
        operation["requestBody"] = {"content": {"*/*": {"schema": returned}}, "required": True}
    elif action == "list":
        operation["parameters"] = _LISTS
    return operation
