"""Slow pulls are waited for, and pods that cannot start are told early. A double of the client answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labkit.cluster import CannotStart, ClusterUnreachable, WaitTimeout, starting, waiting
from labkit.cluster.kinds import Kind
from labkit.cluster.starting import stuck_reason, until_started

PODS = Kind("v1", "Pod", "pods", True, frozenset())
DEPLOYMENTS = Kind("apps/v1", "Deployment", "deployments", True, frozenset())
DEPLOYMENT: dict[str, Any] = {
    "kind": "Deployment",
    "metadata": {"name": "db", "namespace": "blog"},
    "spec": {"selector": {"matchLabels": {"app": "db"}}},
}
PULLING = {"reason": "ContainerCreating"}
REFUSED = {"reason": "ErrImagePull", "message": 'failed to pull image "db:1": no such host'}
BACKOFF = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "db:1"'}


def pod(state: dict[str, Any], *, name: str = "db-1", app: str = "db") -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True" if "running" in state else "False"}
    return {
        "metadata": {"name": name, "namespace": "blog", "uid": name, "labels": {"app": app}},
        "status": {
            "phase": "Running" if "running" in state else "Pending",
            "conditions": [ready],
            "containerStatuses": [{"name": "main", "state": state}],
        },
    }


class Client:
    """Answers like a server whose pods are what `pods(seconds since the start)` says; watches are silent until they end."""

    def __init__(self, pods: Callable[[float], list[dict[str, Any]]]) -> None:
        self._began = time.monotonic()
        self._pods = pods

    def request(self, method: str, path: str, query: Any = None) -> dict[str, Any]:
        assert method == "GET"
        pods = self._pods(time.monotonic() - self._began)
        if path.endswith("/pods"):
            return {"items": pods}
        ready = sum("running" in one["status"]["containerStatuses"][0]["state"] for one in pods)
        status = {"updatedReplicas": 1, "replicas": 1, "availableReplicas": ready}
        return {"items": [{"metadata": {"name": "db", "namespace": "blog"}, "status": status}]}

    def lines(self, path: str, query: Any = None, timeout: float = 0) -> Iterator[bytes]:
        time.sleep(timeout)
        return iter(())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_LOOK", 0.05)


def wait(client: Client, **further: Any) -> None:
    until_started(client, PODS, [(DEPLOYMENTS, DEPLOYMENT)], **{"timeout": 5.0, "patience": 0.2, **further})  # type: ignore[arg-type]


def test_a_pod_whose_image_cannot_be_pulled_ends_the_wait_early_and_is_named_with_the_reason() -> None:
    began = time.monotonic()
    with pytest.raises(
        CannotStart, match=r"(?s)blog/db-1: container main: ErrImagePull.*no such host"
    ) as told:
        wait(Client(lambda _: [pod({"waiting": REFUSED})]))
    assert time.monotonic() - began < 2
    assert [key.name for key in told.value.pods] == ["db-1"]


def test_back_off_and_a_further_try_are_one_and_the_same_failure() -> None:
    with pytest.raises(CannotStart):
        wait(Client(lambda t: [pod({"waiting": BACKOFF if int(t * 20) % 2 else REFUSED})]))


def test_a_pull_that_fails_once_and_then_succeeds_is_waited_for() -> None:
    wait(Client(lambda t: [pod({"waiting": REFUSED} if t < 0.1 else {"running": {}})]))


def test_a_slow_pull_is_waited_for() -> None:
    wait(Client(lambda t: [pod({"waiting": PULLING} if t < 0.6 else {"running": {}})]), patience=0.1)


def test_a_pull_that_is_too_slow_ends_at_the_timeout_and_the_pod_is_named() -> None:
    with pytest.raises(
        WaitTimeout, match=r"(?s)deployments db.*after 0.3 s.*blog/db-1.*ContainerCreating"
    ) as told:
        wait(Client(lambda _: [pod({"waiting": PULLING})]), timeout=0.3)
    assert not isinstance(told.value, CannotStart)


def test_pods_of_others_in_the_namespace_do_not_count() -> None:
    def pods(t: float) -> list[dict[str, Any]]:
        mine = pod({"waiting": PULLING} if t < 0.5 else {"running": {}})
        return [mine, pod({"waiting": REFUSED}, name="other", app="other")]

    wait(Client(pods), patience=0.1)


def test_what_is_waited_for_is_told_once_and_again_when_it_changes() -> None:
    def pods(t: float) -> list[dict[str, Any]]:
        return [
            pod({"waiting": PULLING} if t < 0.3 else {"waiting": REFUSED} if t < 0.5 else {"running": {}})
        ]

    said: list[str] = []
    wait(Client(pods), patience=2, progress=said.append)
    assert said == [
        "Waiting for blog/db-1 (ContainerCreating) ...",
        "Waiting for blog/db-1 (ErrImagePull) ...",
    ]


@pytest.mark.parametrize("reason", ["InvalidImageName", "CreateContainerConfigError", "ErrImageNeverPull"])
def test_other_reasons_that_time_does_not_mend(reason: str) -> None:
    assert stuck_reason(pod({"waiting": {"reason": reason}})) == reason


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", "CrashLoopBackOff"])
def test_reasons_that_may_pass(reason: str) -> None:
    assert stuck_reason(pod({"waiting": {"reason": reason}})) == ""


def test_a_stuck_init_container_counts() -> None:
    one = pod({"waiting": {"reason": "PodInitializing"}})
    one["status"]["initContainerStatuses"] = [{"name": "init", "state": {"waiting": BACKOFF}}]
    assert stuck_reason(one) == "ImagePullBackOff"


def test_a_watch_that_is_cut_at_the_last_moment_is_a_timeout_not_a_lost_cluster() -> None:
    class Cut(Client):
        def lines(self, path: str, query: Any = None, timeout: float = 0) -> Iterator[bytes]:
            time.sleep(timeout)
            raise ClusterUnreachable("read timed out")

    rule = waiting.Condition.named("ready", "Deployment")
    client: Any = Cut(lambda _: [pod({"waiting": PULLING})])
    with pytest.raises(WaitTimeout):
        waiting.until(client, DEPLOYMENTS, "blog", name="db", condition=rule, timeout=0.1)
