"""When a running container is probed and what follows from the answers (pkg/kubelet/prober/worker.go)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labkit.pocket.node.probes import Kind, Tally, ask

if TYPE_CHECKING:
    from labkit.pocket.node.container import Container

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


class Prober:
    """The probes of one run of a container."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; a container without a probe counts as started, or ready, at once."""
        spec, record = self._container.spec, self._container.record
        if spec.get(Kind.STARTUP.field):
            record.started = False
            self._spawn(Kind.STARTUP)
        else:
            self._has_started()

    def stop(self) -> None:
        """The run has ended."""
        for task in self._tasks:
            task.cancel()

    def _spawn(self, kind: Kind) -> None:
        self._tasks.append(asyncio.create_task(self._probe(kind)))

    def _has_started(self) -> None:
        spec, record = self._container.spec, self._container.record
        record.started = True
        self._container.started.set()
        for kind in (Kind.LIVENESS, Kind.READINESS):
            if spec.get(kind.field):
                self._spawn(kind)
        if not spec.get(Kind.READINESS.field):
            record.ready = True
        self._container.changed()

    async def _first_success(self, probe: Mapping[str, Any], period: float) -> None:
        """Wait, for up to one period, until a container that has just been started answers for the first time.

        A kubelet asks once and again a period later, so that most pods wait ten seconds for nothing. We ask more often at
        first, without an event for the answers that come too early.
        """
        container = self._container
        loop = asyncio.get_running_loop()
        end = loop.time() + period
        pause = _FIRST_PAUSE
        while (
            loop.time() + pause < end
            and not (await ask(probe, container.spec, container.address, container.run_command)).ok
        ):
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _probe(self, kind: Kind) -> None:
        container = self._container
        probe: Mapping[str, Any] = container.spec[kind.field]
        period = float(probe.get("periodSeconds") or 10)
        tally = Tally(probe, initial=kind is Kind.LIVENESS or None)
        await asyncio.sleep(float(probe.get("initialDelaySeconds") or 0))
        if kind is not Kind.LIVENESS and tally.success_threshold == 1:
            await self._first_success(probe, period)
        while True:
            began = asyncio.get_running_loop().time()
            result = await ask(probe, container.spec, container.address, container.run_command)
            if container.process is None or container.process.ended:
                return  # the answer is about a container that has gone
            if not result.ok:
                container.event("Warning", "Unhealthy", f"{kind.value} probe failed: {result.message}")
            verdict = tally.add(result.ok)
            if kind is Kind.READINESS:
                if container.record.ready != (verdict is True):
                    container.record.ready = verdict is True
                    container.changed()
            elif verdict is False:
                grace = probe.get("terminationGracePeriodSeconds")
                await container.fail_liveness(kind.value.lower(), None if grace is None else float(grace))
                return
            elif kind is Kind.STARTUP and verdict:
                self._has_started()
                return
            await asyncio.sleep(max(0.0, began + period - asyncio.get_running_loop().time()))
