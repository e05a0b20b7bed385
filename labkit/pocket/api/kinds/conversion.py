"""Kinds that are served in more than one form but stored in one: core/v1 Event and events.k8s.io/v1 Event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from labkit.pocket.api.registry import Resource

Obj = dict[str, Any]


def _same(obj: Obj) -> Obj:
    return obj


@dataclass(frozen=True)
class Conversion:
    """Where a resource's objects are stored, and how they are turned into the stored form and back."""

    bucket: str
    write: Callable[[Obj], Obj] = _same
    read: Callable[[Obj], Obj] = _same

    @property
    def converts(self) -> bool:
        """Whether reading does anything."""
        return self.read is not _same


# events.k8s.io/v1 on the left, core/v1 on the right
_EVENT_FIELDS = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_EVENT_FIELDS_BACK = {core: new for new, core in _EVENT_FIELDS.items()}


def _renamed(obj: Obj, api_version: str, names: dict[str, str]) -> Obj:
    return {**{names.get(key, key): value for key, value in obj.items()}, "apiVersion": api_version}


_CONVERSIONS = {
    ("events.k8s.io", "v1", "events"): Conversion(
        "events",
        write=lambda obj: _renamed(obj, "v1", _EVENT_FIELDS),
        read=lambda obj: _renamed(obj, "events.k8s.io/v1", _EVENT_FIELDS_BACK),
    )
}


def conversion_for(resource: Resource) -> Conversion:
    """The conversion of a resource; most are stored as they are, under their qualified name."""
    return _builtin(resource) if resource.custom is None else resource.custom.conversion


@cache
def _builtin(resource: Resource) -> Conversion:
    return _CONVERSIONS.get((resource.group, resource.version, resource.plural)) or Conversion(
        resource.qualified
    )
