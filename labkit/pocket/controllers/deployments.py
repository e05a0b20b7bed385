"""Deployments: a ReplicaSet for each pod template, and pods that move from one to the next.

Upstream: pkg/controller/deployment. `kubectl rollout` reads and writes what is kept here: revisions in
annotations, the conditions, `spec.paused`.
"""

from __future__ import annotations

from collections.abc import Iterable

from labkit.pocket.api.api import Api
from labkit.pocket.api.objects import key_of
from labkit.pocket.api.store import clone
from labkit.pocket.controllers.ownership import claim, controller_of
from labkit.pocket.controllers.pods import is_terminal
from labkit.pocket.controllers.reconcile import Key, Obj, Reconciler, Seen, itself
from labkit.pocket.controllers.rolloutstep import DEPLOYMENTS, REPLICA_SETS, Rollout
from labkit.policy.labels import Selector


async def run(api: Api) -> None:
    """Work until cancelled."""
    reconciler = Reconciler(api, "deployment", lambda key: reconcile(api, key))
    reconciler.watch(DEPLOYMENTS, itself)
    reconciler.watch(REPLICA_SETS, lambda seen: _of_replica_set(api, seen))
    reconciler.watch("pods", lambda seen: _of_pod(api, seen))
    await reconciler.run()


def _of_replica_set(api: Api, seen: Seen) -> Iterable[Key]:
    keys = set()
    namespace = seen.object["metadata"]["namespace"]
    for replica_set in seen.states:
        reference = controller_of(replica_set)
        if reference is not None:
            if reference["kind"] == "Deployment":
                keys.add((namespace, reference["name"]))
            continue
        labels = replica_set["metadata"].get("labels") or {}
        if labels and not seen.deleted:
            keys |= {key_of(d) for d in api.list(DEPLOYMENTS, namespace) if _selector(d).matches(labels)}
    return keys


def _of_pod(api: Api, seen: Seen) -> Iterable[Key]:
    """A Recreate rollout waits for the last old pod to end; nothing else depends on pods directly."""
    if not seen.deleted and not is_terminal(seen.object):
        return ()
    reference = controller_of(seen.object)
    if reference is None or reference["kind"] != "ReplicaSet":
        return ()
    namespace = seen.object["metadata"]["namespace"]
    replica_set = api.find(REPLICA_SETS, reference["name"], namespace)
    owner = controller_of(replica_set) if replica_set is not None else None
    if owner is None:
        return ()
    return ((namespace, owner["name"]),)


def _selector(deployment: Obj) -> Selector:
    return Selector.from_object(deployment["spec"]["selector"])


def reconcile(api: Api, key: Key) -> float | None:
    """Take one Deployment one step further."""
    namespace, name = key
    deployment = api.find(DEPLOYMENTS, name, namespace)
    if deployment is None:
        return None
    owned = claim(api, REPLICA_SETS, deployment, _selector(deployment), api.list(REPLICA_SETS, namespace))
    if deployment["metadata"].get("deletionTimestamp"):
        return Rollout(api, deployment, owned).write_status()
    return Rollout(api, clone(deployment), owned).step()
