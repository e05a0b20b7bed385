"""The schemas of Istio's CRDs (manifests/charts/base), as far as the API server checks them before any webhook does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
Found = Iterator[tuple[str, str]]

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_FULL: Schema = {"type": "string", "min": 1}
_FULLS: Schema = {"type": "array", "items": _FULL}
_ACCOUNTS: Schema = {"type": "array", "items": {"type": "string", "max": 320}, "max": 16}


def _object(**fields: Schema) -> Schema:
    return {"type": "object", "fields": fields}


def _list(item: Schema, most: int = 0) -> Schema:
    return {"type": "array", "items": item, "max": most}


def _both(*names: str, schema: Schema = _TEXTS) -> dict[str, Schema]:
    return {f: schema for name in names for f in (name, f"not{name[0].upper()}{name[1:]}")}


_LABEL: Schema = {"type": "string", "max": 63, "no_star": "wildcard not allowed in label value match"}
_SELECTOR = _object(matchLabels={"type": "map", "values": _LABEL, "labels": True})
_REFERENCE: Schema = {
    "type": "object",
    "fields": {"group": _TEXT, "kind": _FULL, "name": _FULL, "namespace": {"type": "string", "empty": True}},
    "required": ("kind", "name"),
}
_ATTACHED: dict[str, Schema] = {
    "selector": _SELECTOR,
    "targetRef": _REFERENCE,
    "targetRefs": _list(_REFERENCE, 16),
}
_SOURCE = _object(
    **_both("principals", "requestPrincipals", "namespaces", "ipBlocks", "remoteIpBlocks", "trustDomains"),
    **_both("serviceAccounts", schema=_ACCOUNTS),
)
_WHEN: Schema = {
    "type": "object",
    "fields": {"key": _TEXT, "values": _TEXTS, "notValues": _TEXTS},
    "required": ("key",),
}
_RULE: Schema = {
    "type": "object",
    "fields": {
        "from": _list(_object(source=_SOURCE), 512),
        "to": _list(_object(operation=_object(**_both("hosts", "methods", "paths", "ports")))),
        "when": _list(_WHEN),
    },
}
_MTLS = _object(mode={"type": "string", "enum": ("UNSET", "DISABLE", "PERMISSIVE", "STRICT")})
_ADDRESS: Schema = {"type": "string", "min": 1, "max": 2048, "url": True}
_HEADER: Schema = {"type": "object", "fields": {"name": _FULL, "prefix": _TEXT}, "required": ("name",)}
_CLAIM: Schema = {
    "type": "object",
    "fields": {"header": {"type": "string", "min": 1, "pattern": "^[-_A-Za-z0-9]+$"}, "claim": _FULL},
    "required": ("header", "claim"),
}
_JWT_RULE = _object(
    issuer=_FULL,
    audiences=_FULLS,
    jwks=_TEXT,
    jwksUri=_ADDRESS,
    jwks_uri=_ADDRESS,
    fromHeaders=_list(_HEADER),
    fromParams=_FULLS,
    fromCookies=_FULLS,
    outputPayloadToHeader=_TEXT,
    forwardOriginalToken={"type": "boolean"},
    outputClaimToHeaders=_list(_CLAIM),
    spaceDelimitedClaims=_FULLS,
    timeout=_TEXT,
)
SCHEMAS: Mapping[str, Schema] = {
    "AuthorizationPolicy": _object(
        **_ATTACHED,
        action={"type": "string", "enum": ("ALLOW", "DENY", "AUDIT", "CUSTOM")},
        provider=_object(name=_TEXT),
        rules=_list(_RULE, 512),
    ),
    "PeerAuthentication": _object(
        selector=_SELECTOR, mtls=_MTLS, portLevelMtls={"type": "map", "values": _MTLS, "ports": True}
    ),
    "RequestAuthentication": _object(**_ATTACHED, jwtRules=_list(_JWT_RULE, 4096)),
}
_GO_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def schema_problems(kind: str, spec: Any) -> Found:
    """What the API server finds: pairs of path and message. Kinds without a schema here have none."""
    schema = SCHEMAS.get(kind)
    if schema is None or spec is None:
        return
    found = list(_value(schema, spec, "spec"))
    yield from found
    if not found:
        yield from _rules(kind, spec)


def _value(schema: Schema, value: Any, path: str) -> Found:
    if value is None:
        # A null is pruned like a field that is not written.
        return
    wanted = "object" if schema["type"] == "map" else schema["type"]
    if _GO_TYPES.get(type(value)) != wanted:
        name = _GO_TYPES.get(type(value), "null")
        yield path, f'Invalid value: "{name}": {path} in body must be of type {wanted}: "{name}"'
        return
    if schema["type"] == "object":
        for key, inner in value.items():
            known = schema["fields"].get(key)
            if known is None:
                yield f"{path}.{key}", f'unknown field "{path}.{key}"'
            else:
                yield from _value(known, inner, f"{path}.{key}")
        for key in schema.get("required", ()):
            if value.get(key) is None:
                yield f"{path}.{key}", "Required value"
    elif schema["type"] == "array":
        if schema.get("max") and len(value) > schema["max"]:
            yield path, f"Too many: {len(value)}: must have at most {schema['max']} items"
        for i, item in enumerate(value):
            yield from _value(schema["items"], item, f"{path}[{i}]")
    elif schema["type"] == "map":
        yield from _map(schema, value, path)
    elif isinstance(value, str):
        yield from _text(schema, value, path)


def _map(schema: Schema, value: Mapping[Any, Any], path: str) -> Found:
    for key, item in value.items():
        if schema.get("ports") and not (str(key).isdigit() and 0 < int(key) <= 65535):
            yield path, f"Invalid value: {_shown(value)}: port must be between 1-65535"
        if schema.get("labels") and "*" in str(key):
            yield path, f"Invalid value: {_shown(value)}: wildcard not allowed in label key match"
        if schema.get("labels") and key == "":
            yield path, f"Invalid value: {_shown(value)}: key must not be empty"
        yield from _value(schema["values"], item, f"{path}.{key}")


def _text(schema: Schema, value: str, path: str) -> Found:
    shown = f'Invalid value: "{value}": '
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(f'"{item}"' for item in schema["enum"])
        yield path, f'Unsupported value: "{value}": supported values: {allowed}'
    if len(value) < schema.get("min", 0):
        yield path, f"{shown}{path} in body should be at least {schema['min']} chars long"
    if schema.get("max") and len(value) > schema["max"]:
        yield path, f"Too long: may not be more than {schema['max']} bytes"
    if "pattern" in schema and value and not re.search(schema["pattern"], value):
        yield path, f"{shown}{path} in body should match '{schema['pattern']}'"
    if schema.get("url") and not value.startswith(("http://", "https://")):
        yield path, f"{shown}url must have scheme http:// or https://"
    if schema.get("empty") and value:
        yield path, f"{shown}cross namespace referencing is not currently supported"
    if "no_star" in schema and "*" in value:
        yield path, f"{shown}{schema['no_star']}"


def _rules(kind: str, spec: Mapping[str, Any]) -> Found:
    """The x-kubernetes-validations of the whole."""
    if sum(spec.get(field) is not None for field in ("selector", "targetRef", "targetRefs")) > 1:
        yield "spec", 'Invalid value: "object": only one of targetRefs or selector can be set'
    if kind == "PeerAuthentication" and spec.get("portLevelMtls") is not None:
        if not spec["portLevelMtls"]:
            yield (
                "spec.portLevelMtls",
                "Invalid value: 0: spec.portLevelMtls in body should have at least 1 properties",
            )
        elif not (spec.get("selector") or {}).get("matchLabels"):
            yield "spec", 'Invalid value: "object": portLevelMtls requires selector'
    for i, rule in enumerate(spec.get("jwtRules") or ()):
        if sum(bool(rule.get(field)) for field in ("jwks", "jwksUri", "jwks_uri")) > 1:
            yield f"spec.jwtRules[{i}]", 'Invalid value: "object": only one of jwks or jwksUri can be set'
    for i, rule in enumerate(spec.get("rules") or ()):
        for j, item in enumerate((rule or {}).get("from") or ()):
            source = (item or {}).get("source") or {}
            mixed = ("principals", "notPrincipals", "namespaces", "notNamespaces")
            accounts = "serviceAccounts" in source or "notServiceAccounts" in source
            if accounts and any(field in source for field in mixed):
                text = 'Invalid value: "object": Cannot set serviceAccounts with namespaces or principals'
                yield f"spec.rules[{i}].from[{j}].source", text


def _shown(value: Mapping[Any, Any]) -> str:
    return '"object"' if value else "{}"
