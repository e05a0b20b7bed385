"""Waiting for objects by watching them: no polling, and a timeout that says what was missing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .client import Client
from .errors import ClusterUnreachable, WaitTimeout
from .kinds import Kind

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """Something an object can fulfil; `absent` is true for the condition that it is no longer there."""

    title: str
    holds: Callable[[Object], bool] | None
    absent: bool = False

    @classmethod
    def gone(cls, uid: str = "") -> Condition:
        """The object does not exist (or is another of the same name: a new uid)."""
        return cls("gone", (lambda obj: obj["metadata"].get("uid") != uid) if uid else None, absent=True)

    @classmethod
    def named(cls, name: str, kind: str) -> Condition:
        """The condition of that name for a kind: "ready", "gone", or a condition type of its status."""
        if name.lower() in ("gone", "deleted"):
            return cls.gone()
        if name.lower() == "ready":
            return cls("ready", _READY.get(kind, lambda _obj: True))
        wanted = name.lower()
        return cls(name, lambda obj: _condition(obj, wanted))


def until(
    client: Client,
    kind: Kind,
    namespace: str | None,
    *,
    condition: Condition,
    timeout: float,
    name: str | None = None,
    selector: str = "",
    may_be_none: bool = False,
) -> list[Object]:
    """Watch until the condition holds for the named object or all selected ones, then return them. Raises WaitTimeout.

    `may_be_none`: that there is no object at all is as good.
    """
    deadline = time.monotonic() + timeout
    path = kind.path(namespace)
    query = {"fieldSelector": f"metadata.name={name}" if name else "", "labelSelector": selector}
    seen: dict[str, Object] = {}
    while True:
        listed = client.request("GET", path, query=query)
        seen = {
            _id(item): {"apiVersion": kind.api_version, "kind": kind.kind, **item}
            for item in listed.get("items") or []
        }
        if _holds(condition, seen, may_be_none):
            return list(seen.values())
        version = listed.get("metadata", {}).get("resourceVersion", "")
        left = deadline - time.monotonic()
        if left <= 0:
            raise _too_late(kind, namespace, name or selector, condition, timeout, seen)
        watch = {**query, "watch": True, "resourceVersion": version, "timeoutSeconds": max(1, int(left) + 1)}
        try:
            for line in client.lines(path, query=watch, timeout=left):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    break  # the version is too old: list again
                if event["type"] == "DELETED":
                    seen.pop(_id(event["object"]), None)
                elif event["type"] != "BOOKMARK":
                    seen[_id(event["object"])] = event["object"]
                if _holds(condition, seen, may_be_none):
                    return list(seen.values())
                if time.monotonic() > deadline:
                    break
        except ClusterUnreachable:
            # A server that restarts, or the last moment of the wait: the list above says whether it still answers.
            time.sleep(0.1)


def _id(obj: Mapping[str, Any]) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"


def _holds(condition: Condition, seen: Mapping[str, Object], may_be_none: bool) -> bool:
    if condition.absent:
        return not seen if condition.holds is None else all(map(condition.holds, seen.values()))
    return (
        (bool(seen) or may_be_none)
        and condition.holds is not None
        and all(map(condition.holds, seen.values()))
    )


def _too_late(
    kind: Kind,
    namespace: str | None,
    what: str,
    condition: Condition,
    timeout: float,
    seen: Mapping[str, Object],
) -> WaitTimeout:
    where = f" in namespace {namespace}" if namespace else ""
    if not seen:
        return WaitTimeout(f'no {kind.plural} "{what}"{where} after {timeout:g} s')
    left = [obj for obj in seen.values() if condition.holds is None or not condition.holds(obj)]
    details = "; ".join(filter(None, (why_not_ready(obj) for obj in left[:3])))
    names = ", ".join(obj["metadata"]["name"] for obj in left[:5])
    text = f"{kind.plural} {names}{where} not {condition.title} after {timeout:g} s"
    return WaitTimeout(text + (f": {details}" if details else ""), left[0] if left else None)


def why_not_ready(obj: Mapping[str, Any]) -> str:
    """What the status of a pod or Deployment says about why it is not ready; "" when it says nothing."""
    status = obj.get("status") or {}
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (one.get("state") or {}).get("waiting")
        if waiting:
            return f"container {one.get('name')}: {waiting.get('reason', '')} {waiting.get('message', '')}".strip()
    for one in status.get("conditions") or []:
        if one.get("status") == "False" and one.get("message"):
            return f"{one.get('type')}: {one['message']}"
    return ""


def _condition(obj: Mapping[str, Any], wanted: str) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return any(one.get("type", "").lower() == wanted and one.get("status") == "True" for one in conditions)


def _pod_ready(obj: Object) -> bool:
    if (obj.get("status") or {}).get("phase") == "Succeeded":
        return True
    return not obj["metadata"].get("deletionTimestamp") and _condition(obj, "ready")


def _rolled_out(obj: Object) -> bool:
    """As `kubectl rollout status` decides it."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    replicas = spec.get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= obj["metadata"].get("generation", 0)
        and status.get("updatedReplicas", status.get("readyReplicas", 0)) >= replicas
        and status.get("replicas", 0) <= replicas
        and status.get("availableReplicas", status.get("readyReplicas", 0)) >= replicas
    )


def _on_every_node(obj: Object) -> bool:
    """As `kubectl rollout status` decides it of a DaemonSet."""
    status = obj.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    return bool(
        status.get("observedGeneration", 0) >= obj["metadata"].get("generation", 0)
        and status.get("updatedNumberScheduled", 0) >= wanted
        and status.get("numberAvailable", 0) >= wanted
    )


_READY: dict[str, Callable[[Object], bool]] = {
    "Pod": _pod_ready,
    "CustomResourceDefinition": lambda obj: _condition(obj, "established"),
    "APIService": lambda obj: _condition(obj, "available"),
    "DaemonSet": _on_every_node,
    "Deployment": _rolled_out,
    "ReplicaSet": _rolled_out,
    "StatefulSet": _rolled_out,
    "Namespace": lambda obj: (obj.get("status") or {}).get("phase", "Active") == "Active",
    "Node": lambda obj: _condition(obj, "ready"),
}
