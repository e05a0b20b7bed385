"""What every controller is made of: watches that name the objects to look at, a queue of their keys, one
function.

The Api is in the same process and always current, so there is no cache to go stale and nothing to expect: a
reconcile function reads what it needs, writes what is missing, and is called again when something
changes. It is synchronous, hence atomic towards everything else on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from labkit.pocket.api import Api, Watch
from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.objects import key_of
from labkit.pocket.api.registry import Resource

log = logging.getLogger(__name__)

Obj = dict[str, Any]
Key = tuple[str, str]
"""(namespace, name); the namespace is empty for what has none."""

# Retries after a failure, in seconds: client-go's exponential limiter begins with 5 ms and doubles; it
# ends at 1000 s, which is longer than a learner waits.
_FIRST_RETRY = 0.005
_LAST_RETRY = 30.0


@dataclass(frozen=True)
class Seen:
    """Something a watch told: `object` is the newest state (the last one, when `deleted`)."""

    object: Obj
    previous: Obj | None
    deleted: bool

    @property
    def states(self) -> tuple[Obj, ...]:
        """The states whose relations may matter: now and before."""
        return (self.object,) if self.previous is None else (self.object, self.previous)


class WorkQueue:
    """Keys that wait for attention, each once, first come first served; some later, some again after a
    failure."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Key, None] = OrderedDict()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: Key) -> None:
        """Look at this soon."""
        self._waiting.setdefault(key)
        self._wake.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Look at this after a while, if nothing happens before; the earliest of several times counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def retry(self, key: Key) -> float:
        """Look at this again after its failure; gives the seconds until then."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay: float = min(_FIRST_RETRY * 2 ** min(failures, 20), _LAST_RETRY)
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """It went well: the next failure counts as the first."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key, when there is one."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        key, _ = self._waiting.popitem(last=False)
        return key

    def close(self) -> None:
        """Let go of everything."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._waiting.clear()


class Informer:
    """Follows one resource and tells each change once, with the state before it; outlives its watch."""

    def __init__(
        self, api: Api, resource: Resource | str, tell: Callable[[Seen], None], namespace: str | None = None
    ) -> None:
        self._api = api
        self._resource = api.resource(resource)
        self._tell = tell
        self._namespace = namespace
        self._known: dict[Key, Obj] = {}
        self._watch: Watch | None = None
        self._over = False

    def finish(self) -> None:
        """Tell what has happened so far, then end: nothing more will come of the resource."""
        self._over = True
        if self._watch is not None:
            self._watch.close()

    def start(self) -> None:
        """Tell everything that exists; from here on nothing is missed."""
        self._watch = self._api.watch(self._resource, self._namespace)
        found = {key_of(obj): obj for obj in self._api.list(self._resource, self._namespace)}
        for key in [key for key in self._known if key not in found]:
            self._take("DELETED", self._known[key])
        for obj in found.values():
            self._take("ADDED", obj)

    async def run(self) -> None:
        """Follow until cancelled."""
        delay = _FIRST_RETRY
        while True:
            try:
                if self._watch is None:
                    self.start()
                assert self._watch is not None
                async for kind, obj in self._watch:
                    self._take(kind, obj)
                    delay = _FIRST_RETRY
                if self._over:
                    return
                log.warning("the watch on %s ended; watching again", self._resource.qualified)
            except Exception:
                log.exception("the watch on %s failed; watching again", self._resource.qualified)
            finally:
                if self._watch is not None:
                    self._watch.close()
                    self._watch = None
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LAST_RETRY)

    def _take(self, kind: str, obj: Obj) -> None:
        key = key_of(obj)
        before = self._known.get(key)
        metadata = obj["metadata"]
        if kind == "DELETED":
            if before is None or before["metadata"]["uid"] != metadata["uid"]:
                return
            del self._known[key]
        else:
            if before is not None and before["metadata"]["resourceVersion"] == metadata["resourceVersion"]:
                return
            self._known[key] = obj
            if before is not None and before["metadata"]["uid"] != metadata["uid"]:
                self._report(Seen(before, before, True))
                before = None
        self._report(Seen(obj, before, kind == "DELETED"))

    def _report(self, seen: Seen) -> None:
        try:
            self._tell(seen)
        except Exception:
            log.exception("%s %s was not understood", self._resource.kind, "/".join(key_of(seen.object)))


class Reconciler:
    """A controller: `watch` what matters, then `await run()`.

    `reconcile(key)` brings one object into order. It may give the seconds after which to look again without a
    change. What it raises is logged and tried again with back-off; it never ends the controller.
    """

    def __init__(self, api: Api, name: str, reconcile: Callable[[Key], float | None]) -> None:
        self._api = api
        self._name = name
        self._reconcile = reconcile
        self._informers: list[Informer] = []
        self._tasks: asyncio.TaskGroup | None = None
        self.queue = WorkQueue()

    def watch(
        self, resource: Resource | str, keys: Callable[[Seen], Iterable[Key]], namespace: str | None = None
    ) -> Informer:
        """Whatever happens to the resource, look at the objects that `keys` names.

        Also while it runs; `finish()` of what it gives ends the watch.
        """

        def tell(seen: Seen) -> None:
            for key in keys(seen):
                self.queue.add(key)

        informer = Informer(self._api, resource, tell, namespace)
        if self._tasks is None:
            self._informers.append(informer)
        else:
            informer.start()
            self._tasks.create_task(informer.run())
        return informer

    async def run(self) -> None:
        """Work until cancelled. Every watch has told what exists before the first reconcile."""
        for informer in self._informers:
            informer.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for informer in self._informers:
                    tasks.create_task(informer.run())
                tasks.create_task(self._work())
        finally:
            self._tasks = None
            self.queue.close()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            self._one(key)
            await asyncio.sleep(0)  # others take their turn between two objects

    def _one(self, key: Key) -> None:
        try:
            again = self._reconcile(key)
        except ApiError as error:
            delay = self.queue.retry(key)
            # Somebody else was faster: ordinary, and settled by looking again.
            level = logging.DEBUG if error.code in (404, 409) else logging.WARNING
            log.log(level, "%s %s: %s (again in %.3f s)", self._name, "/".join(key), error.message, delay)
        except Exception:
            delay = self.queue.retry(key)
            log.exception("%s failed on %s (again in %.3f s)", self._name, "/".join(key), delay)
        else:
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)


def itself(seen: Seen) -> Iterable[Key]:
    """For `watch`: the object that changed."""
    return (key_of(seen.object),)
