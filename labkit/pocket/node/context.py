"""What every part of the node works with: the API, the zygote, the network, the places on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from labkit.pocket.api.errors import ApiError
from labkit.pocket.node.spawner import Spawner

if TYPE_CHECKING:
    from labkit.pocket.api.api import Api

log = logging.getLogger(__name__)

NODE_NAME = "pocket"
NODE_ADDRESS = "172.18.0.2"
_ABOUT_CONTAINER = "spec.{list}{{{name}}}"


class Address(Protocol):
    """A pod's place in the network."""

    @property
    def ip(self) -> str:
        """Its address."""


class Network(Protocol):
    """What the node needs of the pod network (`labkit.pocket.node.network.PodNetwork`)."""

    async def attach(self, pod_key: str, uid: str, netns_fd: int) -> Address:
        """Connect a pod's namespace; the policies that select the pod are in force when this returns."""

    async def detach(self, uid: str) -> None:
        """Take a pod off the network and free its address."""

    async def rules(self, namespace: str, pod: str, style: str = "nft") -> str:
        """A pod's packet rules with counters, for a person to read."""


@dataclass(frozen=True)
class Context:
    """The node, as its parts see it. `run` is on a tmpfs of the cluster's own; `logs` is on disk."""

    api: Api
    spawner: Spawner
    network: Network
    run: Path
    logs: Path
    #: A token for a service account: (namespace, account, pod) → JWT. Raises ApiError when there is no such account.
    token: Callable[[str, str, Mapping[str, Any]], str]
    machine_resolv_conf: str = ""
    node_name: str = NODE_NAME
    node_address: str = NODE_ADDRESS

    def event(
        self, pod: Mapping[str, Any], kind: str, reason: str, message: str, container: str = ""
    ) -> None:
        """Record an event about a pod (or one of its containers) as a kubelet does."""
        meta = pod["metadata"]
        about: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "resourceVersion": meta.get("resourceVersion", ""),
        }
        if container:
            lists = ("initContainers", "ephemeralContainers")
            found = [of for of in lists if any(c["name"] == container for c in pod["spec"].get(of) or ())]
            about["fieldPath"] = _ABOUT_CONTAINER.format(list=(*found, "containers")[0], name=container)
        try:
            self.api.record_event(about, kind, reason, message, "kubelet")
        except ApiError as problem:
            log.debug("event %s about %s not recorded: %s", reason, meta["name"], problem)

    def lookup(self, namespace: str) -> Callable[[str, str], Mapping[str, Any] | None]:
        """A function that finds ConfigMaps and Secrets of a namespace."""

        def find(resource: str, name: str) -> Mapping[str, Any] | None:
            found = self.api.find(resource, name, namespace)
            if found is None:
                return None
            return {**found, "kind": "Secret" if resource == "secrets" else "ConfigMap"}

        return find


def pod_log_folder(logs: Path, pod: Mapping[str, Any]) -> Path:
    """Where the logs of a pod's containers are, named as in /var/log/pods."""
    meta = pod["metadata"]
    return logs / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
