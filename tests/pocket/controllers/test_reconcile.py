"""The queue and the loop that all controllers share."""

from __future__ import annotations

import asyncio
import logging

import pytest

from labkit.pocket.api.api import Api
from labkit.pocket.api.store import Store
from labkit.pocket.controllers.reconcile import Informer, Key, Reconciler, Seen, WorkQueue, itself
from tests.pocket.controllers.lab_cluster import pod, until


async def test_a_key_waits_once_however_often_it_is_added() -> None:
    queue = WorkQueue()
    for name in ("a", "b", "a", "c", "b"):
        queue.add(("", name))
    assert [(await queue.get())[1] for _ in range(3)] == ["a", "b", "c"]
    assert not len(queue)


async def test_the_earliest_of_several_times_counts() -> None:
    queue = WorkQueue()
    queue.add_after(("", "a"), 60)
    queue.add_after(("", "a"), 0.01)
    queue.add_after(("", "a"), 60)
    assert await asyncio.wait_for(queue.get(), 2) == ("", "a")
    queue.close()


async def test_retries_wait_longer_and_longer_until_it_goes_well() -> None:
    queue = WorkQueue()
    key = ("", "a")
    delays = [queue.retry(key) for _ in range(20)]
    assert delays[:4] == [0.005, 0.01, 0.02, 0.04]
    assert delays[-1] == 30.0
    queue.forget(key)
    assert queue.retry(key) == 0.005
    queue.close()


def small_api() -> Api:
    api = Api(Store())
    api.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    return api


async def test_an_exception_is_logged_and_tried_again_and_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = small_api()
    tried: list[str] = []

    def reconcile(key: Key) -> float | None:
        tried.append(key[1])
        if key[1] == "bad" and tried.count("bad") < 3:
            raise RuntimeError("no luck")
        return None

    reconciler = Reconciler(api, "test", reconcile)
    reconciler.watch("pods", itself)
    task = asyncio.create_task(reconciler.run())
    with caplog.at_level(logging.ERROR):
        api.create("pods", pod("bad"))
        api.create("pods", pod("good"))
        await until(lambda: tried.count("bad") == 3)
    assert "good" in tried
    assert "no luck" in caplog.text
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_reconcile_may_ask_to_be_called_again_later() -> None:
    api = small_api()
    api.create("pods", pod("one"))
    calls: list[float] = []
    again = asyncio.Event()

    def reconcile(key: Key) -> float | None:
        calls.append(asyncio.get_running_loop().time())
        if len(calls) == 2:
            again.set()
        return 0.05 if len(calls) == 1 else None

    reconciler = Reconciler(api, "test", reconcile)
    reconciler.watch("pods", itself)
    task = asyncio.create_task(reconciler.run())
    await asyncio.wait_for(again.wait(), 5)
    assert calls[1] - calls[0] >= 0.04
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_informer_tells_each_change_once_with_the_state_before() -> None:
    api = small_api()
    api.create("pods", pod("one", {"a": "1"}))
    told: list[Seen] = []
    informer = Informer(api, "pods", told.append)
    informer.start()
    task = asyncio.create_task(informer.run())
    await asyncio.sleep(0)

    def relabel(copy: dict) -> dict:
        copy["metadata"]["labels"] = {"a": "2"}
        return copy

    api.modify("pods", "one", "default", relabel)
    api.delete("pods", "one", "default")
    await asyncio.sleep(0.01)
    labels = [
        (s.object["metadata"]["labels"]["a"], s.previous and s.previous["metadata"]["labels"]["a"], s.deleted)
        for s in told
    ]
    # Of a pod watchers see that its time is up before they see that it is gone.
    assert labels == [("1", None, False), ("2", "1", False), ("2", "2", False), ("2", "2", True)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_watch_that_ends_is_begun_again_and_nothing_is_missed() -> None:
    api = small_api()
    api.create("pods", pod("stays"))
    api.create("pods", pod("goes"))
    told: list[tuple[str, bool]] = []
    informer = Informer(
        api, "pods", lambda seen: told.append((seen.object["metadata"]["name"], seen.deleted))
    )
    informer.start()
    task = asyncio.create_task(informer.run())
    await asyncio.sleep(0.01)
    assert informer._watch is not None
    informer._watch.close()
    api.delete("pods", "goes", "default")
    api.create("pods", pod("comes"))
    await until(lambda: ("comes", False) in told)
    assert sorted(told) == [("comes", False), ("goes", False), ("goes", True), ("stays", False)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
