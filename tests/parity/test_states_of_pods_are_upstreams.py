"""Pods in every state that a learner meets: the STATUS that `kubectl get` shows, and the events that explain it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.parity.conftest import Asked
from tests.parity.recording import HERE, assert_same, recording, settle

ROWS = {row["name"]: row for row in recording("states") if row["name"] != "ReplicaSet none"}
DESCRIBED = {row["what"]: row["stdout"] for row in recording("describe")}
PODS = [name for name in ROWS if " " not in name and not name.startswith("sideca")]
# What the recording shows between its snapshots only.
ALSO = {
    "noimage": [["0/1", "ImagePullBackOff"]],
    "nocommand": [["0/1", "CrashLoopBackOff"]],
    "broken": [["1/2", "CrashLoopBackOff"]],
}
SECONDS = 24  # by then every probe has failed often enough and every crash has been tried three times


def said(event: list[str]) -> tuple[str, ...]:
    """An event without what differs on purpose: how an image came here, and why it cannot."""
    kind, reason, message, path, component = event
    if reason == "Pulled" or message.startswith("Failed to pull image"):
        message = message.split('"')[0]
    return (
        kind,
        reason,
        re.sub(r"(web|broken|lone|none)-[a-z0-9-]+", r"\1-X", settle(message)),
        path,
        component,
    )


@pytest.fixture(scope="module")
def shop(cluster: Asked) -> Iterator[Asked]:
    """The cluster, with the pods in their states."""
    cluster.kubectl("apply", "-f", str(HERE / "golden" / "states.yaml"))
    time.sleep(SECONDS)
    yield cluster
    cluster.kubectl("delete", "namespace", "shop", "--wait=false")


@pytest.fixture(scope="module")
def seen(shop: Asked) -> dict[str, dict[str, Any]]:
    """Name -> the last [READY, STATUS] and the events, on pocket."""
    _, table, _ = shop.kubectl("get", "pods", "-n", "shop", "--no-headers")
    found: dict[str, dict[str, Any]] = {}
    for line in table.splitlines():
        pod, ready, status = line.split()[:3]
        found[plain(pod)] = {"state": [ready, status], "events": set()}
    _, events = shop.http("GET", "/api/v1/namespaces/shop/events")
    for event in events["items"]:
        what = event["involvedObject"]
        name = plain(what["name"]) if what["kind"] == "Pod" else f"{what['kind']} {plain(what['name'])}"
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent")
        record = [event["type"], event["reason"], event["message"], what.get("fieldPath", ""), source]
        found.setdefault(name, {"events": set()})["events"].add(said(record))
    return found


def plain(name: str) -> str:
    return re.sub(r"^(web|broken|lone|none)-.*", r"\1", name)


@pytest.mark.cluster
@pytest.mark.parametrize("name", PODS)
def test_the_status_is_one_that_a_real_cluster_shows_for(name: str, seen: dict[str, dict[str, Any]]) -> None:
    real = [*ROWS[name]["seen"], *ALSO.get(name, [])]
    state = seen[name]["state"]
    assert_same("states", name, True, state in real[-2:] or f"{state} is not one of {real}")


@pytest.mark.cluster
@pytest.mark.parametrize("name", ROWS)
def test_the_events_are_those_of_a_real_cluster_for(name: str, seen: dict[str, dict[str, Any]]) -> None:
    # The recording cluster had a second node for a moment.
    real = {said(event) for event in ROWS[name]["events"] if "0/2 nodes" not in event[2]}
    if name == "stubborn":  # was deleted while it was recorded
        real = {event for event in real if event[1] != "Killing"}
    assert_same("events", name, sorted(real), sorted(seen.get(name, {"events": set()})["events"]))


def plainly(text: str) -> list[str]:
    """What `kubectl describe` prints, without the events, which are compared above, and what is made up."""
    text = re.sub(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME", text.split("\nEvents:")[0])
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC", "TIME", text)
    text = re.sub(r"\S+ to \S+ at \S+|kube-api-access-\w{5}|(containerd|pocket)://\S+", "MADE-UP", text)
    text = re.sub(
        r"(Image ID: +|Restart Count: +|TokenExpirationSeconds: +|NodePort: +<unset> +)\S+",
        r"\1MADE-UP",
        text,
    )
    return settle(text).strip().splitlines()


@pytest.mark.cluster
@pytest.mark.parametrize("what", DESCRIBED)
def test_describe_prints_what_it_prints_on_a_real_cluster_for(what: str, shop: Asked) -> None:
    code, out, _ = shop.kubectl("describe", what, "-n", "shop")
    assert code == 0
    assert_same("describe", what, plainly(DESCRIBED[what]), plainly(out))
