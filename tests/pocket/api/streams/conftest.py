"""A small API server with two pods, so that the real kubectl and the official client can talk to the
handlers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from labkit.pocket.api.errors import ApiError, not_found
from labkit.pocket.api.streams import POD_STREAMS, node_proxy
from tests.pocket.api.streams.local_runtime import Lab, LocalRuntime


def pod(name: str, *containers: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-of-{name}"},
        "spec": {"nodeName": "pocket", "containers": [{"name": c, "image": "x"} for c in containers]},
        "status": {"phase": "Running"},
    }


PODS = {
    p["metadata"]["name"]: p
    for p in (pod("web", "app"), pod("two", "first", "second"), pod("bad", "crashed"))
}
VERBS = ["create", "get", "list"]
DISCOVERY: dict[str, dict[str, Any]] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {"name": "pods", "singularName": "pod", "kind": "Pod", "namespaced": True, "verbs": VERBS},
            *(
                {"name": f"pods/{sub}", "singularName": "", "kind": "Pod", "namespaced": True, "verbs": VERBS}
                for sub in POD_STREAMS
            ),
        ],
    },
}


@web.middleware
async def _statuses(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return web.json_response(error.status, status=error.code)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    runtime = LocalRuntime()

    def find(request: web.Request) -> dict[str, Any]:
        name = request.match_info["name"]
        if name not in PODS:
            raise not_found("", "pods", name)
        return PODS[name]

    app = web.Application(middlewares=[_statuses])

    async def get_pod(request: web.Request) -> web.Response:
        return web.json_response(find(request))

    async def discover(request: web.Request) -> web.Response:
        return web.json_response(DISCOVERY[request.path])

    async def proxy(request: web.Request) -> web.Response:
        path = f"{request.match_info['path']}?{request.query_string}"
        return await node_proxy(request, path, runtime)

    def stream(sub: str) -> Any:
        async def serve(request: web.Request) -> web.StreamResponse:
            return await POD_STREAMS[sub](request, find(request), runtime)

        return serve

    for path in DISCOVERY:
        app.router.add_get(path, discover)
    base = "/api/v1/namespaces/default/pods/{name}"
    app.router.add_get(base, get_pod)
    for sub in POD_STREAMS:
        app.router.add_route("*", f"{base}/{sub}", stream(sub))
    app.router.add_get("/api/v1/nodes/pocket/proxy/{path:.*}", proxy)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    url = f"http://127.0.0.1:{port}"
    kubeconfig = tmp_path / "kubeconfig"
    named = {"cluster": "lab", "user": "lab", "namespace": "default"}
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "lab",
                "clusters": [{"name": "lab", "cluster": {"server": url}}],
                "users": [{"name": "lab", "user": {}}],
                "contexts": [{"name": "lab", "context": named}],
            }
        )
    )
    yield Lab(runtime, url, kubeconfig)
    await runtime.close()
    await runner.cleanup()
