"""What in a cluster says why something does not work: pods that are not ready, their events, the last words of their logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import ClusterError
from labkit.cluster.waiting import Condition, why_not_ready

_PODS = 4
_EVENTS = 3
_LOG_LINES = 3
_LINE = 240


def troubles(cluster: Cluster, namespaces: Iterable[str]) -> list[str]:
    """Lines about what is wrong in these namespaces; [] when nothing is seen. Never raises: it is asked after a failure."""
    try:
        return [line for namespace in namespaces for line in _of(cluster, namespace)]
    except ClusterError as problem:
        return [f"(What the cluster says about it could not be read: {problem})"]


def _of(cluster: Cluster, namespace: str) -> Iterator[str]:
    ready = Condition.named("ready", "Pod").holds
    assert ready is not None
    pods = [pod for pod in cluster.list("pods", namespace) if not ready(pod)]
    warnings = [event for event in cluster.events(namespace=namespace) if event.get("type") == "Warning"]
    for pod in pods[:_PODS]:
        name = pod["metadata"]["name"]
        yield f"  pod {namespace}/{name}: {why_not_ready(pod) or pod.get('status', {}).get('phase', 'unknown')}"
        yield from (f"    event: {_line(text)}" for text in _about(warnings, "Pod", name))
        for container in _crashed(pod):
            yield from (
                f"    log of {container}: {line}" for line in _log(cluster, namespace, name, container)
            )
    if len(pods) > _PODS:
        yield f"  and {len(pods) - _PODS} more pods that are not ready: kubectl get pods -n {namespace}"
    # What was said of pods that are ready by now, or gone, is over.
    others = [event for event in warnings if event["involvedObject"].get("kind") != "Pod"]
    for event in _newest(others):
        about = event["involvedObject"]
        yield f"  event of {about.get('kind', '')} {about.get('name', '')}: {_line(event.get('message', ''))}"


def _about(events: Iterable[Mapping[str, Any]], kind: str, name: str) -> list[str]:
    found = [
        event
        for event in events
        if (event["involvedObject"].get("kind"), event["involvedObject"].get("name")) == (kind, name)
    ]
    return [f"{event.get('reason', '')}: {event.get('message', '')}" for event in _newest(found)]


def _newest(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last few, each message once."""
    distinct = {event.get("message", ""): event for event in events}
    return list(distinct.values())[-_EVENTS:]


def _crashed(pod: Mapping[str, Any]) -> list[str]:
    """Containers that have ended with an error, now or before their last start."""
    status = pod.get("status") or {}
    found = []
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        ends = [(one.get(state) or {}).get("terminated") or {} for state in ("state", "lastState")]
        if any(end.get("exitCode") for end in ends):
            found.append(str(one.get("name")))
    return found


def _log(cluster: Cluster, namespace: str, pod: str, container: str) -> list[str]:
    try:
        text = cluster.logs(namespace, pod, container=container, tail=_LOG_LINES)
    except ClusterError:
        return []
    return [_line(line) for line in text.splitlines()]


def _line(text: str) -> str:
    one = " ".join(text.split())
    return one if len(one) <= _LINE else one[: _LINE - 1] + "…"
