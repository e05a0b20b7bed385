"""The arithmetic of a rollout: how many pods each ReplicaSet of a Deployment should have. Pure functions.

Upstream: pkg/controller/deployment/util/deployment_util.go, rolling.go, sync.go.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from labkit.pocket.controllers.reconcile import Obj

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
# Annotations of a Deployment that say nothing about its ReplicaSets.
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    }
)
_DIGITS = "456789bcdf"


def template_hash(template: Obj, collisions: int) -> str:
    """What a ReplicaSet's name ends with: ten letters that depend on the pod template.

    Upstream hashes the memory of a Go struct, so the letters cannot be the same. Their set is: upstream writes a decimal
    number in letters (apimachinery's rand.SafeEncodeString), which uses no more than these ten.
    """
    text = json.dumps([template, collisions], sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_DIGITS[byte % len(_DIGITS)] for byte in digest[:10])


def without_hash(template: Obj) -> Obj:
    """The template as the Deployment has it, without fields that are empty.

    Clients in Go write `resources: {}` and `creationTimestamp: null` where others write nothing; both
    mean the same (upstream compares with Semantic.DeepEqual, for which empty and absent are equal).
    """
    bare: Obj = _pruned(template) or {}
    metadata = dict(bare.get("metadata") or {})
    labels = {key: value for key, value in (metadata.pop("labels", None) or {}).items() if key != HASH_LABEL}
    if labels:
        metadata["labels"] = labels
    return {**bare, "metadata": metadata}


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _pruned(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, {}, [])}
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    return value


def same_template(one: Obj, other: Obj) -> bool:
    """Whether two templates ask for the same pods."""
    return without_hash(one) == without_hash(other)


def replicas(obj: Obj) -> int:
    """spec.replicas, which is 1 when left out."""
    wanted = obj["spec"].get("replicas")
    return 1 if wanted is None else int(wanted)


def available(replica_set: Obj) -> int:
    """status.availableReplicas."""
    return int((replica_set.get("status") or {}).get("availableReplicas") or 0)


def total(replica_sets: Iterable[Obj]) -> int:
    """The pods that ReplicaSets together want."""
    return sum(replicas(rs) for rs in replica_sets)


def _scaled(value: Any, of: int, *, up: bool) -> int:
    """An int-or-percent field: `25%` of a number, rounded up or down."""
    if isinstance(value, str):
        share = int(value.removesuffix("%")) * of / 100
        return math.ceil(share) if up else math.floor(share)
    return int(value)


def fenceposts(deployment: Obj) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods; never both 0, or nothing could move. (0, 0) for Recreate."""
    strategy = deployment["spec"].get("strategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return 0, 0
    rolling = strategy.get("rollingUpdate") or {}
    wanted = replicas(deployment)
    surge = _scaled(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = _scaled(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, wanted) if wanted else 0


def is_rolling(deployment: Obj) -> bool:
    """Whether pods are replaced step by step."""
    strategy: Obj = deployment["spec"].get("strategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def new_size(deployment: Obj, all_sets: Sequence[Obj], new: Obj) -> int:
    """How many pods the newest ReplicaSet may have now, given what the others still hold."""
    wanted = replicas(deployment)
    if not is_rolling(deployment):
        return wanted
    surge, _ = fenceposts(deployment)
    # Upstream counts what the others should hold and may exceed maxSurge for a moment, until their pods have
    # been deleted; what they do hold is counted here as well.
    held = sum(max(replicas(rs), int((rs.get("status") or {}).get("replicas") or 0)) for rs in all_sets)
    room = wanted + surge - held
    if room <= 0:
        return replicas(new)
    return replicas(new) + min(room, wanted - replicas(new))


def shrink_old(deployment: Obj, new: Obj, old: Sequence[Obj]) -> dict[str, int]:
    """New sizes, by name, of the old ReplicaSets that may shrink now: their unhealthy pods first."""
    sizes = {rs["metadata"]["name"]: replicas(rs) for rs in old}
    _, unavailable = fenceposts(deployment)
    least = replicas(deployment) - unavailable
    budget = total([*old, new]) - least - (replicas(new) - available(new))
    if budget <= 0:
        return {}
    by_age = sorted(old, key=lambda rs: rs["metadata"]["creationTimestamp"])
    left = budget
    for rs in by_age:
        unhealthy = replicas(rs) - available(rs)
        remove = min(left, max(unhealthy, 0))
        sizes[rs["metadata"]["name"]] -= remove
        left -= remove
    # What a set no longer wants is as good as gone, although its status may not say so yet: upstream
    # trusts the status here, and can go below the minimum when its controllers work as fast as these.
    spare = sum(min(available(rs), replicas(rs)) for rs in [*old, new]) - least
    for rs in by_age:
        remove = min(sizes[rs["metadata"]["name"]], max(spare, 0))
        sizes[rs["metadata"]["name"]] -= remove
        spare -= remove
    return {
        rs["metadata"]["name"]: sizes[rs["metadata"]["name"]]
        for rs in by_age
        if sizes[rs["metadata"]["name"]] != replicas(rs)
    }


def proportional_sizes(deployment: Obj, active: Sequence[Obj]) -> dict[str, int]:
    """New sizes, by name, when a Deployment is scaled in the middle of a rollout: each keeps its share."""
    wanted = replicas(deployment)
    surge, _ = fenceposts(deployment)
    to_add = (wanted + surge if wanted else 0) - total(active)
    # Growing begins with the newest of the largest, shrinking with the oldest of them.
    by_age = sorted(active, key=lambda rs: rs["metadata"]["creationTimestamp"], reverse=to_add > 0)
    ordered = sorted(by_age, key=replicas, reverse=True)
    sizes: dict[str, int] = {}
    added = 0
    for rs in ordered:
        share = 0
        if to_add and replicas(rs) and added != to_add:
            share = _fraction(deployment, rs, surge)
            share = min(share, to_add - added) if to_add > 0 else max(share, to_add - added)
        sizes[rs["metadata"]["name"]] = replicas(rs) + share
        added += share
    if ordered and to_add != added:
        largest = ordered[0]["metadata"]["name"]
        sizes[largest] = max(sizes[largest] + to_add - added, 0)
    return sizes


def _fraction(deployment: Obj, replica_set: Obj, surge: int) -> int:
    wanted = replicas(deployment)
    if wanted == 0:
        return -replicas(replica_set)
    annotations = replica_set["metadata"].get("annotations") or {}
    before = int(annotations.get(MAXIMUM) or (deployment.get("status") or {}).get("replicas") or 0)
    if before <= 0:
        return 0
    # Go's math.Round rounds halves away from zero; Python's rounds them to even.
    share = replicas(replica_set) * (wanted + surge) / before
    return math.floor(share + 0.5) - replicas(replica_set)


def revision(obj: Obj) -> int:
    """The revision that an object carries; 0 when none."""
    text = (obj["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdigit() else 0
