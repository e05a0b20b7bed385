"""The cluster's memory: objects in SQLite, mirrored in memory, with a revision that only grows and watches.

It knows nothing of kinds: a *bucket* is what a resource's objects are kept under (`pods`,
`deployments.apps`). Objects that come out are shared with everybody and must not be changed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Obj = dict[str, Any]
# Inside Store the word `list` is a method.
Objects = list[Obj]
Names = list[str]

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (bucket, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class StoreBusy(Exception):  # noqa: N818 - a state of affairs, not a mistake
    """Another process has the database open: this cluster's daemon is running already."""


class TooOld(Exception):  # noqa: N818 - an answer, not a mistake
    """The revision asked for is older than the changes that are kept."""

    def __init__(self, wanted: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {wanted} ({oldest})")


def clone(value: Any) -> Any:
    """A deep copy of JSON data; several times faster than copy.deepcopy."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def encode(value: Any) -> str:
    """JSON text as the server sends it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@dataclass(eq=False)
class Change:
    """One write. `previous` is the object before it; `object` of a deletion is its last state.

    `encodings` is a place for watchers to share the work of writing an object as text.
    """

    type: str
    bucket: str
    object: Obj
    previous: Obj | None
    revision: int
    encodings: dict[Any, bytes] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """Its namespace; empty for cluster-scoped objects."""
        return str(self.object["metadata"].get("namespace", ""))


class Subscription:
    """The changes of one bucket from some revision on: an async iterator that ends with `close()`."""

    def __init__(self, store: Store, bucket: str, backlog: Iterable[Change] = ()) -> None:
        self._store = store
        self._bucket = bucket
        self._queue: deque[Change] = deque(backlog)
        self._wake: asyncio.Future[None] | None = None
        self._closed = False

    def _offer(self, change: Change) -> None:
        self._queue.append(change)
        self._ring()

    def _ring(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def close(self) -> None:
        """End the iteration, after what is queued already."""
        self._closed = True
        self._store._unsubscribe(self._bucket, self)
        self._ring()

    def __len__(self) -> int:
        return len(self._queue)

    def pop(self) -> Change | None:
        """The next change if one is waiting."""
        return self._queue.popleft() if self._queue else None

    async def wait(self, seconds: float | None = None) -> bool:
        """Sleep until a change waits (True), the subscription is closed or the time is over (False)."""
        if not self._queue and not self._closed:
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait([self._wake], timeout=seconds)
            finally:
                self._wake = None
        return bool(self._queue)

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._closed

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            await self.wait()
        return self._queue.popleft()


class Store:
    """All objects of a cluster. Synchronous and not thread-safe: call it on the event loop.

    A write that has returned survives `kill -9` of the process (it is in the write-ahead log; the log is
    flushed to disk at checkpoints, so the last moments before a power cut may be lost).
    Raises StoreBusy when another process has the file open.
    """

    def __init__(self, path: Path | str = ":memory:", *, history: int = 10_000) -> None:
        self._db = sqlite3.connect(str(path), isolation_level=None, timeout=0.5, check_same_thread=False)
        try:
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            # Checkpoints flush to disk and take time: fewer, larger ones.
            self._db.execute("PRAGMA wal_autocheckpoint=4000")
            self._db.executescript(_SCHEMA)
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._db.close()
            if "locked" in str(error):
                raise StoreBusy(f"{path} is in use by another process") from error
            raise
        self._objects: dict[str, dict[str, dict[str, Obj]]] = {}
        self._subscribers: dict[str, list[Subscription]] = {}
        self._observers: dict[str, list[Callable[[Change], None]]] = {}
        self._changes: deque[Change] = deque(maxlen=history)
        newest = 0
        for bucket, namespace, name, revision, body in self._db.execute(
            "SELECT bucket, namespace, name, revision, body FROM objects ORDER BY bucket, namespace, name"
        ):
            self._objects.setdefault(bucket, {}).setdefault(namespace, {})[name] = json.loads(body)
            newest = max(newest, revision)
        row = self._db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
        self.revision = max(newest, int(row[0]) if row else 0)
        self._oldest = self.revision
        """Changes up to this revision are forgotten; a watch can begin here or later."""

    def close(self) -> None:
        """Let go of the file."""
        for subscriptions in list(self._subscribers.values()):
            for subscription in list(subscriptions):
                subscription.close()
        self._db.close()

    def get(self, bucket: str, namespace: str, name: str) -> Obj | None:
        """The object, or None."""
        return self._objects.get(bucket, {}).get(namespace, {}).get(name)

    def list(self, bucket: str, namespace: str | None = None) -> Objects:
        """All objects of a bucket, or of one namespace in it, in order of namespace and name."""
        spaces = self._objects.get(bucket, {})
        if namespace is not None:
            return [obj for _, obj in sorted(spaces.get(namespace, {}).items())]
        return [obj for _, names in sorted(spaces.items()) for _, obj in sorted(names.items())]

    def buckets(self) -> Names:
        """The names of buckets that have objects."""
        return [bucket for bucket, spaces in self._objects.items() if any(spaces.values())]

    def put(self, bucket: str, obj: Obj) -> Obj:
        """Write an object (the store owns it from now on) under the next revision, which is set in it."""
        metadata = obj["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        revision = self.revision + 1
        metadata["resourceVersion"] = str(revision)
        previous = self.get(bucket, namespace, name)
        self._write(
            revision,
            "INSERT OR REPLACE INTO objects (bucket, namespace, name, revision, body) VALUES (?, ?, ?, ?, ?)",
            (bucket, namespace, name, revision, encode(obj)),
        )
        self._objects.setdefault(bucket, {}).setdefault(namespace, {})[name] = obj
        self._publish(Change("MODIFIED" if previous else "ADDED", bucket, obj, previous, revision))
        return obj

    def remove(self, bucket: str, namespace: str, name: str) -> Obj | None:
        """Delete an object; gives its last state, or None when there was none."""
        previous = self.get(bucket, namespace, name)
        if previous is None:
            return None
        revision = self.revision + 1
        self._write(
            revision,
            "DELETE FROM objects WHERE bucket = ? AND namespace = ? AND name = ?",
            (bucket, namespace, name),
        )
        names = self._objects[bucket][namespace]
        del names[name]
        if not names:
            del self._objects[bucket][namespace]
        last = {**previous, "metadata": {**previous["metadata"], "resourceVersion": str(revision)}}
        self._publish(Change("DELETED", bucket, last, previous, revision))
        return previous

    def _write(self, revision: int, statement: str, values: tuple[Any, ...]) -> None:
        execute = self._db.execute
        execute("BEGIN")
        try:
            execute(statement, values)
            execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('revision', ?)", (str(revision),))
            execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                execute("ROLLBACK")
            raise
        self.revision = revision

    def _publish(self, change: Change) -> None:
        if len(self._changes) == self._changes.maxlen:
            self._oldest = self._changes[0].revision
        self._changes.append(change)
        for observer in self._observers.get(change.bucket, ()):
            observer(change)
        for subscription in self._subscribers.get(change.bucket, ()):
            subscription._offer(change)

    def watch(self, bucket: str, since: int | None = None) -> Subscription:
        """Follow a bucket from now on, or from just after revision `since`. Raises TooOld."""
        backlog: list[Change] = []
        if since is not None and since < self.revision:
            if since < self._oldest:
                raise TooOld(since, self._oldest)
            backlog = [c for c in self._changes if c.revision > since and c.bucket == bucket]
        subscription = Subscription(self, bucket, backlog)
        self._subscribers.setdefault(bucket, []).append(subscription)
        return subscription

    def observe(self, bucket: str, tell: Callable[[Change], None]) -> None:
        """Have a function called within every write to a bucket, before the write returns."""
        self._observers.setdefault(bucket, []).append(tell)

    def _unsubscribe(self, bucket: str, subscription: Subscription) -> None:
        subscriptions = self._subscribers.get(bucket, [])
        if subscription in subscriptions:
            subscriptions.remove(subscription)
