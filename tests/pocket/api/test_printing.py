"""Cells of tables: ages, selectors, and the one word for a Pod's state."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.pocket.api.kinds.podrow import row
from labkit.pocket.api.kinds.printing import human_duration, selector_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 300, "3h5m"),
        (47 * 3600, "47h"),
        (50 * 3600, "2d2h"),
        (9 * 86400, "9d"),
        (800 * 86400, "2y70d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_durations_are_short(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


def test_selectors_are_sorted_by_key() -> None:
    selector = {
        "matchLabels": {"tier": "front", "app": "web"},
        "matchExpressions": [
            {"key": "env", "operator": "In", "values": ["b", "a"]},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    }
    assert selector_text(selector) == "app=web,env in (a,b),!old,tier=front"
    assert selector_text({}) == "<none>"


def state(pod_status: dict[str, Any], deleted: bool = False, init: int = 0) -> list[Any]:
    metadata: dict[str, Any] = {"name": "a", "creationTimestamp": "2020-01-01T00:00:00Z"}
    if deleted:
        metadata["deletionTimestamp"] = "2020-01-01T00:00:00Z"
    spec = {
        "containers": [{"name": "c"}],
        "initContainers": [{"name": f"i{number}"} for number in range(init)],
    }
    return row({"metadata": metadata, "spec": spec, "status": pod_status})[1:4]


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "c", "restartCount": 0, "ready": False, **fields}


@pytest.mark.parametrize(
    ("status", "cells"),
    [
        ({"phase": "Pending"}, ["0/1", "Pending", "0"]),
        (
            {"phase": "Running", "containerStatuses": [container(ready=True, state={"running": {}})]},
            ["1/1", "Running", "0"],
        ),
        (
            {
                "phase": "Pending",
                "containerStatuses": [container(state={"waiting": {"reason": "ErrImagePull"}})],
            },
            ["0/1", "ErrImagePull", "0"],
        ),
        (
            {
                "phase": "Succeeded",
                "containerStatuses": [container(state={"terminated": {"reason": "Completed"}})],
            },
            ["0/1", "Completed", "0"],
        ),
        (
            {"phase": "Failed", "containerStatuses": [container(state={"terminated": {"exitCode": 3}})]},
            ["0/1", "ExitCode:3", "0"],
        ),
        ({"phase": "Failed", "reason": "Evicted"}, ["0/1", "Evicted", "0"]),
    ],
)
def test_a_pods_state_is_one_word(status: dict[str, Any], cells: list[str]) -> None:
    assert state(status) == cells


def test_a_pod_that_ends_is_terminating() -> None:
    assert state({"phase": "Running"}, deleted=True)[1] == "Terminating"
    assert state({"phase": "Failed"}, deleted=True)[1] == "Failed"


def test_init_containers_are_counted() -> None:
    running = {"name": "i1", "state": {"running": {}}}
    done = {"name": "i0", "state": {"terminated": {"exitCode": 0}}}
    failed = {"name": "i0", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    assert state({"phase": "Pending", "initContainerStatuses": [done, running]}, init=2)[1] == "Init:1/2"
    assert state({"phase": "Pending", "initContainerStatuses": [failed]}, init=2)[1] == "Init:Error"


def test_restarts_say_when_the_last_was() -> None:
    last = {"terminated": {"finishedAt": "2020-01-01T00:00:00Z"}}
    text = state({"phase": "Running", "containerStatuses": [container(restartCount=4, lastState=last)]})[2]
    assert text.startswith("4 (")
    assert text.endswith(" ago)")
