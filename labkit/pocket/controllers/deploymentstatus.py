"""A Deployment's status and its conditions Available and Progressing. Pure functions.

Upstream: pkg/controller/deployment/progress.go and sync.go (calculateStatus).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from labkit.pocket.api.objects import now
from labkit.pocket.controllers.pods import condition, moment
from labkit.pocket.controllers.reconcile import Obj
from labkit.pocket.controllers.rollout import fenceposts, replicas, total

_FOREVER = 2**31 - 1


def deadline(deployment: Obj) -> int | None:
    """progressDeadlineSeconds, or None when progress is not judged."""
    seconds = deployment["spec"].get("progressDeadlineSeconds", 600)
    return None if seconds in (None, _FOREVER) else int(seconds)


def with_condition(conditions: Sequence[Obj], kind: str, status: str, reason: str, message: str) -> list[Obj]:
    """The conditions with this one set; times move only when there is something new to say."""
    old = next((c for c in conditions if c["type"] == kind), None)
    if old is not None and old["status"] == status and old.get("reason") == reason:
        return list(conditions)
    moved = now()
    new = {
        "type": kind,
        "status": status,
        "lastUpdateTime": moved,
        "lastTransitionTime": old["lastTransitionTime"] if old and old["status"] == status else moved,
        "reason": reason,
        "message": message,
    }
    return [*(c for c in conditions if c["type"] != kind), new]


def _count(replica_sets: Sequence[Obj], field: str) -> int:
    return sum(int((rs.get("status") or {}).get(field) or 0) for rs in replica_sets)


def calculated(deployment: Obj, all_sets: Sequence[Obj], new: Obj | None) -> Obj:
    """The counts, and the condition Available."""
    available = _count(all_sets, "availableReplicas")
    old = deployment.get("status") or {}
    status: Obj = {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": _count(all_sets, "replicas"),
        "updatedReplicas": _count([new] if new else [], "replicas"),
        "readyReplicas": _count(all_sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(total(all_sets) - available, 0),
        "collisionCount": old.get("collisionCount"),
    }
    status = {key: value for key, value in status.items() if value}
    _, unavailable = fenceposts(deployment)
    if available >= replicas(deployment) - unavailable:
        said = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        said = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    status["conditions"] = with_condition(old.get("conditions") or [], "Available", *said)
    return status


def is_complete(deployment: Obj, status: Obj) -> bool:
    """Whether every pod is of the newest template and available."""
    wanted = replicas(deployment)
    counts = [status.get(field, 0) for field in ("updatedReplicas", "replicas", "availableReplicas")]
    observed = int(status.get("observedGeneration", 0))
    return counts == [wanted] * 3 and observed >= int(deployment["metadata"].get("generation", 1))


def _has_progressed(old: Obj, new: Obj) -> bool:
    def old_pods(status: Obj) -> int:
        return int(status.get("replicas", 0) - status.get("updatedReplicas", 0))

    return (
        new.get("updatedReplicas", 0) > old.get("updatedReplicas", 0)
        or old_pods(new) < old_pods(old)
        or new.get("readyReplicas", 0) > old.get("readyReplicas", 0)
        or new.get("availableReplicas", 0) > old.get("availableReplicas", 0)
    )


def with_progress(deployment: Obj, status: Obj, new: Obj | None) -> Obj:
    """The status with the condition Progressing, as a rollout's end, step or standstill demands."""
    conditions = status["conditions"]
    seconds = deadline(deployment)
    if seconds is None:
        return {**status, "conditions": [c for c in conditions if c["type"] != "Progressing"]}
    old = deployment.get("status") or {}
    current = condition(status, "Progressing") or next(
        (c for c in conditions if c["type"] == "Progressing"), None
    )
    settled = (
        status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and current is not None
        and current.get("reason") == "NewReplicaSetAvailable"
    )
    if settled:
        return status
    subject = (
        f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    )
    if is_complete(deployment, status):
        conditions = with_condition(
            conditions,
            "Progressing",
            "True",
            "NewReplicaSetAvailable",
            f"{subject} has successfully progressed.",
        )
    elif _has_progressed(old, status):
        said = {
            "type": "Progressing",
            "status": "True",
            "lastUpdateTime": now(),
            "lastTransitionTime": now(),
            "reason": "ReplicaSetUpdated",
            "message": f"{subject} is progressing.",
        }
        if current is not None and current["status"] == "True":
            said["lastTransitionTime"] = current["lastTransitionTime"]
        conditions = [*(c for c in conditions if c["type"] != "Progressing"), said]
    elif _timed_out(deployment, current, seconds):
        conditions = with_condition(
            conditions,
            "Progressing",
            "False",
            "ProgressDeadlineExceeded",
            f"{subject} has timed out progressing.",
        )
    return {**status, "conditions": conditions}


def _timed_out(deployment: Obj, current: Obj | None, seconds: int) -> bool:
    if current is None or deployment["spec"].get("paused"):
        return False
    if current.get("reason") in ("NewReplicaSetAvailable", "DeploymentPaused"):
        return False
    if current.get("reason") == "ProgressDeadlineExceeded":
        return True
    return (datetime.now(UTC) - moment(current["lastUpdateTime"])).total_seconds() > seconds


def seconds_until_judged(deployment: Obj, status: Obj) -> float | None:
    """When a rollout that does not move must be looked at again."""
    current = next((c for c in status["conditions"] if c["type"] == "Progressing"), None)
    seconds = deadline(deployment)
    if seconds is None or current is None or is_complete(deployment, status):
        return None
    if current.get("reason") in ("ProgressDeadlineExceeded", "NewReplicaSetAvailable", "DeploymentPaused"):
        return None
    gone = (datetime.now(UTC) - moment(current["lastUpdateTime"])).total_seconds()
    return max(seconds - gone, 0.0) + 1.0


def with_replica_failure(status: Obj, all_sets: Sequence[Obj], new: Obj | None) -> Obj:
    """The status with the first failure that a ReplicaSet reports, the newest one's before others'."""
    failures = [
        c
        for rs in ([new] if new else []) + list(all_sets)
        for c in (rs.get("status") or {}).get("conditions") or ()
        if c["type"] == "ReplicaFailure"
    ]
    conditions = status["conditions"]
    if failures:
        first = failures[0]
        conditions = with_condition(
            conditions, "ReplicaFailure", first["status"], first.get("reason", ""), first.get("message", "")
        )
    else:
        conditions = [c for c in conditions if c["type"] != "ReplicaFailure"]
    return {**status, "conditions": conditions}
