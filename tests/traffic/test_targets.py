"""From a flow to what is tried where."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.policy import Family, Flow
from labkit.traffic.targets import Pods, Source, Untriable


def pod(
    name: str, *ips: str, containers: tuple[str, ...] = ("main",), phase: str = "Running", **metadata: Any
):
    return {
        "metadata": {"namespace": "ns", "name": name, **metadata},
        "spec": {"containers": [{"name": one, "image": f"{one}:1"} for one in containers]},
        "status": {
            "phase": phase, "podIP": ips[0] if ips else "", "podIPs": [{"ip": ip} for ip in ips],
            "containerStatuses": [{"name": one, "state": {"running": {}}} for one in containers],
        },
    }  # fmt: skip


def flow(source: str = "ns/a", destination: str = "ns/b", **options: Any) -> Flow:
    return Flow(source, destination, 80, **options)


def test_a_pod_is_reached_by_its_address_of_the_family() -> None:
    pods = Pods([pod("b", "10.1.1.1", "fd00::1")])
    assert pods.attempt(flow()).host == "10.1.1.1"
    assert pods.attempt(flow(family=Family.IPV6)).host == "fd00::1"
    with pytest.raises(Untriable, match="pod ns/b has no IPv6 address"):
        Pods([pod("b", "10.1.1.1")]).attempt(flow(family=Family.IPV6))


def test_a_service_is_reached_by_the_name_that_applications_write() -> None:
    assert Pods([]).attempt(flow(destination="service:shop/web")).host == "web.shop.svc"


def test_an_address_is_itself() -> None:
    assert Pods([]).attempt(flow(destination="203.0.113.7")).host == "203.0.113.7"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([], "there is no pod ns/b"),
        ([pod("b")], "pod ns/b has no address"),
        ([pod("b", "10.1.1.1", phase="Pending")], r"pod ns/b is not running \(Pending\)"),
    ],
)
def test_a_destination_that_cannot_be_reached_says_why(found: list[Any], reason: str) -> None:
    with pytest.raises(Untriable, match=reason):
        Pods(found).attempt(flow())


def test_the_source_is_the_first_running_container_or_the_one_that_is_the_default() -> None:
    assert Pods([pod("a", "10.1.1.1", containers=("x", "y"))]).source(flow()) == Source("ns", "a", "x", "x:1")
    chosen = {"kubectl.kubernetes.io/default-container": "y"}
    assert (
        Pods([pod("a", "10.1.1.1", containers=("x", "y"), annotations=chosen)]).source(flow()).container
        == "y"
    )
    half = pod("a", "10.1.1.1", containers=("x", "y"))
    half["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    assert Pods([half]).source(flow()).container == "y"


@pytest.mark.parametrize(
    ("found", "source", "reason"),
    [
        ([], "ns/a", "not a pod of this cluster"),
        ([], "203.0.113.7", "an address outside the cluster"),
        ([pod("a", phase="Pending")], "ns/a", r"not running \(Pending\)"),
        ([pod("a", "10.1.1.1", deletionTimestamp="now")], "ns/a", "being deleted"),
        ([pod("a", "10.1.1.1", containers=())], "ns/a", "no container of pod ns/a is running"),
    ],
)
def test_a_source_that_cannot_try_says_why(found: list[Any], source: str, reason: str) -> None:
    with pytest.raises(Untriable, match=reason):
        Pods(found).source(flow(source))
