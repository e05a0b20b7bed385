"""The store: revisions grow, watches miss nothing, acknowledged writes survive."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labkit.pocket.api.store import Store, StoreBusy, TooOld


def thing(name: str, namespace: str = "a", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, **fields}


@pytest.fixture
def store() -> Store:
    return Store()


def test_every_write_has_a_revision_of_its_own(store: Store) -> None:
    revisions = [int(store.put("things", thing(name))["metadata"]["resourceVersion"]) for name in "abc"]
    store.remove("things", "a", "b")
    assert revisions == [1, 2, 3]
    assert store.revision == 4


def test_lists_are_in_order_of_namespace_and_name(store: Store) -> None:
    for namespace, name in (("b", "x"), ("a", "z"), ("a", "y")):
        store.put("things", thing(name, namespace))
    assert [obj["metadata"]["name"] for obj in store.list("things")] == ["y", "z", "x"]
    assert [obj["metadata"]["name"] for obj in store.list("things", "b")] == ["x"]
    assert store.list("others") == []


async def test_a_watch_sees_each_change_once_with_the_state_before_it(store: Store) -> None:
    watch = store.watch("things")
    store.put("things", thing("x", value=1))
    store.put("things", thing("x", value=2))
    store.put("others", thing("x"))
    store.remove("things", "a", "x")
    seen = [await anext(watch) for _ in range(3)]
    assert [change.type for change in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert [change.previous and change.previous.get("value") for change in seen] == [None, 1, 2]
    assert seen[2].object["metadata"]["resourceVersion"] == "4"
    watch.close()
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_a_watch_can_begin_in_the_past_but_not_too_far(store: Store) -> None:
    short = Store(history=3)
    for number in range(6):
        short.put("things", thing(f"x{number}"))
    watch = short.watch("things", since=4)
    assert [(await anext(watch)).object["metadata"]["name"] for _ in range(2)] == ["x4", "x5"]
    with pytest.raises(TooOld, match=r"too old resource version: 1 \(3\)"):
        short.watch("things", since=1)
    store.close()


async def test_a_waiting_watch_wakes_at_once(store: Store) -> None:
    watch = store.watch("things")
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    store.put("things", thing("x"))
    change = await asyncio.wait_for(waiting, 1)
    assert change.type == "ADDED"


def test_a_closed_store_opens_with_the_same_objects_and_a_higher_revision(tmp_path: Path) -> None:
    first = Store(tmp_path / "state.db")
    first.put("things", thing("x", value="ü"))
    first.put("things", thing("y"))
    first.remove("things", "a", "y")
    first.close()
    second = Store(tmp_path / "state.db")
    assert [obj["value"] for obj in second.list("things")] == ["ü"]
    assert second.revision == 3, "a revision is never given twice, not even that of a deletion"
    with pytest.raises(TooOld):
        second.watch("things", since=1)
    second.close()


def test_two_daemons_cannot_have_one_state(tmp_path: Path) -> None:
    first = Store(tmp_path / "state.db")
    with pytest.raises(StoreBusy):
        Store(tmp_path / "state.db")
    first.close()


WRITER = """
import sys
from labkit.pocket.api.store import Store
store = Store(sys.argv[1])
for number in range(100000):
    store.put("things", {"metadata": {"name": f"x{number}", "namespace": "a"}, "text": "y" * 500})
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = -1
    for line in writer.stdout:
        acknowledged = int(line)
        if acknowledged >= 300:
            break
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    store = Store(path)
    names = {obj["metadata"]["name"] for obj in store.list("things")}
    assert {f"x{number}" for number in range(acknowledged + 1)} <= names
    store.close()
