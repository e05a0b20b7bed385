"""The controllers of the cluster: what turns wishes in objects into other objects, until they agree.

Each is a small module with `run(api)` (or `run(api, facts)`); `run_all` runs them together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from labkit.pocket.api.api import Api
from labkit.pocket.controllers import (
    customresources,
    deployments,
    endpoints,
    eventexpiry,
    garbage,
    mirroring,
    namespaces,
    replicasets,
    scheduler,
    serviceaccounts,
)
from labkit.pocket.controllers.bootstrap import bootstrap
from labkit.pocket.controllers.bootstrap import run as keep_beginnings
from labkit.pocket.controllers.cluster import ClusterFacts

__all__ = ["CONTROLLERS", "ClusterFacts", "bootstrap", "run_all"]

log = logging.getLogger(__name__)

Run = Callable[[Api, ClusterFacts], Awaitable[None]]

CONTROLLERS: Mapping[str, Run] = {
    "bootstrap": keep_beginnings,
    "namespace": lambda api, _facts: namespaces.run(api),
    "serviceaccount": serviceaccounts.run,
    "deployment": lambda api, _facts: deployments.run(api),
    "replicaset": lambda api, _facts: replicasets.run(api),
    "scheduler": lambda api, _facts: scheduler.run(api),
    "endpoints": lambda api, _facts: endpoints.run(api),
    "customresource": lambda api, _facts: customresources.run(api),
    "mirroring": lambda api, _facts: mirroring.run(api),
    "garbage": lambda api, _facts: garbage.run(api),
    "events": lambda api, _facts: eventexpiry.run(api),
}

# A controller that ends although nobody stopped it begins again after this. Seconds.
_PAUSE = 1.0


async def run_all(api: Api, facts: ClusterFacts | None = None) -> None:
    """Create what every cluster has, then run all controllers until cancelled."""
    facts = facts or ClusterFacts()
    bootstrap(api, facts)
    async with asyncio.TaskGroup() as tasks:
        for name, run in CONTROLLERS.items():
            tasks.create_task(_forever(name, run, api, facts), name=f"controller {name}")


async def _forever(name: str, run: Run, api: Api, facts: ClusterFacts) -> None:
    while True:
        try:
            await run(api, facts)
            log.error("the %s controller ended by itself", name)
        except Exception:
            log.exception("the %s controller failed", name)
        await asyncio.sleep(_PAUSE)
