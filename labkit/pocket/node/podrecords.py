"""The records of a pod's containers when the node takes it up: new, or as found after a reboot of the node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.pocket.node import podstatus
from labkit.pocket.node.podstatus import ContainerRecord

_REBOOT_EXIT_CODE = 255  # what containerd reports for a container it finds dead after a reboot


def ephemeral_records(pod: Mapping[str, Any]) -> list[ContainerRecord]:
    """The records of a pod's ephemeral containers; after a reboot they do not start again."""
    known = {s["name"]: s for s in pod.get("status", {}).get("ephemeralContainerStatuses") or []}
    found = []
    for container in pod["spec"].get("ephemeralContainers") or []:
        record = ContainerRecord(container["name"], container.get("image", ""), ephemeral=True)
        if record.name in known:
            _remember(record, known[record.name], "Never")
        found.append(record)
    return found


def records(pod: Mapping[str, Any]) -> list[ContainerRecord]:
    """The containers' records: new, or as a node finds them after a reboot."""
    spec, status = pod["spec"], pod.get("status", {})
    known = {
        s["name"]: s
        for field in ("initContainerStatuses", "containerStatuses")
        for s in status.get(field) or []
    }
    init = spec.get("initContainers") or []
    found: list[ContainerRecord] = []
    for container in [*init, *spec["containers"]]:
        is_init = any(container is one for one in init)
        sidecar = is_init and podstatus.is_sidecar(container)
        record = ContainerRecord(container["name"], container.get("image", ""), init=is_init, sidecar=sidecar)
        if is_init or init:
            record.state = podstatus.waiting("PodInitializing")
        before = known.get(record.name)
        if before is not None:
            _remember(record, before, "Always" if sidecar else spec.get("restartPolicy", "Always"))
        found.append(record)
    return found


def _remember(record: ContainerRecord, before: Mapping[str, Any], policy: str) -> None:
    record.restarts = int(before.get("restartCount", 0))
    record.container_id = before.get("containerID", "")
    record.image_id = before.get("imageID", "")
    record.last_state = dict(before.get("lastState") or {})
    state = before.get("state") or {}
    if "running" in state:
        ended = {
            "exitCode": _REBOOT_EXIT_CODE,
            "reason": "Unknown",
            "startedAt": state["running"].get("startedAt"),
            "finishedAt": podstatus.now(),
            "containerID": record.container_id,
        }
        state = {"terminated": ended}
    if "terminated" not in state:
        return
    code = int(state["terminated"]["exitCode"])
    # Init containers run again after a reboot; a container that has ended for good stays as it is.
    if (policy == "Never" and not record.init) or (policy == "OnFailure" and code == 0 and not record.init):
        record.state = dict(state)
        record.finished = True
    else:
        record.last_state = dict(state)
