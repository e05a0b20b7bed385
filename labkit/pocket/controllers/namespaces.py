"""The end of a namespace: delete what is in it, wait until it is gone, let the namespace go.

Upstream: pkg/controller/namespace/deletion (namespaced_resources_deleter.go, status_condition_utils.go).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.objects import now
from labkit.pocket.controllers.everything import stored_resources, watch_everything
from labkit.pocket.controllers.reconcile import Key, Obj, Reconciler, Seen, itself

log = logging.getLogger(__name__)

_FINALIZER = "kubernetes"
_FINE = (
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentRemoved", "All content successfully removed"),
)


async def run(api: Api) -> None:
    """Work until cancelled."""
    reconciler = Reconciler(api, "namespace", lambda key: reconcile(api, key))
    reconciler.watch("namespaces", itself)
    end = watch_everything(
        api, reconciler, lambda resource: resource.namespaced, lambda _, seen: _of_content(api, seen)
    )
    try:
        await reconciler.run()
    finally:
        end()


def _of_content(api: Api, seen: Seen) -> Iterable[Key]:
    name = seen.object["metadata"]["namespace"]
    namespace = api.find("namespaces", name)
    if namespace is None or not namespace["metadata"].get("deletionTimestamp"):
        return ()
    return (("", name),)


def reconcile(api: Api, key: Key) -> float | None:
    """Take one namespace's deletion as far as it goes now."""
    _, name = key
    namespace = api.find("namespaces", name)
    if namespace is None or not namespace["metadata"].get("deletionTimestamp"):
        return None
    if _FINALIZER not in (namespace["spec"].get("finalizers") or ()):
        return None
    remaining, problems = _delete_content(api, name)
    if not remaining and not problems:
        _finalize(api, name)
        return None
    _say(api, name, remaining, problems)
    # What remains announces its own end through the watches; failures have nobody else to call again.
    return 1.0 if problems else None


def _delete_content(api: Api, name: str) -> tuple[list[tuple[str, Obj]], list[str]]:
    """Ask everything to go; gives what is still there (by upstream's `plural.group`), and what went wrong."""
    problems: list[str] = []
    resources = [resource for resource in stored_resources(api) if resource.namespaced]
    for resource in resources:
        for obj in api.list(resource, name):
            metadata = obj["metadata"]
            if metadata.get("deletionTimestamp"):
                continue
            try:
                api.delete(resource, metadata["name"], name, propagation="Background")
            except ApiError as error:
                if error.code != 404:
                    problems.append(error.message)
    remaining = [
        (f"{resource.plural}.{resource.group}", obj)
        for resource in resources
        for obj in api.list(resource, name)
    ]
    return remaining, problems


def _finalize(api: Api, name: str) -> None:
    def change(copy: Obj) -> Obj:
        finalizers = copy["spec"].get("finalizers") or []
        copy["spec"]["finalizers"] = [item for item in finalizers if item != _FINALIZER]
        return copy

    api.modify("namespaces", name, None, change, subresource="finalize")


def _say(api: Api, name: str, remaining: list[tuple[str, Obj]], problems: list[str]) -> None:
    """The conditions that `kubectl describe namespace` shows while it waits."""
    news: dict[str, tuple[str, str]] = {}
    if problems:
        listed = ", ".join(sorted(problems))
        news["NamespaceDeletionContentFailure"] = (
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {len(problems)} remaining: {listed}",
        )
    if remaining:
        counts = Counter(kind for kind, _ in remaining)
        listed = ", ".join(sorted(f"{kind} has {count} resource instances" for kind, count in counts.items()))
        news["NamespaceContentRemaining"] = (
            "SomeResourcesRemain",
            f"Some resources are remaining: {listed}",
        )
    finalizers = Counter(f for _, obj in remaining for f in obj["metadata"].get("finalizers") or ())
    if finalizers:
        counted = sorted(f"{item} in {count} resource instances" for item, count in finalizers.items())
        news["NamespaceFinalizersRemaining"] = (
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {', '.join(counted)}",
        )

    def change(copy: Obj) -> Obj:
        status = copy.setdefault("status", {})
        old = {condition["type"]: condition for condition in status.get("conditions") or ()}
        conditions = []
        for kind, reason, message in _FINE:
            said = ("True", *news[kind]) if kind in news else ("False", reason, message)
            before = old.pop(kind, None)
            same = before is not None and before["status"] == said[0]
            conditions.append(
                {
                    "type": kind,
                    "status": said[0],
                    "lastTransitionTime": before["lastTransitionTime"] if before and same else now(),
                    "reason": said[1],
                    "message": said[2],
                }
            )
        status["conditions"] = [*old.values(), *conditions]
        return copy

    api.modify("namespaces", name, None, change, subresource="status")
