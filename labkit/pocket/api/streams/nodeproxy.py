"""GET /api/v1/nodes/NAME/proxy/PATH: ask the node itself, for example for a pod's packet rules."""

from __future__ import annotations

from aiohttp import web

from labkit.pocket.api.streams.status import refused
from labkit.pocket.runtime import Runtime, RuntimeFailure


async def node_proxy(request: web.Request, path: str, runtime: Runtime) -> web.Response:
    """The node's answer to `path`: what stands after `/proxy/` in the request, with its query."""
    del request  # every method reads
    try:
        status, content_type, body = await runtime.proxy(path.lstrip("/"))
    except RuntimeFailure as failure:
        raise refused(failure) from failure
    return web.Response(status=status, body=body, headers={"Content-Type": content_type})
