"""What a watcher sees: for each object the events in their order, reduced to what matters, while something happens.

The stories are in inputs/stories.yaml. Writes that change nothing of what matters count as one, since how often a status is
written is a matter of time; objects of generated names are told apart by what they belong to.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http.client import HTTPException
from typing import Any

import yaml

from tests.parity.asked import Asked
from tests.parity.recording import HERE

NAME = "watches"
AT_ONCE = 4
SECONDS = 90  # the longest story, with room for a busy machine

Obj = dict[str, Any]


@cache
def stories() -> dict[str, dict[str, Any]]:
    """Story -> what is watched and what is done."""
    return dict(yaml.safe_load((HERE / "inputs/stories.yaml").read_text(encoding="utf-8")))


def ask(cluster: Asked) -> dict[str, Any]:
    """Story and object -> what was seen of it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = list(pool.map(lambda name: _told(cluster, name, stories()[name]), stories()))
    return {case: seen for each in told for case, seen in each.items()}


class Watcher:
    """Follows a resource in a thread until it is told to stop."""

    def __init__(self, cluster: Asked, path: str) -> None:
        self.seen: list[tuple[str, Obj]] = []
        self._cluster = cluster
        self._path = path
        self._ended = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        try:
            for event in self._cluster.watched(self._path, SECONDS):
                if self._ended.is_set():
                    return
                self.seen.append((event["type"], event["object"]))
        except (OSError, HTTPException):
            if not self._ended.is_set():  # a cluster that is ended ends its watches
                raise

    def stop(self) -> None:
        """What comes from now on is not looked at."""
        self._ended.set()


def _told(cluster: Asked, name: str, story: dict[str, Any]) -> dict[str, Any]:
    namespace = f"story-{name}"
    cluster.http("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    place = cluster.within(namespace, cluster.folder / namespace)
    for text in story.get("before", []):
        place.kubectl("apply", "-f", "-", stdin=text)
    for words in story.get("until", []):
        code, out, err = place.kubectl(*words.split(), timeout=60)
        assert code == 0, f"{name}: {words}: {out}{err}"
    paths = {key: path.replace("NAMESPACE", namespace) for key, path in story["watch"].items()}
    watchers = {key: Watcher(cluster, path) for key, path in paths.items()}
    time.sleep(0.5)  # for what is there already
    for step in story["steps"]:
        _do(place, watchers, step)
    for watcher in watchers.values():
        watcher.stop()
    cluster.http("DELETE", f"/api/v1/namespaces/{namespace}")
    return {
        f"{name}: {key} {what}": events
        for key, watcher in watchers.items()
        for what, events in _by_object(watcher.seen, story.get("only", "")).items()
    }


def _do(place: Asked, watchers: dict[str, Watcher], step: Any) -> None:
    """A line for kubectl; {apply: text}; {until: KEY, sees: text}: wait until the last thing seen of `times` objects is so."""
    if isinstance(step, str):
        code, out, err = place.kubectl(*step.split(), timeout=60)
        assert code == 0, f"{step}: {out}{err}"
    elif "apply" in step:
        place.kubectl("apply", "-f", "-", stdin=step["apply"])
    else:
        end = time.monotonic() + SECONDS - 5
        while time.monotonic() < end:
            events = _by_object(watchers[step["until"]].seen, "")
            if sum(bool(re.search(step["sees"], seen[-1])) for seen in events.values()) >= step.get(
                "times", 1
            ):
                return
            time.sleep(0.05)


def _by_object(seen: list[tuple[str, Obj]], only: str) -> dict[str, list[str]]:
    """Object -> its events, as one line each, without repetitions; generated names become numbers, in order of appearance."""
    found: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for kind, obj in seen:
        if kind == "BOOKMARK":
            continue
        name = obj["metadata"].get("name", "")
        if only and not re.search(only, name):
            continue
        family = re.sub(
            r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}(-[a-z0-9]{5})?$|-[bcdfghjklmnpqrstvwxz2456789]{5}$",
            "-*",
            name,
        )
        if name not in names:
            number = sum(known == family or known.startswith(f"{family} ") for known in names.values())
            names[name] = f"{family} {number + 1}" if number else family
        line = f"{kind} {SUMMARIES.get(obj['kind'], _plain)(obj)}".rstrip()
        lines = found.setdefault(names[name], [])
        if not lines or lines[-1].removeprefix("ADDED").removeprefix("MODIFIED") != line.removeprefix(
            "MODIFIED"
        ):
            lines.append(line)
    return found


def _ending(obj: Obj) -> str:
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp"):
        return ""
    grace = metadata.get("deletionGracePeriodSeconds")
    return " ending" if grace is None else f" ending in {grace} s"


def _labels(obj: Obj) -> str:
    labels = {
        k: v
        for k, v in (obj["metadata"].get("labels") or {}).items()
        if "hash" not in k and "kubernetes.io" not in k
    }
    return " ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _plain(obj: Obj) -> str:
    data = obj.get("data")
    return " ".join(part for part in (_labels(obj), f"data={data}" if data else "") if part) + _ending(obj)


def _namespace(obj: Obj) -> str:
    finalizers = ",".join((obj.get("spec") or {}).get("finalizers") or [])
    return f"{(obj.get('status') or {}).get('phase', '')} [{finalizers}]{_ending(obj)}"


def _pod(obj: Obj) -> str:
    """Scheduled or not, phase, what the containers do, ready or not."""
    status = obj.get("status") or {}
    states = []
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state, detail = next(iter((one.get("state") or {}).items()), ("", {}))
        reason = detail.get("reason", "")
        if state != "waiting":  # whether a kubelet has said that they wait is a matter of time
            states.append(f"{one['name']}:{state}" + (f"/{reason}" if reason else ""))
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
    parts = [
        _labels(obj),
        "on a node" if obj["spec"].get("nodeName") else "nowhere",
        status.get("phase", ""),
        ",".join(states),
        "ready" if conditions.get("Ready") == "True" else "",
    ]
    return " ".join(part for part in parts if part) + _ending(obj)


def _deployment(obj: Obj) -> str:
    """What is wanted; what is there is said at rest only, since the steps between depend on time."""
    status, spec = obj.get("status") or {}, obj["spec"]
    counts = [
        status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    ]
    rests = status.get("observedGeneration") == obj["metadata"].get("generation") and set(counts) == {
        spec.get("replicas")
    }
    reasons = {c["type"]: f"{c['status']}/{c['reason']}" for c in status.get("conditions") or []}
    done = f"at rest {sorted(reasons.items())}" if rests else "under way"
    return (
        f"generation {obj['metadata'].get('generation')} wants {spec.get('replicas')}: {done}{_ending(obj)}"
    )


def _replica_set(obj: Obj) -> str:
    status, wanted = obj.get("status") or {}, obj["spec"].get("replicas")
    rests = {status.get(key, 0) for key in ("replicas", "readyReplicas", "availableReplicas")} == {wanted}
    return f"wants {wanted}: {'at rest' if rests else 'under way'}{_ending(obj)}"


def _slice(obj: Obj) -> str:
    """How many addresses are ready."""
    ready = [bool((one.get("conditions") or {}).get("ready")) for one in obj.get("endpoints") or []]
    return f"{sum(ready)} of {len(ready)} ready{_ending(obj)}"


SUMMARIES: dict[str, Callable[[Obj], str]] = {
    "Namespace": _namespace,
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "EndpointSlice": _slice,
}
