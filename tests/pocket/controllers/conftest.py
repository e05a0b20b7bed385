from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from labkit.pocket.api.api import Api
from labkit.pocket.api.store import Store
from labkit.pocket.controllers import ClusterFacts, run_all
from tests.pocket.controllers.lab_cluster import FakeKubelet, LabCluster

NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "pocket", "labels": {"kubernetes.io/os": "linux"}},
}


@pytest.fixture
async def cluster() -> AsyncIterator[LabCluster]:
    api = Api(Store())
    api.create("nodes", NODE)
    kubelet = FakeKubelet(api)
    tasks = [
        asyncio.create_task(run_all(api, ClusterFacts(ca_certificate="PEM"))),
        asyncio.create_task(kubelet.run()),
    ]
    lab = LabCluster(api, kubelet)
    await lab.until(lambda: api.find("serviceaccounts", "default", "default"))
    yield lab
    for task in tasks:
        assert not task.done(), task
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
