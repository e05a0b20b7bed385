"""ReplicaSets: keep the wanted number of pods. Upstream: pkg/controller/replicaset."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.objects import key_of, now
from labkit.pocket.api.store import clone
from labkit.pocket.controllers.ownership import claim, controller_of, controller_reference
from labkit.pocket.controllers.pods import is_active, is_ready, least_missed_first, seconds_until_available
from labkit.pocket.controllers.reconcile import Key, Obj, Reconciler, Seen, itself
from labkit.policy.labels import Selector

log = logging.getLogger(__name__)

_COMPONENT = "replicaset-controller"
# As upstream's BurstReplicas: not more pods than this in one go.
_BURST = 500


async def run(api: Api) -> None:
    """Work until cancelled."""
    reconciler = Reconciler(api, "replicaset", lambda key: reconcile(api, key))
    reconciler.watch("replicasets.apps", itself)
    reconciler.watch("pods", lambda seen: _concerned(api, seen))
    await reconciler.run()


def _concerned(api: Api, seen: Seen) -> Iterable[Key]:
    """The ReplicaSets that own or might own the pod, now or before."""
    keys = set()
    namespace = seen.object["metadata"]["namespace"]
    for pod in seen.states:
        reference = controller_of(pod)
        if reference is None:
            labels = pod["metadata"].get("labels") or {}
            if labels and not seen.deleted:
                keys |= {
                    key_of(rs)
                    for rs in api.list("replicasets.apps", namespace)
                    if _selector(rs).matches(labels)
                }
        elif reference["kind"] == "ReplicaSet":
            keys.add((namespace, reference["name"]))
    return keys


def _selector(replica_set: Obj) -> Selector:
    return Selector.from_object(replica_set["spec"]["selector"])


def reconcile(api: Api, key: Key) -> float | None:
    """Bring one ReplicaSet's pods and status into order."""
    namespace, name = key
    replica_set = api.find("replicasets.apps", name, namespace)
    if replica_set is None:
        return None
    failure: ApiError | None = None
    pods = _active(api, replica_set)
    wanted = replica_set["spec"].get("replicas", 1)
    if not replica_set["metadata"].get("deletionTimestamp") and len(pods) != wanted:
        try:
            if len(pods) < wanted:
                _create(api, replica_set, min(wanted - len(pods), _BURST))
            else:
                _delete(api, replica_set, pods, min(len(pods) - wanted, _BURST))
        except ApiError as error:
            failure = error
        pods = _active(api, replica_set)
    again = _update_status(api, replica_set, pods, failure, wanted)
    if failure is not None and not _namespace_goes(failure):
        raise failure
    return again


def _active(api: Api, replica_set: Obj) -> list[Obj]:
    candidates = [pod for pod in api.list("pods", replica_set["metadata"]["namespace"]) if is_active(pod)]
    return claim(api, "pods", replica_set, _selector(replica_set), candidates)


def _namespace_goes(error: ApiError) -> bool:
    causes = (error.status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def _create(api: Api, replica_set: Obj, count: int) -> None:
    metadata = replica_set["metadata"]
    template = replica_set["spec"]["template"]
    for _ in range(count):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": f"{metadata['name']}-",
                "namespace": metadata["namespace"],
                "labels": clone((template.get("metadata") or {}).get("labels") or {}),
                "annotations": clone((template.get("metadata") or {}).get("annotations") or {}),
                "finalizers": clone((template.get("metadata") or {}).get("finalizers") or []),
                "ownerReferences": [controller_reference(replica_set)],
            },
            "spec": clone(template["spec"]),
        }
        try:
            created = api.create("pods", pod, metadata["namespace"])
        except ApiError as error:
            if not _namespace_goes(error):
                api.record_event(
                    replica_set, "Warning", "FailedCreate", f"Error creating: {error.message}", _COMPONENT
                )
            raise
        api.record_event(
            replica_set,
            "Normal",
            "SuccessfulCreate",
            f"Created pod: {created['metadata']['name']}",
            _COMPONENT,
        )


def _delete(api: Api, replica_set: Obj, pods: list[Obj], count: int) -> None:
    for pod in least_missed_first(pods)[:count]:
        name = pod["metadata"]["name"]
        try:
            api.delete("pods", name, pod["metadata"]["namespace"])
        except ApiError as error:
            if error.code == 404:
                continue
            api.record_event(
                replica_set, "Warning", "FailedDelete", f"Error deleting: {error.message}", _COMPONENT
            )
            raise
        api.record_event(replica_set, "Normal", "SuccessfulDelete", f"Deleted pod: {name}", _COMPONENT)


def _update_status(
    api: Api, replica_set: Obj, pods: list[Obj], failure: ApiError | None, wanted: int
) -> float | None:
    """Write the counts; gives the seconds until the next pod becomes available by time alone."""
    spec = replica_set["spec"]
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    of_template = Selector.from_labels(labels)
    waits = [seconds_until_available(pod, spec.get("minReadySeconds", 0), datetime.now(UTC)) for pod in pods]
    status: Obj = {
        "replicas": len(pods),
        "fullyLabeledReplicas": sum(of_template.matches(p["metadata"].get("labels") or {}) for p in pods),
        "readyReplicas": sum(is_ready(pod) for pod in pods),
        "availableReplicas": sum(wait == 0 for wait in waits),
        "observedGeneration": replica_set["metadata"].get("generation", 1),
    }
    status = {key: value for key, value in status.items() if value or key == "replicas"}
    conditions = [
        c for c in (replica_set.get("status") or {}).get("conditions") or () if c["type"] != "ReplicaFailure"
    ]
    if failure is not None:
        old = [
            c
            for c in (replica_set.get("status") or {}).get("conditions") or ()
            if c["type"] == "ReplicaFailure"
        ]
        conditions.append(
            {
                "type": "ReplicaFailure",
                "status": "True",
                "lastTransitionTime": old[0]["lastTransitionTime"] if old else now(),
                "reason": "FailedCreate" if len(pods) < wanted else "FailedDelete",
                "message": failure.message,
            }
        )
    if conditions:
        status["conditions"] = conditions

    def change(copy: Obj) -> Obj:
        copy["status"] = status
        return copy

    if status != (replica_set.get("status") or {}):
        namespace, name = key_of(replica_set)
        api.modify("replicasets.apps", name, namespace, change, subresource="status")
    return min((wait for wait in waits if wait), default=None)
