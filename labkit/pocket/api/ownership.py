"""Who set which field: metadata.managedFields, kept up to date by every write that names a manager.

The cluster's own parts name none: their writes leave the record as it is. (A real server records them too.)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from labkit.pocket.api.fieldsets import FieldSet, changed, from_fields_v1, to_fields_v1, without
from labkit.pocket.api.objects import now
from labkit.pocket.api.registry import Resource
from labkit.pocket.api.request import Options
from labkit.pocket.api.schema import Schemas

Obj = dict[str, Any]

UPDATE, APPLY = "Update", "Apply"


@dataclass(frozen=True)
class Entry:
    """One manager's record: what it owns, through which operation, of which version and subresource."""

    manager: str
    operation: str
    api_version: str
    time: str
    fields: FieldSet
    subresource: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes two records the same manager's."""
        return self.manager, self.operation, self.api_version, self.subresource

    def described(self) -> str:
        """The manager, as a conflict names it."""
        text = json.dumps(self.manager)
        if self.subresource:
            text += f" with subresource {json.dumps(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


def read_entries(obj: Obj) -> list[Entry]:
    """The records in an object; what cannot be read is left out."""
    return [
        Entry(
            entry.get("manager", ""),
            entry.get("operation", UPDATE),
            entry.get("apiVersion", ""),
            entry.get("time", ""),
            from_fields_v1(entry.get("fieldsV1")),
            entry.get("subresource", ""),
        )
        for entry in obj["metadata"].get("managedFields") or []
        if isinstance(entry, dict) and entry.get("fieldsV1")
    ]


def write_entries(obj: Obj, entries: list[Entry]) -> None:
    """Put records into an object: appliers first, then by time, as a real server sorts them."""
    kept = [entry for entry in entries if entry.fields]
    kept.sort(key=lambda entry: (entry.operation, entry.time, entry.manager))
    written = []
    for entry in kept:
        item: Obj = {
            "manager": entry.manager,
            "operation": entry.operation,
            "apiVersion": entry.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(entry.fields),
        }
        if entry.subresource:
            item["subresource"] = entry.subresource
        written.append(item)
    if written:
        obj["metadata"]["managedFields"] = written
    else:
        obj["metadata"].pop("managedFields", None)


def track(
    schemas: Schemas,
    resource: Resource,
    obj: Obj,
    old: Obj | None,
    options: Options,
    subresource: str | None = None,
) -> Obj:
    """Bring managedFields up to date for a write by `options.manager`."""
    metadata = obj["metadata"]
    before = old["metadata"].get("managedFields") if old is not None else None
    given = metadata.get("managedFields")
    if options.applied:
        return obj  # apply has done it
    if not options.manager:
        if before is None:
            metadata.pop("managedFields", None)
        else:
            metadata["managedFields"] = before
        return obj
    if old is not None and given is not None and given != before:
        # Somebody edits the record itself, as kubectl does when it goes over to server-side apply.
        entries = read_entries(obj)
        if not entries:
            metadata.pop("managedFields", None)
            return obj
    else:
        entries = read_entries(old) if old is not None else []
    node = schemas.of(resource)
    touched, removed = changed(node, old or {}, obj)
    if "status" in resource.subresources and subresource is None:
        # What stands in the status after such a write the server has put there (rest.ResetFieldsStrategy).
        touched = frozenset(path for path in touched if path[0] != "f:status")
    if not touched and not removed:
        write_entries(obj, entries)
        return obj
    mine = Entry(options.manager, UPDATE, resource.api_version, now(), frozenset(), subresource or "")
    result = []
    for entry in entries:
        if entry.key == mine.key:
            mine = replace(mine, fields=entry.fields)
        else:
            result.append(replace(entry, fields=without(entry.fields, touched | removed)))
    result.append(replace(mine, fields=without(mine.fields, removed) | touched))
    write_entries(obj, result)
    return obj
