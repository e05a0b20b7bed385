"""Who set which field: metadata.managedFields."""

from __future__ import annotations

from typing import Any

from labkit.pocket.api.registry import Resource
from labkit.pocket.api.request import Options
from labkit.pocket.api.schema import Schemas

Obj = dict[str, Any]


def track(_schemas: Schemas, _resource: Resource, obj: Obj, old: Obj | None, options: Options) -> Obj:
    """The object with managedFields brought up to date for a write by `options.manager`."""
    if not options.manager and old is not None and old["metadata"].get("managedFields"):
        obj["metadata"]["managedFields"] = old["metadata"]["managedFields"]
    return obj
