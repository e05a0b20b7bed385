"""Tables: what `kubectl get` prints is made by the server, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labkit.pocket.api.kinds import rules_for
from labkit.pocket.api.kinds.rules import NAME, Column
from labkit.pocket.api.registry import Resource

Obj = dict[str, Any]

GENERIC_COLUMNS = (NAME, Column("Created At", "date"))


def table_of(
    resource: Resource,
    objects: Sequence[Obj],
    metadata: Obj,
    include: str = "Metadata",
    *,
    header: bool = True,
) -> Obj:
    """A meta.k8s.io/v1 Table of objects. `include` is None, Metadata or Object; `header` adds the columns."""
    rules = rules_for(resource.qualified)
    columns, row = (rules.columns, rules.row) if rules.row else (GENERIC_COLUMNS, _generic_row)
    table: Obj = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    table["columnDefinitions"] = [_definition(column) for column in columns] if header else None
    table["rows"] = [{"cells": row(obj), "object": _included(obj, include)} for obj in objects]
    return table


def _definition(column: Column) -> Obj:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _included(obj: Obj, include: str) -> Obj | None:
    if include == "None":
        return None
    if include == "Object":
        return obj
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _generic_row(obj: Obj) -> list[Any]:
    metadata = obj["metadata"]
    return [metadata["name"], metadata.get("creationTimestamp", "")]
