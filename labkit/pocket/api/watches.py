"""Watches for callers in this process: what happens to a resource's objects, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from labkit.pocket.api.store import Change, Subscription

Obj = dict[str, Any]


class Watch:
    """What happens to a resource's objects: an async iterator of (type, object), with `close()`.

    It begins with ADDED for everything that exists. The types are ADDED, MODIFIED and DELETED; a deletion's
    object is the last state.
    """

    def __init__(self, initial: list[Obj], subscription: Subscription, namespace: str | None) -> None:
        self._initial = initial
        self._initial.reverse()
        self._subscription = subscription
        self._namespace = namespace

    def close(self) -> None:
        """End the iteration."""
        self._initial.clear()
        self._subscription.close()

    def __aiter__(self) -> AsyncIterator[tuple[str, Obj]]:
        return self

    async def __anext__(self) -> tuple[str, Obj]:
        if self._initial:
            return "ADDED", self._initial.pop()
        while True:
            change: Change = await self._subscription.__anext__()
            if self._namespace is None or change.namespace == self._namespace:
                return change.type, change.object
