"""What controllers ask of a Pod: is it active, ready, available; which of several would be missed least.

Upstream: pkg/api/v1/pod/util.go and pkg/controller/controller_utils.go (ActivePodsWithRanks).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from labkit.pocket.controllers.reconcile import Obj


def condition(obj: Obj, kind: str) -> Obj | None:
    """The status condition of a type, or None."""
    for item in (obj.get("status") or {}).get("conditions") or ():
        if item["type"] == kind:
            found: Obj = item
            return found
    return None


def moment(text: str) -> datetime:
    """A timestamp of the API as a time."""
    return datetime.fromisoformat(text)


def is_terminal(pod: Obj) -> bool:
    """Whether it has ended for good."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_active(pod: Obj) -> bool:
    """Whether it counts as a replica: neither ended nor going."""
    return not is_terminal(pod) and not pod["metadata"].get("deletionTimestamp")


def is_ready(pod: Obj) -> bool:
    """Whether its Ready condition is true."""
    ready = condition(pod, "Ready")
    return ready is not None and ready.get("status") == "True"


def seconds_until_available(pod: Obj, min_ready_seconds: int, now: datetime) -> float | None:
    """0 when it has been ready for long enough, more when it will be, None when it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    if not min_ready_seconds:
        return 0.0
    since = ready.get("lastTransitionTime")
    if not since:
        return None
    return max(0.0, min_ready_seconds - (now - moment(since)).total_seconds())


def least_missed_first(pods: list[Obj]) -> list[Obj]:
    """The order in which a ReplicaSet that shrinks deletes its pods."""
    return sorted(pods, key=_value)


_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def _value(pod: Obj) -> tuple[Any, ...]:
    metadata, status = pod["metadata"], pod.get("status") or {}
    annotations = metadata.get("annotations") or {}
    try:
        cost = int(annotations.get("controller.kubernetes.io/pod-deletion-cost", "0"))
    except ValueError:
        cost = 0
    ready = is_ready(pod)
    since = (condition(pod, "Ready") or {}).get("lastTransitionTime") if ready else None
    restarts = max((c.get("restartCount", 0) for c in status.get("containerStatuses") or ()), default=0)
    return (
        bool(pod["spec"].get("nodeName")),
        _PHASES.get(status.get("phase", "Pending"), 0),
        ready,
        cost,
        -_age_rank(since),
        -restarts,
        -_age_rank(metadata.get("creationTimestamp")),
    )


def _age_rank(text: str | None) -> float:
    """Larger is younger; what has no time counts as youngest."""
    return moment(text).timestamp() if text else datetime.now(UTC).timestamp()
