"""From what containers do to what a Pod's status says: phase, conditions, quality of service. Pure functions.

Upstream: pkg/kubelet/kubelet_pods.go (getPhase), pkg/kubelet/status/generate.go (conditions), core/v1/helper/qos.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_Object = Mapping[str, Any]
State = dict[str, Any]  # {"waiting": ...} | {"running": ...} | {"terminated": ...}


def now() -> str:
    """The time as Kubernetes writes it (whole seconds, UTC)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def waiting(reason: str, message: str = "") -> State:
    """The state of a container that is not started (yet, or again)."""
    return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}


@dataclass
class ContainerRecord:
    """One container of a pod on this node: its states and what its probes found."""

    name: str
    image: str
    init: bool = False
    sidecar: bool = False  # an init container with restartPolicy Always
    ephemeral: bool = False  # added to the running pod: it counts for nothing but its own status
    state: State = field(default_factory=lambda: waiting("ContainerCreating"))
    last_state: State = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""
    image_id: str = ""
    finished: bool = False  # ended and will not be started again

    @property
    def running(self) -> bool:
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """The exit code, if it has ended."""
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    def status(self) -> dict[str, Any]:
        """As an element of containerStatuses."""
        # An init container is ready when it has done its work (pkg/kubelet/prober/prober_manager.go:UpdatePodStatus).
        ready = self.exit_code == 0 if self.init and not self.sidecar else self.ready
        return {
            "name": self.name,
            "state": self.state,
            "lastState": self.last_state,
            "ready": ready and not self.ephemeral,
            "restartCount": self.restarts,
            "image": self.image,
            "imageID": self.image_id,
            **({"containerID": self.container_id} if self.container_id else {}),
            **({} if self.ephemeral else {"started": self.started}),
        }


def is_sidecar(container: _Object) -> bool:
    """An init container that goes on running beside the others."""
    return container.get("restartPolicy") == "Always"


def phase(records: Sequence[ContainerRecord], *, ending: bool = False) -> str:
    """Pending, Running, Succeeded or Failed (kubelet_pods.go:getPhase).

    Of a pod that is ending no container is started again, so it is over when all have ended.
    """
    init = [record for record in records if record.init and not record.sidecar]
    main = [record for record in records if not record.init]
    if any(record.finished and record.exit_code for record in init):
        return "Failed"
    if all(record.finished or (ending and record.exit_code is not None) for record in main):
        return "Failed" if any(record.exit_code for record in main) else "Succeeded"
    if not all(record.exit_code == 0 for record in init):
        return "Pending"
    running = any(record.running for record in main)
    if running or any(record.last_state or record.exit_code is not None for record in main):
        return "Running"
    return "Pending"


def conditions(
    pod: _Object, records: Sequence[ContainerRecord], pod_phase: str, *, sandbox: bool, at: str
) -> list[dict[str, Any]]:
    """The node's conditions of a pod; the transition time stays where the status stays, `at` is now."""
    init_done = all(
        record.exit_code == 0 if not record.sidecar else record.started for record in records if record.init
    )
    main = [record for record in records if not record.init]
    checked = main + [record for record in records if record.sidecar]
    unready = [record.name for record in checked if not record.ready]
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or []]
    given = {condition["type"]: condition for condition in pod.get("status", {}).get("conditions") or []}
    unmet = [gate for gate in gates if given.get(gate, {}).get("status") != "True"]

    found: list[dict[str, Any]] = [_condition("PodReadyToStartContainers", sandbox)]
    incomplete = [r.name for r in records if r.init and not (r.exit_code == 0 or (r.sidecar and r.started))]
    if pod_phase == "Succeeded":
        found.append(_condition("Initialized", True, reason="PodCompleted"))
        found += [_condition(kind, False, reason="PodCompleted") for kind in ("Ready", "ContainersReady")]
    elif pod_phase == "Failed":
        found.append(
            _condition("Initialized", init_done, reason="" if init_done else "ContainersNotInitialized")
        )
        found += [_condition(kind, False, reason="PodFailed") for kind in ("Ready", "ContainersReady")]
    else:
        if init_done:
            found.append(_condition("Initialized", True))
        else:
            message = f"containers with incomplete status: [{' '.join(incomplete)}]"
            found.append(_condition("Initialized", False, reason="ContainersNotInitialized", message=message))
        if unready:
            message = f"containers with unready status: [{' '.join(unready)}]"
            found += [
                _condition(k, False, reason="ContainersNotReady", message=message)
                for k in ("Ready", "ContainersReady")
            ]
        elif unmet:
            message = "corresponding condition of pod readiness gate " + ", ".join(
                f'"{gate}" does not exist.' for gate in unmet
            )
            found.append(_condition("Ready", False, reason="ReadinessGatesNotReady", message=message))
            found.append(_condition("ContainersReady", True))
        else:
            found += [_condition("Ready", True), _condition("ContainersReady", True)]
    found.append(given.get("PodScheduled") or _condition("PodScheduled", True))
    ours = {condition["type"] for condition in found}
    for condition in found:
        before = given.get(condition["type"])
        same = before is not None and before["status"] == condition["status"]
        moment = (
            before["lastTransitionTime"]
            if before is not None and same and before.get("lastTransitionTime")
            else at
        )
        condition.setdefault("lastProbeTime", None)
        condition["lastTransitionTime"] = moment
    return found + [condition for kind, condition in given.items() if kind not in ours]


def _condition(kind: str, true: bool, *, reason: str = "", message: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {"type": kind, "status": "True" if true else "False"}
    if reason:
        result["reason"] = reason
    if message:
        result["message"] = message
    return result


def quality_of_service(pod: _Object) -> str:
    """Guaranteed, Burstable or BestEffort (core/v1/helper/qos/qos.go:ComputePodQOS)."""
    any_set = False
    guaranteed = True
    for container in [*pod["spec"].get("containers", ()), *(pod["spec"].get("initContainers") or ())]:
        resources = container.get("resources") or {}
        limits, requests = (
            {n: q for n, q in (resources.get(k) or {}).items() if n in ("cpu", "memory")}
            for k in ("limits", "requests")
        )
        any_set = any_set or bool(limits or requests)
        if set(limits) != {"cpu", "memory"} or any(
            requests.get(name, value) != value for name, value in limits.items()
        ):
            guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
