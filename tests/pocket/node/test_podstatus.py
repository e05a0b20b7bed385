from __future__ import annotations

from typing import Any

import pytest

from labkit.pocket.node.podstatus import ContainerRecord, conditions, phase, quality_of_service, waiting

RUNNING = {"running": {"startedAt": "t"}}


def record(state: dict[str, Any] | None = None, **fields: Any) -> ContainerRecord:
    return ContainerRecord(
        fields.pop("name", "c"), "image", state=state or waiting("ContainerCreating"), **fields
    )


def ended(code: int) -> dict[str, Any]:
    return {"terminated": {"exitCode": code}}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([record()], "Pending"),
        ([record(RUNNING)], "Running"),
        ([record(RUNNING), record(ended(0), finished=True)], "Running"),
        ([record(ended(0), finished=True)], "Succeeded"),
        ([record(ended(0), finished=True), record(ended(1), finished=True)], "Failed"),
        ([record(waiting("CrashLoopBackOff"), last_state=ended(1))], "Running"),
        ([record(ended(1))], "Running"),  # between its end and its next start
        ([record(RUNNING, init=True), record()], "Pending"),
        ([record(ended(1), init=True, finished=True), record()], "Failed"),
        ([record(ended(0), init=True, finished=True), record(RUNNING)], "Running"),
        ([record(RUNNING, init=True, sidecar=True), record(ended(0), finished=True)], "Succeeded"),
        ([record(init=True), record(ended(0), finished=True)], "Succeeded"),  # found so after a reboot
    ],
)
def test_the_phase_is_upstreams(records: list[ContainerRecord], expected: str) -> None:
    assert phase(records) == expected


def found(records: list[ContainerRecord], pod: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    pod = pod or {"spec": {}, "status": {}}
    return {c["type"]: c for c in conditions(pod, records, phase(records), sandbox=True, at="now")}


def test_a_pod_is_ready_when_all_its_containers_are() -> None:
    assert found([record(RUNNING, ready=True)])["Ready"]["status"] == "True"
    half = found([record(RUNNING, ready=True), record(RUNNING, name="d")])
    assert half["Ready"]["status"] == half["ContainersReady"]["status"] == "False"
    assert half["Ready"]["message"] == "containers with unready status: [d]"


def test_init_containers_hold_initialized_back() -> None:
    condition = found([record(RUNNING, init=True, name="i"), record()])["Initialized"]
    assert (condition["status"], condition["message"]) == ("False", "containers with incomplete status: [i]")


def test_a_readiness_gate_holds_ready_back_but_not_the_containers() -> None:
    pod = {"spec": {"readinessGates": [{"conditionType": "example/gate"}]}, "status": {}}
    seen = found([record(RUNNING, ready=True)], pod)
    assert (seen["Ready"]["status"], seen["ContainersReady"]["status"]) == ("False", "True")
    pod["status"] = {"conditions": [{"type": "example/gate", "status": "True"}]}
    seen = found([record(RUNNING, ready=True)], pod)
    assert seen["Ready"]["status"] == "True"
    assert seen["example/gate"]["status"] == "True"  # kept: it is not ours


def test_the_transition_time_moves_only_with_the_status() -> None:
    before = {
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "then"}]},
    }
    assert found([record(RUNNING, ready=True)], before)["Ready"]["lastTransitionTime"] == "then"
    assert found([record(RUNNING)], before)["Ready"]["lastTransitionTime"] == "now"


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
def test_the_quality_of_service_is_upstreams(resources: dict[str, Any], expected: str) -> None:
    assert quality_of_service({"spec": {"containers": [{"resources": resources}]}}) == expected
