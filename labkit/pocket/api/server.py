"""The API on TLS sockets: paths that are not resources, authentication, refusals."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Iterable

from aiohttp import web

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError, internal
from labkit.pocket.api.http import discovery
from labkit.pocket.api.http.authentication import Authenticator
from labkit.pocket.api.http.bodies import request_too_large
from labkit.pocket.api.http.openapi import OpenApi
from labkit.pocket.api.http.openapiv2 import PROTOBUF
from labkit.pocket.api.http.output import negotiate, refuse, respond
from labkit.pocket.api.http.paths import Target, parse
from labkit.pocket.api.http.query import begin_warnings, warnings_so_far
from labkit.pocket.api.http.resources import Resources
from labkit.pocket.api.request import User
from labkit.pocket.api.tokens import ISSUER, Tokens
from labkit.pocket.pki import Pki
from labkit.pocket.runtime import Runtime

log = logging.getLogger(__name__)

VERSION = {
    "major": "1",
    "minor": "34",
    "emulationMajor": "1",
    "emulationMinor": "34",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "33",
    "gitVersion": "v1.34.3",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "labkit",
    "platform": "linux/amd64",
}

# As in Kubernetes, these answer everybody: probes and `kubectl version` come before credentials.
OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version")
MAX_BODY = 3 * 1024 * 1024


class Server:
    """A running API server. `close` ends it; open watches and streams end with it."""

    def __init__(self, api: Api, runtime: Runtime | None, pki: Pki, server_address: str) -> None:
        self.tokens = Tokens(pki.service_account_key)
        self._api = api
        self._address = server_address
        self._authenticator = Authenticator(api, self.tokens)
        self._resources = Resources(api, runtime, self.tokens)
        self._openapi = OpenApi(api.schemas, api.registry)
        self._pki = pki
        self._runner: web.AppRunner | None = None

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        """Begin to answer on bound sockets (which need not listen yet)."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=0.5, keepalive_timeout=300
        )
        await self._runner.setup()
        context = self._pki.server_context()
        for sock in sockets:
            await web.SockSite(self._runner, sock, ssl_context=context).start()

    async def add_socket(self, sock: socket.socket) -> None:
        """Answer on one more socket."""
        assert self._runner is not None
        await web.SockSite(self._runner, sock, ssl_context=self._pki.server_context()).start()

    async def close(self) -> None:
        """Stop listening and end what is open."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        begin_warnings()
        status = 0
        try:
            response = await self._route(request)
            status = response.status
        except ApiError as error:
            status = error.code
            return refuse(error, warnings_so_far())
        except web.HTTPRequestEntityTooLarge:
            status = 413
            return refuse(request_too_large())
        except (asyncio.CancelledError, ConnectionResetError):
            status = 499
            raise
        except Exception as error:
            status = 500
            log.exception("%s %s failed", request.method, request.path_qs)
            return refuse(internal(f"{type(error).__name__}: {error}"))
        finally:
            if log.isEnabledFor(logging.DEBUG):
                log.debug(
                    "%s %s %d %.1fms %s",
                    request.method,
                    request.path_qs,
                    status,
                    (time.perf_counter() - began) * 1000,
                    request.headers.get("User-Agent", "-"),
                )
        return response

    async def _route(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if path.rstrip("/").startswith(OPEN_PATHS):
            return self._open(path.rstrip("/"))
        user = self._authenticator.user(request)
        target = parse(path)
        if target is not None and target.plural:
            if not self._api.registry.serves(target.group, target.version, target.plural):
                return _page_not_found()
            if not target.namespace and request.method not in ("GET", "HEAD") and self._is_elsewhere(target):
                return _page_not_found()
            return await self._resources.handle(request, target, user)
        return self._document(request, path.rstrip("/") or "/", user)

    def _is_elsewhere(self, target: Target) -> bool:
        """Whether these are custom resources that can be written in their namespaces only."""
        found = self._api.registry.at(target.group, target.version, target.plural)
        return found is not None and found.custom is not None and found.namespaced

    def _open(self, path: str) -> web.Response:
        if path == "/version":
            return web.json_response(VERSION)
        if path in OPEN_PATHS or path.startswith(("/livez/", "/readyz/", "/healthz/")):
            return web.Response(text="ok")
        return _page_not_found()

    def _document(self, request: web.Request, path: str, _user: User) -> web.Response:
        registry = self._api.registry
        accept = request.headers.get("Accept", "")
        if request.method not in ("GET", "HEAD"):
            return _page_not_found()
        if path in ("/api", "/apis") and discovery.wants_aggregated(accept):
            body = discovery.aggregated(registry, core=path == "/api")
            return web.Response(
                body=json.dumps(body).encode(),
                headers={"Content-Type": discovery.AGGREGATED, "Vary": "Accept", "Cache-Control": "public"},
            )
        match [part for part in path.split("/") if part]:
            case []:
                return web.json_response({"paths": self._paths()})
            case ["api"]:
                answer = discovery.api_versions(self._address)
            case ["apis"]:
                answer = discovery.group_list(registry)
            case ["api", version]:
                answer = discovery.resource_list(registry, "", version) or {}
            case ["apis", group]:
                answer = discovery.group(registry, group) or {}
            case ["apis", group, version]:
                answer = discovery.resource_list(registry, group, version) or {}
            case ["openapi", *rest]:
                return self._openapi_document(rest, accept)
            case [".well-known", "openid-configuration"]:
                answer = {
                    "issuer": ISSUER,
                    "jwks_uri": f"https://{self._address}/openid/v1/jwks",
                    "response_types_supported": ["id_token"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["ES256"],
                }
            case ["openid", "v1", "jwks"]:
                answer = self.tokens.keys()
            case _:
                answer = {}
        return respond(negotiate(request), answer) if answer else _page_not_found()

    def _openapi_document(self, path: list[str], accept: str) -> web.Response:
        if path == ["v2"] and "proto-openapi" in accept and "json" not in accept:
            headers = {"Content-Type": PROTOBUF, "Vary": "Accept"}
            return web.Response(body=self._openapi.v2_protobuf, headers=headers)
        if accept and "json" not in accept and "*/*" not in accept:
            return web.Response(status=406)
        match path:
            case ["v2"]:
                text: bytes | None = self._openapi.v2
            case ["v3"]:
                text = self._openapi.index
            case ["v3", *rest]:
                text = self._openapi.document("/".join(rest))
            case _:
                text = None
        if text is None:
            return _page_not_found()
        return web.Response(body=text, content_type="application/json", headers={"Vary": "Accept"})

    def _paths(self) -> list[str]:
        paths = {"/api", "/apis", "/healthz", "/livez", "/readyz", "/version", "/openapi/v2", "/openapi/v3"}
        for resource in self._api.registry:
            root = f"/apis/{resource.group}" if resource.group else "/api"
            paths |= {root, f"{root}/{resource.version}"}
        return sorted(paths)


def _page_not_found() -> web.Response:
    return web.Response(status=404, text="404 page not found\n")


async def serve(
    api: Api,
    runtime: Runtime | None,
    pki: Pki,
    sockets: Iterable[socket.socket],
    *,
    server_address: str = "172.18.0.2:6443",
) -> Server:
    """Serve `api` with TLS on bound TCP sockets.

    `runtime` answers exec, attach, logs, port-forward and the node's proxy; without one these fail. A client
    certificate of the cluster's CA or a service account's token is needed; without, the answer is 401.
    `server_address` is what discovery tells clients. The server's `tokens` issues service accounts' tokens.
    """
    server = Server(api, runtime, pki, server_address)
    await server.start(sockets)
    return server
