"""What a pod has before its containers: namespaces, a place in the network, volumes and its files in /etc."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Mapping
from typing import Any

from labkit.pocket.api.errors import ApiError
from labkit.pocket.node import etcfiles
from labkit.pocket.node.containerspec import Place
from labkit.pocket.node.context import Context, pod_log_folder
from labkit.pocket.node.spawner import StartError, ZygoteGone
from labkit.pocket.node.spec import Bind
from labkit.pocket.node.volumes import VolumeError, Volumes

log = logging.getLogger(__name__)

_RETRY = 2.0  # seconds until what failed is tried again


class PodSandbox:
    """A pod's surroundings on this node. `make` may be cancelled at any moment; `drop` sets all free."""

    def __init__(self, context: Context, pod: Mapping[str, Any]) -> None:
        self._context = context
        self._pod = pod
        self._uid: str = pod["metadata"]["uid"]
        self._folder = context.run / "pods" / self._uid
        self._asked = False
        self._volumes: Volumes | None = None
        self.netns: int | None = None
        self.address = ""

    async def make(self) -> Place:
        """Make everything, trying again until it works; events say what does not."""
        await self._until_it_works(self._connect, "FailedCreatePodSandBox")
        volumes = self._volumes = Volumes(self._context, self._pod, self._folder / "volumes", self.address)

        async def fill() -> None:
            volumes.make()

        await self._until_it_works(fill, "FailedMount")
        return Place(self._folder, volumes, self._etc(), self._hostname, self.address)

    async def _until_it_works(self, attempt: Any, reason: str) -> None:
        told = ""
        while True:
            try:
                await attempt()
                return
            except VolumeError as problem:
                message = str(problem)
            except (StartError, OSError, ApiError) as problem:
                message = f"Failed to create pod sandbox: rpc error: code = Unknown desc = {problem}"
                await self.drop()
            if message != told:
                told = message
                log.warning("pod %s: %s", self._pod["metadata"]["name"], message)
                self._context.event(self._pod, "Warning", reason, message)
            await asyncio.sleep(_RETRY)

    @property
    def _hostname(self) -> str:
        return etcfiles.hostname(self._pod, self._context.node_name)

    async def _connect(self) -> None:
        meta = self._pod["metadata"]
        shared = bool(self._pod["spec"].get("hostNetwork"))
        self._asked = True
        self.netns = await self._context.spawner.sandbox(self._uid, self._hostname, host_network=shared)
        if shared:
            self.address = self._context.node_address
        else:
            key = f"{meta['namespace']}/{meta['name']}"
            self.address = (await self._context.network.attach(key, self._uid, self.netns)).ip

    def _etc(self) -> tuple[Bind, ...]:
        texts = {
            "hosts": etcfiles.hosts(self._pod, self.address, self._context.node_name),
            "hostname": self._hostname + "\n",
            "resolv.conf": etcfiles.resolv_conf(self._pod, machine=self._context.machine_resolv_conf),
        }
        etc = self._folder / "etc"
        etc.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (etc / name).write_text(text)
            (etc / name).chmod(0o644)
        return tuple(Bind(str(etc / name), f"/etc/{name}") for name in texts)

    def refresh(self, resource: str, name: str) -> None:
        """A ConfigMap or Secret has changed: bring the files of the volumes that show it up to date."""
        if self._volumes is not None and self._volumes.uses(resource, name):
            try:
                self._volumes.make()
            except VolumeError as problem:
                log.info(
                    "a volume of pod %s keeps its old content: %s", self._pod["metadata"]["name"], problem
                )

    async def drop(self) -> None:
        """Leave the network and let the namespaces go. Harmless when repeated, or when nothing was made."""
        if not self._asked:
            return
        self._asked = False
        await self._context.network.detach(self._uid)
        if self.netns is not None:
            os.close(self.netns)
            self.netns = None
        try:
            await self._context.spawner.drop(self._uid)
        except (ZygoteGone, StartError):
            pass  # everything is going down

    def remove_files(self) -> None:
        """Delete its volumes and its logs: the pod is gone."""
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(pod_log_folder(self._context.logs, self._pod), ignore_errors=True)
