"""GET .../pods/NAME/log: a container's log as text, sent as it comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from labkit.pocket.api.streams.query import chosen_container, log_options
from labkit.pocket.api.streams.status import refused
from labkit.pocket.runtime import Runtime, RuntimeFailure

# A silent log tells nothing about a client that has left, so it is looked for this often. Seconds.
_LOOK_FOR_CLIENT = 2.0


async def pod_log(request: web.Request, pod: Mapping[str, Any], runtime: Runtime) -> web.StreamResponse:
    """The log, or with `follow` the log until the container ends."""
    container = chosen_container(pod, request.query.get("container", ""))
    options = log_options(request.query, datetime.now(UTC))
    if not (pod.get("spec") or {}).get("nodeName"):
        return web.Response(text="")  # as upstream: no node, no log, no error
    meta = pod["metadata"]
    try:
        chunks = await runtime.logs(meta["namespace"], meta["name"], container, options)
    except RuntimeFailure as failure:
        raise refused(failure) from failure

    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        async for chunk in _while_connected(request, chunks):
            await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        pass  # the client has read enough
    return response


async def _while_connected(request: web.Request, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks, until they end or the client is gone."""
    following: asyncio.Task[bytes | None] | None = None

    async def step() -> bytes | None:
        return await anext(chunks, None)

    try:
        while True:
            following = asyncio.create_task(step())
            while not following.done():
                await asyncio.wait({following}, timeout=_LOOK_FOR_CLIENT)
                if request.transport is None or request.transport.is_closing():
                    return
            chunk = following.result()
            if chunk is None:
                return
            if chunk:
                yield chunk
    finally:
        if following is not None and not following.done():
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
