"""Event: validation, the fields that describe selects by, its row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.pocket.api.fields import FieldError, invalid
from labkit.pocket.api.kinds.printing import since
from labkit.pocket.api.kinds.rules import Rules
from labkit.pocket.api.names import is_path_segment

Obj = dict[str, Any]


def _default(event: Obj) -> None:
    """Fields that a real server always writes out."""
    event.setdefault("involvedObject", {})
    event.setdefault("source", {})
    for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
        event.setdefault(field, None)
    for field in ("reportingComponent", "reportingInstance"):
        event.setdefault(field, "")


def _validate(event: Obj) -> list[FieldError]:
    """The event is where its object is; events about cluster-scoped objects are in `default`."""
    involved = (event.get("involvedObject") or {}).get("namespace", "")
    namespace = event["metadata"].get("namespace", "")
    if not involved:
        if namespace not in ("default", "kube-system"):
            return [invalid("involvedObject.namespace", involved, "does not match event.namespace")]
    elif involved != namespace:
        return [invalid("involvedObject.namespace", involved, "does not match event.namespace")]
    return []


def _fields(event: Obj) -> Mapping[str, str]:
    involved = event.get("involvedObject") or event.get("regarding") or {}
    source = event.get("source") or event.get("deprecatedSource") or {}
    names = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    values: dict[str, str] = {}
    for word in ("involvedObject", "regarding"):
        values |= {f"{word}.{name}": involved.get(name, "") for name in names}
    component = event.get("reportingComponent") or event.get("reportingController") or ""
    return {
        **values,
        "reason": event.get("reason", ""),
        "reportingComponent": component,
        "reportingController": component,
        "source": source.get("component") or component,
        "type": event.get("type", ""),
    }


def _row(event: Obj) -> list[Any]:
    involved = event.get("involvedObject") or event.get("regarding") or {}
    source = event.get("source") or event.get("deprecatedSource") or {}
    first = event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime")
    last = event.get("lastTimestamp") or event.get("deprecatedLastTimestamp") or first
    series = event.get("series") or {}
    count = event.get("count") or event.get("deprecatedCount") or 1
    if series:
        last, count = series.get("lastObservedTime") or last, series.get("count", count)
    component = (
        source.get("component") or event.get("reportingComponent") or event.get("reportingController", "")
    )
    host = source.get("host") or event.get("reportingInstance", "")
    kind = involved.get("kind", "").lower()
    return [
        since(last),
        event.get("type", ""),
        event.get("reason", ""),
        f"{kind}/{involved['name']}" if involved.get("name") else kind,
        involved.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        (event.get("message") or event.get("note") or "").strip(),
        since(first),
        count,
        event["metadata"]["name"],
    ]


RULES = Rules(default=_default, validate=_validate, check_name=is_path_segment, fields=_fields, row=_row)
