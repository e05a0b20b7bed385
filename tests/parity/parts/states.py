"""Pods in every state that a learner meets (inputs/states.yaml): STATUS, the events that explain it, and `kubectl describe`."""

from __future__ import annotations

import re
import time
from typing import Any

from tests.parity.asked import Asked
from tests.parity.recording import HERE
from tests.parity.settling import settle

NAME = "states"
NAMESPACE = "shop"
SECONDS = 24  # by then every probe has failed often enough and every crash has been tried three times
DESCRIBED = (
    "pod/ready", "pod/unschedulable", "pod/notready", "deployment/web", "deployment/none", "replicaset/lone", "service/web",
    "service/headless", "service/nodeport", "service/outside", "service/noselector", "service/empty",
    "networkpolicy/deny-all", "networkpolicy/full", "networkpolicy/exists", "secret/login", "configmap/settings",
    "serviceaccount/robot", "endpoints/noselector", "pod/completed", "pod/failed", "pod/initwait", "pod/sidecar",
    "pod/mounts", "pod/hostnet",
)  # fmt: skip
# What a pod alternates between, under the name of the state that lasts longer.
TURNS = {
    "ErrImagePull": "ImagePullBackOff",
    "Error": "CrashLoopBackOff",
    "RunContainerError": "CrashLoopBackOff",
    "StartError": "CrashLoopBackOff",
    "Init:Error": "Init:CrashLoopBackOff",
}
# Whether these happen is the clock's business: how often a container has died by then, and whether a server listens when
# it is first probed.
BY_CHANCE = {("Pod unlively", "BackOff"), ("Pod web", "Unhealthy")}
STAYS = ("completed", "failed")  # pods that are not started again


def ask(cluster: Asked) -> dict[str, Any]:
    """ "pod NAME", "events of NAME", "describe KIND/NAME" -> what there is to see."""
    cluster.kubectl("apply", "-f", str(HERE / "inputs/states.yaml"))
    try:
        time.sleep(SECONDS)
        answers = {**_states(cluster), **_events(cluster)}
        for what in DESCRIBED:
            _, out, _ = cluster.kubectl("describe", what, "-n", NAMESPACE)
            answers[f"describe {what}"] = _lines(out)
        return answers
    finally:
        cluster.http("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


def _states(cluster: Asked) -> dict[str, Any]:
    _, table, _ = cluster.kubectl("get", "pods", "-n", NAMESPACE, "--no-headers")
    found = {}
    for line in table.splitlines():
        pod, ready, status = line.split()[:3]
        if _plain(pod) not in STAYS:
            status = TURNS.get(status, status)
        if "BackOff" in status:
            ready = "x/" + ready.split("/")[1]  # its other containers come and go beside it
        found[f"pod {_plain(pod)}"] = [ready, status]
    return dict(sorted(found.items()))


def _events(cluster: Asked) -> dict[str, Any]:
    _, events = cluster.http("GET", f"/api/v1/namespaces/{NAMESPACE}/events")
    found: dict[str, set[tuple[str, ...]]] = {}
    for event in events["items"]:
        what = event["involvedObject"]
        name = f"{what['kind']} {_plain(what['name'])}"
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent")
        message = event["message"]
        if (name, event["reason"]) in BY_CHANCE:
            continue
        if event["reason"] == "Pulled" or message.startswith("Failed to pull image"):
            message = message.split('"')[0]  # how an image came, and why it cannot, differs on purpose
        message = re.sub(r"(web|broken|lone|none)-[a-z0-9-]+", r"\1-X", settle(message))
        record = (event["type"], event["reason"], message, what.get("fieldPath", ""), source)
        found.setdefault(name, set()).add(record)
    return {f"events of {name}": sorted(map(list, records)) for name, records in sorted(found.items())}


def _plain(name: str) -> str:
    return re.sub(r"^(web|broken|lone|none)-.*", r"\1", name)


def _lines(text: str) -> list[str]:
    """What `kubectl describe` prints, without the events, which are compared apart, and what is made up."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC", "TIME", text.split("\nEvents:")[0])
    text = re.sub(r"\S+ to \S+ at \S+|(containerd|pocket)://\S+", "MADE-UP", text)
    counted = r"(Image ID: +|Restart Count: +|TokenExpirationSeconds: +|NodePort: +<unset> +)\S+"
    return settle(re.sub(counted, r"\1MADE-UP", text)).strip().splitlines()
