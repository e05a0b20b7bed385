"""Deletion: at once, or in steps when a kubelet, a finalizer or the namespace's emptying comes first.

Follows k8s.io/apiserver's rest.BeforeDelete and registry/generic.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from labkit.pocket.api.errors import bad_request, conflict, forbidden, not_found
from labkit.pocket.api.kinds import rules_for
from labkit.pocket.api.kinds.conversion import conversion_for
from labkit.pocket.api.kinds.rules import Rules
from labkit.pocket.api.registry import Resource
from labkit.pocket.api.request import Options
from labkit.pocket.api.store import clone

if TYPE_CHECKING:
    from labkit.pocket.api.api import Api

Obj = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


def delete(
    api: Api,
    resource: Resource,
    name: str,
    namespace: str | None,
    grace_period: int | None,
    propagation: str | None,
    preconditions: Mapping[str, str],
    options: Options,
) -> Obj:
    """Delete an object or mark it; see Api.delete."""
    conversion = conversion_for(resource)
    namespace = (namespace or "") if resource.namespaced else ""
    old = api.store.get(conversion.bucket, namespace, name)
    if old is None:
        raise not_found(resource.group, resource.plural, name)
    _check_preconditions(resource, old, preconditions)
    if propagation not in (None, "Background", "Foreground", "Orphan"):
        raise bad_request(f'invalid propagationPolicy "{propagation}"')
    rules = rules_for(resource)
    refusal = rules.refuse_delete(old)
    if refusal:
        raise forbidden(resource.group, resource.plural, name, refusal)
    metadata = old["metadata"]
    finalizers = list(metadata.get("finalizers") or [])
    for policy, finalizer in (("Foreground", FOREGROUND), ("Orphan", ORPHAN)):
        if propagation == policy and finalizer not in finalizers:
            finalizers.append(finalizer)
        elif propagation not in (None, policy) and finalizer in finalizers:
            finalizers.remove(finalizer)
    grace = rules.grace_period(old, grace_period)
    marked = _marked(old, grace, finalizers, rules)
    if is_finished(marked, rules):
        if not options.dry_run:
            if rules.ends_gracefully and marked != old:
                # Watchers see that its time is up before they see that it is gone, as from registry/generic.
                old = api.store.put(conversion.bucket, marked)
            api.store.remove(conversion.bucket, namespace, name)
        return conversion.read(old)
    if marked == old or options.dry_run:
        return conversion.read(marked)
    return conversion.read(api.store.put(conversion.bucket, marked))


def is_finished(obj: Obj, rules: Rules) -> bool:
    """Whether a deleted object has nothing left to wait for."""
    metadata = obj["metadata"]
    return bool(
        metadata.get("deletionTimestamp")
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not rules.holds_back(obj)
    )


def _marked(old: Obj, grace: int, finalizers: list[str], rules: Rules) -> Obj:
    new: Obj = clone(old)
    metadata = new["metadata"]
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    if metadata.get("deletionTimestamp"):
        # A second request can only shorten the wait.
        if grace < metadata.get("deletionGracePeriodSeconds", 0):
            metadata["deletionGracePeriodSeconds"] = grace
            metadata["deletionTimestamp"] = _at(grace)
    else:
        metadata["deletionTimestamp"] = _at(grace)
        metadata["deletionGracePeriodSeconds"] = grace
        if metadata.get("generation"):
            metadata["generation"] += 1
    rules.mark_deleted(new)
    return new


def _at(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_preconditions(resource: Resource, obj: Obj, preconditions: Mapping[str, str]) -> None:
    metadata = obj["metadata"]
    for field, words, hint in (
        ("uid", "UID", "deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "modified"),
    ):
        wanted, found = preconditions.get(field), metadata[field]
        if wanted and wanted != found:
            raise conflict(
                resource.group,
                resource.kind,
                metadata["name"],
                f"the {words} in the precondition ({wanted}) does not match the {words} in record ({found}). "
                f"The object might have been {hint}",
            )
