"""When an object is ready, and what is said when it is not."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.cluster.waiting import Condition, why_not_ready


def ready(kind: str, obj: dict[str, Any]) -> bool:
    holds = Condition.named("ready", kind).holds
    assert holds is not None
    return holds({"metadata": {"name": "x", **obj.pop("metadata", {})}, **obj})


def conditions(**values: str) -> dict[str, Any]:
    return {"conditions": [{"type": name, "status": value} for name, value in values.items()]}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        ({"status": {"phase": "Running", **conditions(Ready="True")}}, True),
        ({"status": {"phase": "Running", **conditions(Ready="False")}}, False),
        ({"status": {"phase": "Succeeded"}}, True),
        ({"status": {"phase": "Pending"}}, False),
        ({"metadata": {"deletionTimestamp": "now"}, "status": conditions(Ready="True")}, False),
    ],
)
def test_a_pod_is_ready_by_its_condition(pod: dict[str, Any], expected: bool) -> None:
    assert ready("Pod", pod) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}, True),
        ({"observedGeneration": 1, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}, False),
        ({"observedGeneration": 2, "updatedReplicas": 1, "replicas": 2, "availableReplicas": 2}, False),
        ({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 3, "availableReplicas": 3}, False),
        ({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}, False),
        ({}, False),
    ],
)
def test_a_deployment_is_ready_as_rollout_status_says(status: dict[str, Any], expected: bool) -> None:
    assert (
        ready("Deployment", {"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status})
        is expected
    )


def test_the_reason_of_a_waiting_container_is_told() -> None:
    waiting = {"reason": "ErrImagePull", "message": "no stand-in for postgres"}
    pod = {"status": {"containerStatuses": [{"name": "db", "state": {"waiting": waiting}}]}}
    assert why_not_ready(pod) == "container db: ErrImagePull no stand-in for postgres"
