"""ConfigMap and Secret: keys, sizes, immutability, types."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from labkit.pocket.api import names
from labkit.pocket.api.fields import ErrorType, FieldError, forbidden, immutable, invalid, required
from labkit.pocket.api.kinds.printing import age
from labkit.pocket.api.kinds.rules import Rules

Obj = dict[str, Any]

MAX_SIZE = 1024 * 1024

# The keys that a Secret's type promises.
_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def _size_of(values: Mapping[str, str]) -> int:
    return sum(len(value.encode()) for value in values.values())


def _too_large(field: str) -> FieldError:
    return FieldError(ErrorType.TOO_LONG, field, None, f"may not be more than {MAX_SIZE} bytes")


def _validate_config_map(config_map: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    for key in sorted(data):
        errors += [invalid(f"data[{key}]", key, problem) for problem in names.is_config_key(key)]
        if key in binary:
            errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    for key in sorted(binary):
        errors += [invalid(f"binaryData[{key}]", key, problem) for problem in names.is_config_key(key)]
    if _size_of(data) + _size_of(binary) * 3 // 4 > MAX_SIZE:
        errors.append(_too_large(""))
    return errors


def _immutable(obj: Obj, old: Obj, parts: tuple[str, ...]) -> list[FieldError]:
    if not old.get("immutable"):
        return []
    words = "field is immutable when `immutable` is set"
    errors = [] if obj.get("immutable") else [forbidden("immutable", words)]
    return errors + [forbidden(part, words) for part in parts if obj.get(part) != old.get(part)]


def _update_config_map(config_map: Obj, old: Obj) -> list[FieldError]:
    return _immutable(config_map, old, ("data", "binaryData"))


def _default_secret(secret: Obj) -> None:
    if not secret.get("type"):
        secret["type"] = "Opaque"
    text = secret.pop("stringData", None)
    if text:
        data = secret.setdefault("data", {})
        for key, value in text.items():
            data[key] = base64.b64encode(value.encode()).decode()


def _validate_secret(secret: Obj) -> list[FieldError]:
    data = secret.get("data") or {}
    errors: list[FieldError] = []
    for key in sorted(data):
        errors += [invalid(f"data[{key}]", key, problem) for problem in names.is_config_key(key)]
    if _size_of(data) * 3 // 4 > MAX_SIZE:
        errors.append(_too_large("data"))
    kind = secret["type"]
    errors += [required(f"data[{key}]") for key in _KEYS.get(kind, ()) if key not in data]
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        errors += [required("data[username]"), required("data[password]")]
    if kind in ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"):
        key = _KEYS[kind][0]
        if key in data:
            try:
                json.loads(base64.b64decode(data[key]))
            except ValueError:
                errors.append(invalid(f"data[{key}]", "<secret contents redacted>", "invalid character"))
    return errors


def _update_secret(secret: Obj, old: Obj) -> list[FieldError]:
    errors = immutable(secret.get("type"), old.get("type"), "type")
    return errors + _immutable(secret, old, ("data",))


def _secret_fields(secret: Obj) -> Mapping[str, str]:
    return {"type": secret.get("type", "")}


def _config_map_row(config_map: Obj) -> list[Any]:
    count = len(config_map.get("data") or {}) + len(config_map.get("binaryData") or {})
    return [config_map["metadata"]["name"], count, age(config_map)]


def _secret_row(secret: Obj) -> list[Any]:
    return [secret["metadata"]["name"], secret.get("type", ""), len(secret.get("data") or {}), age(secret)]


CONFIG_MAP = Rules(
    validate=_validate_config_map, validate_update=_update_config_map, change_first=True, row=_config_map_row
)
SECRET = Rules(
    default=_default_secret,
    validate=_validate_secret,
    validate_update=_update_secret,
    change_first=True,
    fields=_secret_fields,
    row=_secret_row,
)
