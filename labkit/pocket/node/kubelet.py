"""The node agent: gives every pod bound to this node a life of its own, and keeps the Node object."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.pocket.api.errors import ApiError
from labkit.pocket.node.container import Container
from labkit.pocket.node.context import Context, pod_log_folder
from labkit.pocket.node.pod import PodLife
from labkit.pocket.node.podstatus import now

log = logging.getLogger(__name__)

VERSION = "v1.34.3"
_PODS_AT_MOST = 110
_LEASES = "leases.coordination.k8s.io"


class Kubelet:
    """The pods of this node, by uid."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._lives: dict[str, PodLife] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Follow the API's pods until cancelled. `register` comes first."""
        self._remove_old_logs()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_pods())
                for resource in ("configmaps", "secrets"):
                    group.create_task(self._follow_sources(resource))
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _follow_pods(self) -> None:
        async for kind, pod in self.context.api.watch("pods"):
            if pod["spec"].get("nodeName") == self.context.node_name:
                self._news(kind, pod)

    async def _follow_sources(self, resource: str) -> None:
        """Volumes show what ConfigMaps and Secrets hold now; a kubelet's do so within a minute."""
        async for kind, obj in self.context.api.watch(resource):
            if kind == "MODIFIED":
                for life in self._lives.values():
                    if life.namespace == obj["metadata"]["namespace"]:
                        life.sandbox.refresh(resource, obj["metadata"]["name"])

    def _remove_old_logs(self) -> None:
        """The logs of pods that were removed while no daemon ran, or that a killed one could not remove."""
        known = {pod_log_folder(self.context.logs, pod).name for pod in self.context.api.list("pods")}
        for folder in self.context.logs.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def _news(self, kind: str, pod: dict[str, Any]) -> None:
        uid = pod["metadata"]["uid"]
        life = self._lives.get(uid)
        if kind == "DELETED":
            if life is not None:
                life.removed()
            return
        if life is not None:
            life.update(pod)
            return
        life = self._lives[uid] = PodLife(self.context, pod)
        task = self._tasks[uid] = asyncio.create_task(life.run(), name=f"pod {life.key}")
        task.add_done_callback(lambda done: self._ended(uid, done))

    def _ended(self, uid: str, task: asyncio.Task[None]) -> None:
        self._lives.pop(uid, None)
        self._tasks.pop(uid, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s ended by a mistake of ours", task.get_name(), exc_info=task.exception())

    def pod(self, namespace: str, name: str) -> PodLife | None:
        """The life of a pod by name; the newest, when one of that name is still going."""
        key = f"{namespace}/{name}"
        found = [life for life in self._lives.values() if life.key == key]
        return found[-1] if found else None

    def container(self, namespace: str, pod: str, name: str) -> Container | None:
        """A container of a pod, if it was ever begun in this run of the daemon."""
        life = self.pod(namespace, pod)
        return life.containers.get(name) if life is not None else None


def register(context: Context) -> None:
    """Create the Node object, or bring it up to date: Ready, its addresses, what it can hold."""
    api = context.api
    labels = {
        "beta.kubernetes.io/arch": _architecture(),
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": _architecture(),
        "kubernetes.io/hostname": context.node_name,
        "kubernetes.io/os": "linux",
        "node-role.kubernetes.io/control-plane": "",
    }
    spec = {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]}
    if api.find("nodes", context.node_name) is None:
        metadata = {"name": context.node_name, "labels": labels}
        api.create("nodes", {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec})

    def change(node: dict[str, Any]) -> dict[str, Any]:
        node["status"] = _status(context, node.get("status") or {})
        return node

    try:
        api.modify("nodes", context.node_name, None, change, subresource="status")
    except ApiError as problem:
        log.error("the Node object was not updated: %s", problem)
    _renew_lease(context)
    about = {"apiVersion": "v1", "kind": "Node", "name": context.node_name, "uid": context.node_name}
    api.record_event(about, "Normal", "Starting", "Starting kubelet.", "kubelet")


def _renew_lease(context: Context) -> None:
    """The node's Lease, for `kubectl describe node`. Nobody watches it here, so it is written at the start only."""
    name = context.node_name
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": moment}
    metadata = {"name": name, "namespace": "kube-node-lease"}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    try:
        if context.api.find(_LEASES, name, "kube-node-lease") is None:
            context.api.create(_LEASES, lease)
        else:
            context.api.modify(_LEASES, name, "kube-node-lease", lambda old: {**old, "spec": spec})
    except ApiError as problem:
        log.warning("the node's Lease was not written: %s", problem)


def _status(context: Context, before: Mapping[str, Any]) -> dict[str, Any]:
    moment = now()
    since = {c["type"]: c.get("lastTransitionTime", moment) for c in before.get("conditions") or []}
    conditions = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
    resources = {
        "cpu": str(os.cpu_count() or 1),
        "ephemeral-storage": f"{_disk(context.logs)}Ki",
        "memory": f"{_memory()}Ki",
        "pods": str(_PODS_AT_MOST),
    }
    return {
        "addresses": [
            {"type": "InternalIP", "address": context.node_address},
            {"type": "Hostname", "address": context.node_name},
        ],
        "allocatable": dict(resources),
        "capacity": resources,
        "conditions": [
            {
                "type": kind, "status": status, "reason": reason, "message": message,
                "lastHeartbeatTime": moment, "lastTransitionTime": since.get(kind, moment),
            }
            for kind, status, reason, message in conditions
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "architecture": _architecture(),
            "bootID": _line("/proc/sys/kernel/random/boot_id"),
            "containerRuntimeVersion": "pocket://0.1.0",
            "kernelVersion": platform.release(),
            "kubeProxyVersion": "",
            "kubeletVersion": VERSION,
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": f"pocket cluster on {_operating_system()}",
            "systemUUID": "",
        },
    }  # fmt: skip


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024


def _disk(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize // 1024


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
