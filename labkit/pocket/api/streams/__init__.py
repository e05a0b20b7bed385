"""Streams between a client and a container: exec, attach, port-forward, logs, and the node's proxy.

Handlers for the API server to mount. It finds the Pod (and answers 401, 403, 404); everything after that
is answered here; a request that is refused before it becomes a stream raises ApiError.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from labkit.pocket.api.streams.logs import pod_log
from labkit.pocket.api.streams.nodeproxy import node_proxy
from labkit.pocket.api.streams.portforward import pod_portforward
from labkit.pocket.api.streams.terminal import pod_attach, pod_exec
from labkit.pocket.runtime import Runtime

PodStream = Callable[[web.Request, Mapping[str, Any], Runtime], Awaitable[web.StreamResponse]]

POD_STREAMS: Mapping[str, PodStream] = {
    "attach": pod_attach,
    "exec": pod_exec,
    "log": pod_log,
    "portforward": pod_portforward,
}
"""Pod subresource to handler(request, pod, runtime). All serve GET; exec and attach serve POST as well."""

__all__ = [
    "POD_STREAMS",
    "PodStream",
    "node_proxy",
    "pod_attach",
    "pod_exec",
    "pod_log",
    "pod_portforward",
]
