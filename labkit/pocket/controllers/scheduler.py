"""The scheduler: each pod gets a node, or an event that says why not. Upstream: pkg/scheduler."""

from __future__ import annotations

from collections.abc import Iterable

from labkit.pocket.api.api import Api
from labkit.pocket.api.objects import key_of, now
from labkit.pocket.controllers.placement import explanation, objection
from labkit.pocket.controllers.pods import condition, is_terminal
from labkit.pocket.controllers.reconcile import Key, Obj, Reconciler, Seen, itself

_NAME = "default-scheduler"


async def run(api: Api) -> None:
    """Work until cancelled."""
    reconciler = Reconciler(api, "scheduler", lambda key: reconcile(api, key))
    reconciler.watch("pods", lambda seen: itself(seen) if _waits(seen.object) else ())
    reconciler.watch("nodes", lambda seen: _everybody(api, seen))
    await reconciler.run()


def _waits(pod: Obj) -> bool:
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and spec.get("schedulerName", _NAME) == _NAME
        and not spec.get("schedulingGates")
        and not pod["metadata"].get("deletionTimestamp")
        and not is_terminal(pod)
    )


def _everybody(api: Api, seen: Seen) -> Iterable[Key]:
    """A node has changed what pods may want of it: all that wait may try again."""
    if seen.previous is not None:
        now_wanted, before_wanted = (
            (node.get("spec"), node["metadata"].get("labels")) for node in (seen.object, seen.previous)
        )
        if now_wanted == before_wanted:
            return ()
    return [key_of(pod) for pod in api.list("pods") if _waits(pod)]


def reconcile(api: Api, key: Key) -> None:
    """Place one pod."""
    namespace, name = key
    pod = api.find("pods", name, namespace)
    if pod is None or not _waits(pod):
        return
    objections = []
    for node in api.list("nodes"):
        why = objection(pod, node)
        if why is None:
            _bind(api, pod, node["metadata"]["name"])
            return
        objections.append(why)
    _give_up(api, pod, explanation(objections))


def _bind(api: Api, pod: Obj, node: str) -> None:
    namespace, name = key_of(pod)

    def change(copy: Obj) -> Obj:
        copy["spec"]["nodeName"] = node
        status = copy.setdefault("status", {})
        others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
        scheduled = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": now(),
        }
        status["conditions"] = [*others, scheduled]
        return copy

    api.modify("pods", name, namespace, change, subresource="binding")
    api.record_event(pod, "Normal", "Scheduled", f"Successfully assigned {namespace}/{name} to {node}", _NAME)


def _give_up(api: Api, pod: Obj, message: str) -> None:
    namespace, name = key_of(pod)
    said = condition(pod, "PodScheduled")
    if said is not None and said.get("message") == message and said["status"] == "False":
        return

    def change(copy: Obj) -> Obj:
        status = copy.setdefault("status", {})
        others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
        failed = {
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": None,
            "lastTransitionTime": said["lastTransitionTime"] if said and said["status"] == "False" else now(),
            "reason": "Unschedulable",
            "message": message,
        }
        status["conditions"] = [*others, failed]
        return copy

    api.record_event(pod, "Warning", "FailedScheduling", message, _NAME)
    api.modify("pods", name, namespace, change, subresource="status")
