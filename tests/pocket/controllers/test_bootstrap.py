"""What every cluster has comes back when somebody has deleted it, and is otherwise left alone."""

from __future__ import annotations

import asyncio
import importlib

import pytest

from labkit.pocket.api.api import Api
from labkit.pocket.api.store import Store
from labkit.pocket.controllers import ClusterFacts

beginnings = importlib.import_module("labkit.pocket.controllers.bootstrap")


async def test_the_service_kubernetes_comes_back_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginnings, "_EVERY", 0.01)
    api, facts = Api(Store()), ClusterFacts(ca_certificate="PEM")
    beginnings.bootstrap(api, facts)
    before = api.get("services", "kubernetes", "default")["spec"]["clusterIP"]
    watch = api.watch("services", "default")
    api.delete("services", "kubernetes", "default")
    task = asyncio.create_task(beginnings.run(api, facts))
    try:
        async with asyncio.timeout(5):
            while (await anext(watch))[0] != "DELETED":
                pass
            kind, found = await anext(watch)
    finally:
        task.cancel()
        watch.close()
    assert kind == "ADDED"
    assert found["spec"]["clusterIP"] == before
