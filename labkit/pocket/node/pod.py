"""One pod on this node: sandbox, network, volumes, containers in their order, status, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from labkit.pocket.api.errors import ApiError
from labkit.pocket.node import podstatus
from labkit.pocket.node.container import Container
from labkit.pocket.node.containerspec import Place
from labkit.pocket.node.context import Context
from labkit.pocket.node.podrecords import ephemeral_records, records
from labkit.pocket.node.podsandbox import PodSandbox
from labkit.pocket.node.podstatus import ContainerRecord

log = logging.getLogger(__name__)

Obj = Mapping[str, Any]


class PodLife:
    """A pod from the moment it is bound to the node to the moment it is gone."""

    def __init__(self, context: Context, pod: Obj) -> None:
        self.context = context
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.namespace: str = pod["metadata"]["namespace"]
        self.key = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        self.address: str = pod.get("status", {}).get("podIP", "")
        self.containers: dict[str, Container] = {}
        self._records = records(pod)
        self._by_name = {record.name: record for record in self._records}
        self._ephemeral = {record.name: record for record in ephemeral_records(pod)}
        self._visits: dict[str, asyncio.Task[None]] = {}  # of ephemeral containers
        self._place: Place | None = None
        self.sandbox = PodSandbox(context, pod)
        self._dirty = False
        self._gone = False  # from the API, without us
        self._stop = asyncio.Event()
        self._urgent = asyncio.Event()  # the grace period has become shorter
        self._ready_for_containers = False
        self._start_time: str = pod.get("status", {}).get("startTime") or podstatus.now()
        self.over = bool(pod.get("status", {}).get("phase") in ("Succeeded", "Failed"))

    # ---- news from the API ---------------------------------------------------------------------------------

    def update(self, pod: Obj) -> None:
        """The Pod object has changed."""
        before = _grace(self.pod)
        self.pod = pod
        self._begin_visits()
        if pod["metadata"].get("deletionTimestamp"):
            self._stop.set()
            if before is not None and (_grace(pod) or 0) < before:
                self._urgent.set()

    def removed(self) -> None:
        """The Pod object is gone (force-deleted, or its namespace's finalizer was quicker)."""
        self._gone = True
        self._stop.set()
        self._urgent.set()

    # ---- life ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live until the Pod object is gone."""
        if self.pod["metadata"].get("deletionTimestamp"):
            self._stop.set()
        if not self.over:
            living = asyncio.create_task(self._live())
            stopped = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait((living, stopped), return_when=asyncio.FIRST_COMPLETED)
                if living.done() and not living.cancelled() and living.exception() is not None:
                    log.error("pod %s", self.key, exc_info=living.exception())
                await self._stop.wait()
                await self._end_containers(living)
            finally:
                living.cancel()
                stopped.cancel()
                await asyncio.gather(living, stopped, return_exceptions=True)
        await self._stop.wait()
        await self._tear_down()
        self._remove_from_api()

    async def _live(self) -> None:
        self.changed()
        if all(record.finished for record in self._records if not record.init):
            self.over = True  # nothing is left to do that a reboot has not done
            return
        if any(record.container_id for record in self._records):
            self.context.event(
                self.pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created."
            )
        place = await self.sandbox.make()
        self.address = self.sandbox.address
        self._ready_for_containers = True
        self._place = place
        self.changed()
        self._begin_visits()
        sidecars = await self._run_init_containers(place)
        if sidecars is None:
            main: list[asyncio.Task[None]] = []
        else:
            main = [
                asyncio.create_task(self._container(spec, place).run())
                for spec in self.pod["spec"]["containers"]
                if not self._by_name[spec["name"]].finished
            ]
        try:
            await _all(main)
            for container in reversed(list(self.containers.values())):
                if container.record.sidecar:
                    await container.stop(_default_grace(self.pod))
            await _all(sidecars or [])
        finally:
            for task in (*main, *(sidecars or []), *self._visits.values()):
                task.cancel()
            await asyncio.gather(*self._visits.values(), return_exceptions=True)
            self._place = None
        self.over = True
        self._ready_for_containers = False
        if not self._stop.is_set():  # else `run` does it, which nothing cancels
            await self._tear_down()
        self.changed()

    async def _run_init_containers(self, place: Place) -> list[asyncio.Task[None]] | None:
        """Run them one after the other; the tasks of those that go on (sidecars), or None when one has failed."""
        sidecars: list[asyncio.Task[None]] = []
        for spec in self.pod["spec"].get("initContainers") or []:
            record = self._by_name[spec["name"]]
            if record.finished and not record.sidecar:
                continue
            container = self._container(spec, place)
            task = asyncio.create_task(container.run())
            if record.sidecar:
                sidecars.append(task)
                await container.started.wait()
                continue
            await _all([task])
            if record.exit_code != 0 or self._stop.is_set():
                return None
        return None if self._stop.is_set() else sidecars

    def _begin_visits(self) -> None:
        """Start the ephemeral containers that have come since the last look."""
        if self._place is None or self._stop.is_set():
            return
        for spec in self.pod["spec"].get("ephemeralContainers") or []:
            name = spec["name"]
            record = self._ephemeral.setdefault(
                name, ContainerRecord(name, spec.get("image", ""), ephemeral=True)
            )
            if name not in self._visits and not record.finished:
                container = self._container(spec, self._place)
                self._visits[name] = asyncio.create_task(container.run(), name=f"{self.key} {name}")
                self.changed()

    def _container(self, spec: Obj, place: Place) -> Container:
        record = self._by_name.get(spec["name"]) or self._ephemeral[spec["name"]]
        container = Container(
            self.context, lambda: self.pod, spec, record, place, self.changed, self.containers.get
        )
        self.containers[container.name] = container
        return container

    # ---- the end -------------------------------------------------------------------------------------------

    async def _end_containers(self, living: asyncio.Task[None]) -> None:
        running = [container for container in self.containers.values() if container.process is not None]
        for container in running:
            container.event("Normal", "Killing", f"Stopping container {container.name}")
        grace = 0.0 if self._gone else float(_grace(self.pod) or 0)
        ends = [asyncio.create_task(container.stop(grace)) for container in self.containers.values()]
        if not running:
            living.cancel()
        while True:
            urgent = asyncio.create_task(self._urgent.wait())
            everything = asyncio.gather(*ends)
            await asyncio.wait((everything, urgent), return_when=asyncio.FIRST_COMPLETED)
            urgent.cancel()
            if everything.done():
                everything.exception()
                break
            self._urgent.clear()
            shorter = 0.0 if self._gone else float(_grace(self.pod) or 0)
            ends = [asyncio.create_task(container.stop(shorter)) for container in self.containers.values()]
        # The containers' own tasks note how they ended, for the last status.
        await asyncio.wait((living,), timeout=0.5)

    async def _tear_down(self) -> None:
        await self.sandbox.drop()
        if self._stop.is_set():
            self.sandbox.remove_files()

    def _remove_from_api(self) -> None:
        if self._gone:
            return
        self._write_status()
        meta = self.pod["metadata"]
        try:
            self.context.api.delete(
                "pods", meta["name"], meta["namespace"], grace_period=0, preconditions={"uid": self.uid}
            )
        except ApiError as problem:
            log.debug("pod %s was removed before: %s", self.key, problem)

    # ---- status --------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Something in the records has changed: write the status soon, once for many changes."""
        if not self._dirty:
            self._dirty = True
            asyncio.get_running_loop().call_soon(self._write_status)

    def _write_status(self) -> None:
        self._dirty = False
        if self._gone:
            return
        meta = self.pod["metadata"]
        try:
            self.pod = self.context.api.modify(
                "pods", meta["name"], meta["namespace"], self._with_status, subresource="status"
            )
        except ApiError as problem:
            log.debug("status of %s not written: %s", self.key, problem)

    def _with_status(self, pod: dict[str, Any]) -> dict[str, Any] | None:
        if pod["metadata"]["uid"] != self.uid:
            return None
        status = pod.setdefault("status", {})
        phase = podstatus.phase(self._records, ending="deletionTimestamp" in pod["metadata"])
        if status.get("phase") in ("Succeeded", "Failed"):
            phase = status["phase"]
        status["conditions"] = podstatus.conditions(
            pod, self._records, phase, sandbox=self._ready_for_containers, at=podstatus.now()
        )
        status["phase"] = phase
        status["hostIP"] = self.context.node_address
        status["hostIPs"] = [{"ip": self.context.node_address}]
        if self.address and self._records_began():
            status["podIP"] = self.address
            status["podIPs"] = [{"ip": self.address}]
        status["startTime"] = self._start_time
        status["qosClass"] = podstatus.quality_of_service(pod)
        if "generation" in pod["metadata"]:
            status["observedGeneration"] = pod["metadata"]["generation"]
        for field, init in (("initContainerStatuses", True), ("containerStatuses", False)):
            found = [record.status() for record in self._records if record.init == init]
            if found:
                status[field] = found
        visitors = [one["name"] for one in pod["spec"].get("ephemeralContainers") or []]
        visiting = [self._ephemeral[name].status() for name in visitors if name in self._ephemeral]
        if visiting:
            status["ephemeralContainerStatuses"] = visiting
        return pod

    def _records_began(self) -> bool:
        return self._ready_for_containers or self.over


def _grace(pod: Obj) -> int | None:
    seconds: int | None = pod["metadata"].get("deletionGracePeriodSeconds")
    return seconds


def _default_grace(pod: Obj) -> float:
    return float(pod["spec"].get("terminationGracePeriodSeconds", 30))


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.gather(*tasks)
