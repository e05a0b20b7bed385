"""A Pod's row in `kubectl get pods`: its one-word state, restarts, ready containers (printers.printPod)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from labkit.pocket.api.kinds.printing import NONE, age, human_duration, moment

Obj = dict[str, Any]


def row(pod: Obj) -> list[Any]:
    """The cells of `kubectl get pods` (printers.printPod)."""
    spec, status, metadata = pod.get("spec") or {}, pod.get("status") or {}, pod["metadata"]
    state = _State(spec, status)
    reason = state.reason
    if metadata.get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    restarts = str(state.restarts)
    if state.restarts and state.last_restart is not None:
        restarts += f" ({human_duration((datetime.now(UTC) - state.last_restart).total_seconds())} ago)"
    gates = spec.get("readinessGates") or []
    conditions = {item.get("type"): item.get("status") for item in status.get("conditions") or []}
    met = sum(conditions.get(gate.get("conditionType")) == "True" for gate in gates)
    return [
        metadata["name"],
        f"{state.ready}/{state.total}",
        reason,
        restarts,
        age(pod),
        (status.get("podIPs") or [{}])[0].get("ip") or status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{met}/{len(gates)}" if gates else NONE,
    ]


class _State:
    """The one word for a Pod's state, with restarts and ready containers."""

    def __init__(self, spec: Obj, status: Obj) -> None:
        self.total = len(spec.get("containers") or [])
        self.ready = 0
        self.restarts = 0
        self.last_restart: datetime | None = None
        self.reason: str = status.get("reason") or status.get("phase", "")
        conditions = {item.get("type"): item for item in status.get("conditions") or []}
        scheduled = conditions.get("PodScheduled") or {}
        if scheduled.get("reason") == "SchedulingGated":
            self.reason = "SchedulingGated"
        sidecars = {
            container["name"]
            for container in spec.get("initContainers") or []
            if container.get("restartPolicy") == "Always"
        }
        self.total += len(sidecars)
        initialising = self._initialise(spec, status, sidecars)
        if not initialising or (conditions.get("Initialized") or {}).get("status") == "True":
            self._containers(status, conditions, sidecars)

    def _initialise(self, spec: Obj, status: Obj, sidecars: set[str]) -> bool:
        count = len(spec.get("initContainers") or [])
        for index, container in enumerate(status.get("initContainerStatuses") or []):
            self._count(container)
            state = container.get("state") or {}
            ended, waiting = state.get("terminated"), state.get("waiting")
            if ended is not None and ended.get("exitCode", 0) == 0:
                continue
            if container.get("name") in sidecars and container.get("started"):
                self.ready += bool(container.get("ready"))
                continue
            if ended is not None:
                self.reason = f"Init:{ended.get('reason') or _exit_words(ended)}"
            elif waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
                self.reason = f"Init:{waiting['reason']}"
            else:
                self.reason = f"Init:{index}/{count}"
            return True
        return False

    def _containers(self, status: Obj, conditions: Mapping[str, Any], sidecars: set[str]) -> None:
        # From here on only sidecars and the containers themselves count.
        self.restarts, self.last_restart = 0, None
        for container in status.get("initContainerStatuses") or []:
            if container.get("name") in sidecars:
                self._count(container)
        has_running = False
        for container in reversed(status.get("containerStatuses") or []):
            self._count(container)
            state = container.get("state") or {}
            ended, waiting = state.get("terminated"), state.get("waiting")
            if waiting is not None and waiting.get("reason"):
                self.reason = waiting["reason"]
            elif ended is not None:
                self.reason = ended.get("reason") or _exit_words(ended)
            elif container.get("ready") and state.get("running") is not None:
                has_running = True
                self.ready += 1
        if self.reason == "Completed" and has_running:
            ready = (conditions.get("Ready") or {}).get("status") == "True"
            self.reason = "Running" if ready else "NotReady"

    def _count(self, container: Obj) -> None:
        self.restarts += container.get("restartCount", 0)
        ended = (container.get("lastState") or {}).get("terminated")
        if ended is not None:
            then = moment(ended.get("finishedAt") or "")
            if then is not None and (self.last_restart is None or then > self.last_restart):
                self.last_restart = then


def _exit_words(ended: Obj) -> str:
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return f"ExitCode:{ended.get('exitCode', 0)}"
