"""Events as the cluster's own parts record them: client-go's EventRecorder and its counting of repetitions."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from labkit.pocket.api.objects import now
from labkit.pocket.api.store import clone

if TYPE_CHECKING:
    from labkit.pocket.api.api import Api

Obj = dict[str, Any]

LIFETIME = 3600
"""Seconds after which an event is forgotten, as kube-apiserver's --event-ttl."""


def record(
    api: Api, involved: Obj, kind: str, reason: str, message: str, component: str, host: str = ""
) -> Obj:
    """Create an event about `involved`, or count up the equal one that is there.

    `involved` is the object, or a dict with apiVersion, kind, name, namespace (and perhaps fieldPath).
    """
    reference = reference_to(involved)
    namespace = reference.get("namespace") or "default"
    names = _names(api)
    same = _same(reference, kind, reason, message, component)
    moment = now()
    existing = api.find("events", names[same], namespace) if same in names else None
    if existing is not None:
        event = clone(existing)
        event["count"] = event.get("count", 1) + 1
        event["lastTimestamp"] = moment
        return api.update("events", event)
    source = {"component": component, **({"host": host} if host else {})}
    name = names[same] = f"{reference['name']}.{_moment():x}"
    return api.create(
        "events",
        {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "type": kind,
            "reportingComponent": component,
            "reportingInstance": host,
        },
    )


def reference_to(obj: Obj) -> Obj:
    """An ObjectReference to an object (or the reference itself, when it is one)."""
    metadata = obj.get("metadata")
    if metadata is None:
        return dict(obj)
    reference = {
        "kind": obj["kind"],
        "namespace": metadata.get("namespace"),
        "name": metadata["name"],
        "uid": metadata.get("uid"),
        "apiVersion": obj["apiVersion"],
        "resourceVersion": metadata.get("resourceVersion"),
    }
    return {key: value for key, value in reference.items() if value}


_KNOWN: WeakKeyDictionary[Api, dict[str, str]] = WeakKeyDictionary()
_last_moment = 0


def _names(api: Api) -> dict[str, str]:
    """The names of the events that there are, by what makes two events equal; read from the store once."""
    known = _KNOWN.get(api)
    if known is None:
        known = _KNOWN[api] = {}
        for event in api.list("events"):
            component = (event.get("source") or {}).get("component", "")
            told = (event.get("type", ""), event.get("reason", ""), event.get("message", ""), component)
            known[_same(event["involvedObject"], *told)] = event["metadata"]["name"]
    return known


def _same(reference: Obj, kind: str, reason: str, message: str, component: str) -> str:
    words = (reference.get("uid", ""), reference.get("namespace", ""), reference.get("fieldPath", ""))
    told = "\0".join((*words, kind, reason, message, component))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _moment() -> int:
    """Nanoseconds, never the same twice: as in client-go the names of events say their order (`web.18a2f...`), and
    within one second kubectl shows them in the order of their names."""
    global _last_moment
    _last_moment = max(time.time_ns(), _last_moment + 1)
    return _last_moment


def expire(api: Api, older_than: float = LIFETIME) -> int:
    """Forget events that were last seen too long ago; gives their number."""
    limit = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - older_than))
    gone = 0
    for event in api.list("events"):
        metadata = event["metadata"]
        last = event.get("lastTimestamp") or event.get("eventTime") or metadata["creationTimestamp"]
        if last < limit:
            api.store.remove("events", metadata["namespace"], metadata["name"])
            gone += 1
    if gone:
        _KNOWN.pop(api, None)  # read again when it is needed
    return gone
