"""Whether a pod may run on a node, and in whose words it may not. Pure functions.

Upstream: the scheduler's plugins nodeunschedulable, nodename, tainttoleration and nodeaffinity, and
pkg/scheduler/framework/types.go (FitError). There is no preemption and no counting of resources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from labkit.pocket.controllers.reconcile import Obj
from labkit.policy.labels import Selector, SelectorError

NO_NODES = "no nodes available to schedule pods"
_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def objection(pod: Obj, node: Obj) -> str | None:
    """Why the pod may not run on the node, without the count; None when it may."""
    spec, node_spec = pod["spec"], node.get("spec") or {}
    if node_spec.get("unschedulable") and not _tolerates(spec, _UNSCHEDULABLE):
        return "node(s) were unschedulable"
    for taint in node_spec.get("taints") or ():
        if taint["effect"] in ("NoSchedule", "NoExecute") and not _tolerates(spec, taint):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    if not _is_wanted(spec, node):
        return "node(s) didn't match Pod's node affinity/selector"
    return None


def explanation(objections: Sequence[str]) -> str:
    """The message of the event FailedScheduling, given one objection for each node."""
    if not objections:
        return NO_NODES
    count = len(objections)
    said = ", ".join(sorted(f"{number} {why}" for why, number in Counter(objections).items()))
    return (
        f"0/{count} nodes are available: {said}. no new claims to deallocate, preemption: 0/{count} nodes are "
        f"available: {count} Preemption is not helpful for scheduling."
    )


def _tolerates(spec: Obj, taint: Obj) -> bool:
    for toleration in spec.get("tolerations") or ():
        if toleration.get("effect") not in (None, "", taint["effect"]):
            continue
        if toleration.get("key") not in (None, "", taint["key"]):
            continue
        if toleration.get("operator", "Equal") == "Exists":
            return True
        if toleration.get("key") and toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


def _is_wanted(spec: Obj, node: Obj) -> bool:
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_term_matches(term, node) for term in required.get("nodeSelectorTerms") or ())


def _term_matches(term: Obj, node: Obj) -> bool:
    """All of a term's requirements; an empty term matches nothing."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    labels = node["metadata"].get("labels") or {}
    name = {"metadata.name": node["metadata"]["name"]}
    return all(_requirement_matches(item, labels) for item in expressions) and all(
        _requirement_matches(item, name) for item in fields
    )


def _requirement_matches(requirement: Obj, labels: dict[str, str]) -> bool:
    operator, key = requirement["operator"], requirement["key"]
    if operator in ("Gt", "Lt"):
        try:
            have, bound = int(labels.get(key, "")), int(requirement["values"][0])
        except (ValueError, LookupError):
            return False
        return have > bound if operator == "Gt" else have < bound
    try:
        return Selector.from_object({"matchExpressions": [requirement]}).matches(labels)
    except SelectorError:
        return False
