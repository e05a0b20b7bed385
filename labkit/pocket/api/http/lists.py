"""Lists over HTTP: selectors, and pages of a consistent state through limit and continue."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError, bad_request, expired, failure
from labkit.pocket.api.http.query import check_list_options, number, resource_version
from labkit.pocket.api.registry import Resource
from labkit.pocket.api.store import Obj

KEEP_SECONDS = 300
KEEP_LISTS = 100


@dataclass
class _Snapshot:
    """A list that is being read page by page. Objects are never changed, so holding them is enough."""

    objects: list[Obj]
    revision: int
    born: float = field(default_factory=time.monotonic)


class Lists:
    """Answers lists; remembers those of which a client has read only the first pages."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._snapshots: OrderedDict[str, _Snapshot] = OrderedDict()

    def read(self, resource: Resource, namespace: str, query: Mapping[str, str]) -> tuple[list[Obj], Obj]:
        """The objects and the list's metadata. Raises ApiError (400, 410, 422, 504)."""
        check_list_options(query, watching=False)
        limit = number(query, "limit") or 0
        token = query.get("continue", "")
        if token:
            key, start = _read_token(token)
            snapshot = self._snapshots.get(key)
            if snapshot is None or time.monotonic() - snapshot.born > KEEP_SECONDS:
                raise expired(
                    "The provided continue parameter is too old to display a consistent list result. You can "
                    "start a new list without the continue parameter."
                )
        else:
            self._check_revision(_revision(query))
            objects = self._api.list(
                resource,
                namespace or None,
                label_selector=query.get("labelSelector", ""),
                field_selector=query.get("fieldSelector", ""),
            )
            snapshot, key, start = _Snapshot(objects, self._api.store.revision), "", 0
        metadata: Obj = {"resourceVersion": str(snapshot.revision)}
        end = start + limit if limit else len(snapshot.objects)
        left = len(snapshot.objects) - end
        if left > 0:
            metadata["continue"] = _write_token(key or self._keep(snapshot), end)
            # With a selector a real server cannot know how many are left.
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                metadata["remainingItemCount"] = left
        return snapshot.objects[start:end], metadata

    def _keep(self, snapshot: _Snapshot) -> str:
        key = secrets.token_urlsafe(9)
        self._snapshots[key] = snapshot
        while len(self._snapshots) > KEEP_LISTS:
            self._snapshots.popitem(last=False)
        return key

    def _check_revision(self, revision: int | None) -> None:
        current = self._api.store.revision
        if revision is not None and revision > current:
            raise failure(
                504,
                "Timeout",
                f"Timeout: Too large resource version: {revision}, current: {current}",
                causes=[{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                retry_after=1,
            )


def _revision(query: Mapping[str, str]) -> int | None:
    try:
        return resource_version(query)
    except ApiError as error:
        raise bad_request(f"invalid resource version: {error.message}") from None


def _first_character(token: str) -> str:
    try:
        decoded = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return ""
    return decoded[:1].decode("latin-1")


def _write_token(key: str, start: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([key, start]).encode()).rstrip(b"=").decode()


def _read_token(token: str) -> tuple[str, int]:
    try:
        key, start = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return str(key), int(start)
    except (ValueError, TypeError):
        raise bad_request(
            "invalid continue token: continue key is not valid: invalid character "
            f"'{_first_character(token)}' looking for beginning of value"
        ) from None
