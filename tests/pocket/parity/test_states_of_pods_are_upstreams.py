"""Pods in every state that a learner meets: the STATUS that `kubectl get` shows, and the events that explain it."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.pocket.parity.conftest import Asked
from tests.pocket.parity.recording import HERE, assert_same, recording, settle

ROWS = {row["name"]: row for row in recording("states") if row["name"] != "ReplicaSet none"}
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
def seen(cluster: Asked) -> dict[str, dict[str, Any]]:
    """Name -> the last [READY, STATUS] and the events, on pocket."""
    cluster.kubectl("apply", "-f", str(HERE / "golden" / "states.yaml"))
    time.sleep(SECONDS)
    _, table, _ = cluster.kubectl("get", "pods", "-n", "shop", "--no-headers")
    found: dict[str, dict[str, Any]] = {}
    for line in table.splitlines():
        pod, ready, status = line.split()[:3]
        found[plain(pod)] = {"state": [ready, status], "events": set()}
    _, events = cluster.http("GET", "/api/v1/namespaces/shop/events")
    for event in events["items"]:
        what = event["involvedObject"]
        name = plain(what["name"]) if what["kind"] == "Pod" else f"{what['kind']} {plain(what['name'])}"
        entry = found.setdefault(name, {"events": set()})
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent")
        line = [event["type"], event["reason"], event["message"], what.get("fieldPath", ""), source]
        entry["events"].add(said(line))
    cluster.kubectl("delete", "namespace", "shop", "--wait=false")
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
