"""Trying connections from a pod whose image has no tools: an ephemeral container beside it shares its network, and nothing else.

Kubernetes keeps such a container as long as the pod lives, so one is started and used again. It changes neither labels nor
addresses nor declared ports, so nothing that policies select is another one.
https://kubernetes.io/docs/concepts/workloads/pods/ephemeral-containers/
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from labkit.cluster import Cluster, ClusterError, ClusterUnreachable, Denied, NotFound, WaitTimeout
from labkit.cluster.client import STRATEGIC_PATCH
from labkit.cluster.starting import STUCK

from .images import RESTRICTED, probe_image, with_images_of
from .targets import Source
from .tools import NoTool

NAME = "labkit-probe"
_START_SECONDS = 90.0  # a pull included
_ONE_AT_A_TIME = threading.Lock()  # two checks at once must not start two of them


def companion(cluster: Cluster, source: Source, *, start: float = _START_SECONDS) -> Source:
    """The ephemeral container of a source's pod, running. Raises NoTool that says why there is none, ClusterUnreachable.

    start: seconds that it has to start, its image's pull included.
    """
    with _ONE_AT_A_TIME:
        try:
            pod = _pod(cluster, source)
            if (name := _running(pod)) is None:
                name = _start(cluster, source, pod, start)
        except ClusterUnreachable:
            raise
        except ClusterError as problem:
            raise NoTool(_why(problem)) from None
    return Source(source.namespace, source.pod, name, probe_image())


def _pod(cluster: Cluster, source: Source) -> Mapping[str, Any]:
    pod = cluster.get("pods", source.pod, source.namespace)
    if pod is None:
        raise NotFound(f"pod {source.namespace}/{source.pod} is gone", code=404, reason="NotFound")
    return pod


def _running(pod: Mapping[str, Any]) -> str | None:
    """The name of a container of ours that runs. One that has ended cannot be started again."""
    for one in (pod.get("status") or {}).get("ephemeralContainerStatuses") or []:
        if one["name"].startswith(NAME) and "running" in (one.get("state") or {}):
            return str(one["name"])
    return None


def _start(cluster: Cluster, source: Source, pod: Mapping[str, Any], seconds: float) -> str:
    taken = {one["name"] for one in pod["spec"].get("ephemeralContainers") or []}
    waiting = {
        one["name"]
        for one in (pod.get("status") or {}).get("ephemeralContainerStatuses") or []
        if "terminated" not in (one.get("state") or {})
    }
    ours = sorted(name for name in taken & waiting if name.startswith(NAME))
    name = ours[0] if ours else next(n for n in (NAME, *(f"{NAME}-{i}" for i in range(2, 100))) if n not in taken)  # fmt: skip
    if not ours:
        container = {"name": name, "image": probe_image(), "args": ["pause"], "securityContext": RESTRICTED}
        body = with_images_of(cluster, {"spec": {"ephemeralContainers": [container]}})
        path = cluster.kinds.named("pods").path(source.namespace, source.pod, "ephemeralcontainers")
        query = {"fieldManager": "labkit"}
        cluster.client.request("PATCH", path, query=query, body=body, content_type=STRATEGIC_PATCH)
    cluster.wait(
        "pods",
        source.pod,
        namespace=source.namespace,
        condition=lambda seen: bool(_state(seen, name)) and _settled(_state(seen, name)),
        timeout=seconds,
    )
    state = _state(_pod(cluster, source), name)
    if "running" not in state:
        told = (state.get("waiting") or state.get("terminated") or {}).get("reason", "it ended")
        raise ClusterError(f"its ephemeral container {name} does not run ({told})")
    return name


def _state(pod: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for one in (pod.get("status") or {}).get("ephemeralContainerStatuses") or []:
        if one["name"] == name:
            return dict(one.get("state") or {})
    return {}


def _settled(state: Mapping[str, Any]) -> bool:
    return (
        "running" in state
        or "terminated" in state
        or (state.get("waiting") or {}).get("reason", "") in STUCK - {"ErrImagePull"}
    )


def _why(problem: ClusterError) -> str:
    if isinstance(problem, Denied):
        return f"the lab may not put an ephemeral container beside it (pods/ephemeralcontainers): {problem.message}"
    if isinstance(problem, NotFound):
        return f"an ephemeral container cannot be put beside it: {problem.message}"
    if isinstance(problem, WaitTimeout):
        return f"the ephemeral container that was put beside it did not start: {problem.message}"
    return f"no ephemeral container tries it either: {problem.message}"
