from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from labkit.pocket.api.api import Api
from labkit.pocket.api.store import Store
from labkit.pocket.components import controller, resource
from labkit.pocket.controllers import run_all
from tests.pocket.components.lab import Lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A cluster without a node, in this process."""
    api = Api(Store())
    resource.serve(api)
    tasks = [asyncio.create_task(run_all(api)), asyncio.create_task(controller.run(api))]
    lab = Lab(api)
    await lab.until(lambda: api.find("serviceaccounts", "default", "default"))
    yield lab
    for task in tasks:
        assert not task.done(), task
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def certs(lab: Lab) -> Lab:
    """With cert-manager turned on."""
    await lab.turn_on("cert-manager")
    return lab
