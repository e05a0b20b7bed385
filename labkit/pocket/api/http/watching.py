"""Watches over HTTP: one line of JSON for each change, as soon as it is written."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from aiohttp import web

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import expired
from labkit.pocket.api.http.output import Form
from labkit.pocket.api.http.query import check_list_options, flag, number, resource_version
from labkit.pocket.api.kinds.conversion import Conversion, conversion_for
from labkit.pocket.api.registry import Resource
from labkit.pocket.api.selectors import Selection
from labkit.pocket.api.store import Change, Obj, TooOld, encode

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
BOOKMARK_SECONDS = 60
# How soon a client that has gone away is noticed when nothing happens.
CHECK_SECONDS = 5
MOST_BEHIND = 10_000


async def watch(
    api: Api, request: web.Request, resource: Resource, namespace: str, selection: Selection, form: Form
) -> web.StreamResponse:
    """Answer a watch request until its time is over or the client is gone.

    Without a resourceVersion, or with 0, it begins with ADDED for what exists; with sendInitialEvents a bookmark
    says where that ends. A resourceVersion that is too old gives an ERROR event with Status 410.
    """
    query = request.query
    check_list_options(query, watching=True)
    since = resource_version(query)
    bookmarks = flag(query, "allowWatchBookmarks")
    send_initial = flag(query, "sendInitialEvents") if "sendInitialEvents" in query else since in (None, 0)
    seconds = number(query, "timeoutSeconds") or random.randint(1800, 3600)
    deadline = time.monotonic() + seconds
    stream = _Stream(resource, namespace, selection, form)
    conversion = stream.conversion

    try:
        subscription = api.store.watch(conversion.bucket, None if send_initial or not since else since)
    except TooOld as error:
        response = await _begin(request, form)
        await response.write(stream.line("ERROR", expired(str(error)).status))
        return response
    try:
        initial = api.store.list(conversion.bucket, namespace or None) if send_initial else []
        revision = api.store.revision
        response = await _begin(request, form)
        lines = [stream.added(obj) for obj in initial if selection.matches(conversion.read(obj))]
        if "sendInitialEvents" in query and send_initial and bookmarks:
            lines.append(stream.bookmark(revision, {INITIAL_EVENTS_END: "true"}))
        if lines:
            await response.write(b"".join(lines))
        next_bookmark = time.monotonic() + BOOKMARK_SECONDS
        while True:
            if len(subscription) > MOST_BEHIND:
                break  # a client this slow does better to list anew
            chunk = []
            while (change := subscription.pop()) is not None:
                revision = change.revision
                text = stream.change(change)
                if text:
                    chunk.append(text)
            if chunk:
                await response.write(b"".join(chunk))
                continue
            moment = time.monotonic()
            if moment >= deadline or subscription.closed or _gone(request):
                break
            if bookmarks and moment >= next_bookmark:
                next_bookmark = moment + BOOKMARK_SECONDS
                await response.write(stream.bookmark(api.store.revision, None))
            await subscription.wait(min(CHECK_SECONDS, deadline - moment))
    except (ConnectionResetError, asyncio.CancelledError):
        # The client has gone; nobody is left to be told.
        if not _gone(request):
            raise
    finally:
        subscription.close()
    return response


async def _begin(request: web.Request, form: Form) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": form.media, "Cache-Control": "no-cache, private"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


class _Stream:
    """The lines of one watch. Equal lines for other watches of a change are made once (`Change.encodings`)."""

    def __init__(self, resource: Resource, namespace: str, selection: Selection, form: Form) -> None:
        self.conversion: Conversion = conversion_for(resource)
        self._resource = resource
        self._namespace = namespace
        self._selection = selection
        self._form = form
        self._headed = False

    @staticmethod
    def line(kind: str, obj: Any) -> bytes:
        return f'{{"type":"{kind}","object":{encode(obj)}}}\n'.encode()

    def added(self, stored: Obj) -> bytes:
        return self._shaped("ADDED", self.conversion.read(stored))

    def bookmark(self, revision: int, annotations: dict[str, str] | None) -> bytes:
        metadata: Obj = {"resourceVersion": str(revision)}
        if annotations:
            metadata["annotations"] = annotations
        obj: Obj = {
            "kind": self._resource.kind,
            "apiVersion": self._resource.api_version,
            "metadata": metadata,
        }
        return self._shaped("BOOKMARK", obj)

    def change(self, change: Change) -> bytes:
        """The line of a change, or nothing when the selection is not concerned.

        An object that begins to match is ADDED, one that ceases to is DELETED.
        """
        if self._namespace and change.namespace != self._namespace:
            return b""
        read = self.conversion.read
        kind = change.type
        obj = read(change.object)
        if not self._selection.is_everything:
            now = kind != "DELETED" and self._selection.matches(obj)
            before = change.previous is not None and self._selection.matches(read(change.previous))
            if not now and not before:
                return b""
            kind = "MODIFIED" if now and before else "ADDED" if now else "DELETED"
            if kind == "DELETED" and change.type != "DELETED":
                assert change.previous is not None
                previous = read(change.previous)
                revision = str(change.revision)
                obj = {**previous, "metadata": {**previous["metadata"], "resourceVersion": revision}}
                return self._shaped(kind, obj)
        if self._form.shape:
            return self._shaped(kind, obj)
        key = (kind, self._resource.api_version)
        text = change.encodings.get(key)
        if text is None:
            text = change.encodings[key] = self.line(kind, obj)
        return text

    def _shaped(self, kind: str, obj: Obj) -> bytes:
        if self._form.shape == "Table" and kind == "BOOKMARK":
            table = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
            return self.line(kind, {**table, "columnDefinitions": [], "rows": []})
        # Only the first table of a watch has column definitions.
        shaped = self._form.shaped(self._resource, obj, header=not self._headed)
        self._headed = True
        return self.line(kind, shaped)
