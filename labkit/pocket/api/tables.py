"""Tables: what `kubectl get` prints is made by the server, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labkit.pocket.api.kinds import rules_for
from labkit.pocket.api.registry import Resource, package_data

Obj = dict[str, Any]

_GENERIC_COLUMNS = (
    {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
    {"name": "Created At", "type": "date", "format": "", "description": "", "priority": 0},
)


def table_of(
    resource: Resource,
    objects: Sequence[Obj],
    metadata: Obj,
    include: str = "Metadata",
    *,
    header: bool = True,
) -> Obj:
    """A meta.k8s.io/v1 Table of objects. `include` is None, Metadata or Object; `header` adds the columns.

    The columns are package data, from a real server; the cells are the kind's.
    """
    row = rules_for(resource).row
    columns: Sequence[Obj] | None
    if resource.custom is not None:
        columns = resource.custom.column_definitions
    else:
        columns = package_data("columns").get(resource.qualified) if row else None
    table: Obj = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    table["columnDefinitions"] = (columns or _GENERIC_COLUMNS) if header else None
    table["rows"] = [
        {"cells": (row or _generic_row)(obj), "object": _included(obj, include)} for obj in objects
    ]
    return table


def _included(obj: Obj, include: str) -> Obj | None:
    if include == "None":
        return None
    if include == "Object":
        return obj
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _generic_row(obj: Obj) -> list[Any]:
    metadata = obj["metadata"]
    return [metadata["name"], metadata.get("creationTimestamp", "")]
