"""From a flow to what is tried in which pod: the source's container, the destination's address or name."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.policy import Flow

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True, slots=True)
class Source:
    """A container to probe from."""

    namespace: str
    pod: str
    container: str
    image: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A flow with what to connect to: an address, or a Service's name as pods write it."""

    flow: Flow
    host: str


class Untriable(Exception):  # noqa: N818 - not an error: the reason why a cell of a table stays empty
    """The flow cannot be tried; the text says why, for the learner."""


class Pods:
    """The cluster's pods, by "namespace/name"."""

    def __init__(self, pods: Iterable[Mapping[str, Any]]) -> None:
        self._pods = {f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": pod for pod in pods}

    def source(self, flow: Flow) -> Source:
        """The container that tries the flow. Raises Untriable."""
        pod = self._pods.get(flow.source)
        if pod is None:
            what = "an address outside the cluster" if "/" not in flow.source else "not a pod of this cluster"
            raise Untriable(f"{flow.source} is {what}, nothing can be tried from there")
        status, metadata = pod.get("status") or {}, pod["metadata"]
        if metadata.get("deletionTimestamp"):
            raise Untriable(f"pod {flow.source} is being deleted")
        if status.get("phase") != "Running":
            raise Untriable(f"pod {flow.source} is not running ({status.get('phase', 'no phase yet')})")
        containers = pod["spec"]["containers"]
        wanted = (metadata.get("annotations") or {}).get(_DEFAULT_CONTAINER)
        running = {
            one["name"]
            for one in status.get("containerStatuses") or []
            if "running" in (one.get("state") or {})
        }
        chosen = [one for one in containers if one["name"] == wanted] or [
            one for one in containers if one["name"] in running
        ]
        if not chosen:
            raise Untriable(f"no container of pod {flow.source} is running")
        return Source(metadata["namespace"], metadata["name"], chosen[0]["name"], chosen[0].get("image", ""))

    def attempt(self, flow: Flow) -> Attempt:
        """What to connect to. Raises Untriable."""
        destination = flow.destination
        if destination.startswith("service:"):
            namespace, _, name = destination.removeprefix("service:").partition("/")
            return Attempt(
                flow, f"{name}.{namespace}.svc"
            )  # through the pod's search list, as applications write it
        try:
            return Attempt(flow, str(ipaddress.ip_address(destination)))
        except ValueError:
            pass
        pod = self._pods.get(destination)
        if pod is None:
            raise Untriable(f"there is no pod {destination}")
        status = pod.get("status") or {}
        if status.get("phase") != "Running":  # it may have an address already, and nothing behind it
            raise Untriable(f"pod {destination} is not running ({status.get('phase', 'no phase yet')})")
        addresses = [one["ip"] for one in status.get("podIPs") or [] if one.get("ip")] or [
            status.get("podIP", "")
        ]
        if flow.family is not None:
            wanted = 6 if flow.family.value == "IPv6" else 4
            addresses = [one for one in addresses if one and ipaddress.ip_address(one).version == wanted]
        if not addresses or not addresses[0]:
            family = f"{flow.family} " if flow.family else ""
            raise Untriable(f"pod {destination} has no {family}address")
        return Attempt(flow, addresses[0])
