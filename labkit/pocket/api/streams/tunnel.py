"""What SPDY travels in: a WebSocket (kubectl since 1.31), or the bare connection after `Upgrade:
SPDY/3.1` (before).

Upstream: k8s.io/apimachinery/pkg/util/httpstream (spdy/upgrade.go, handshake in httpstream.go).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Protocol, cast

from aiohttp import WSCloseCode, WSMsgType, web

from labkit.pocket.api import errors
from labkit.pocket.api.streams.channels import upgrade

SPDY = "SPDY/3.1"
_VERSION_HEADER = "X-Stream-Protocol-Version"
# Pieces kept before the client is made to wait; reading goes on when half of them are gone.
_PIECES = 64


class Tunnel(Protocol):
    """Bytes both ways, and the response that the request's handler must return."""

    @property
    def response(self) -> web.StreamResponse:
        """The response, already sent."""

    async def receive(self) -> bytes | None:
        """The next bytes; None when the client has gone."""

    async def send(self, data: bytes) -> None:
        """Send bytes. Raises ConnectionError."""

    async def close(self) -> None:
        """End it."""


class WebSocketTunnel:
    """A WebSocket whose binary messages are one stream of bytes."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    @classmethod
    async def open(cls, request: web.Request, subprotocol: str) -> WebSocketTunnel:
        """Upgrade the request."""
        return cls(await upgrade(request, subprotocol))

    @property
    def response(self) -> web.StreamResponse:
        """The WebSocket."""
        return self._socket

    async def receive(self) -> bytes | None:
        """The next message's bytes."""
        message = await self._socket.receive()
        return bytes(message.data) if message.type is WSMsgType.BINARY else None

    async def send(self, data: bytes) -> None:
        """One message."""
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        """A normal closure."""
        with contextlib.suppress(ConnectionError):
            await self._socket.close(code=WSCloseCode.OK)


def wants_spdy(request: web.Request) -> bool:
    """Whether the request asks for the bare connection."""
    return (
        request.headers.get("Upgrade", "").lower() == SPDY.lower()
        and "upgrade" in request.headers.get("Connection", "").lower()
    )


def negotiated_version(request: web.Request, supported: Sequence[str]) -> str:
    """The first version of the stream protocol that the client offers and we speak; ApiError (403)
    without one."""
    header = ",".join(request.headers.getall(_VERSION_HEADER, []))
    wanted = [name.strip() for name in header.split(",") if name.strip()]
    for name in wanted:
        if name in supported:
            return name
    message = (
        f"unable to upgrade: unable to negotiate protocol: client supports [{' '.join(wanted)}], "
        f"server accepts [{' '.join(supported)}]"
    )
    raise errors.failure(403, "Forbidden", message)


class BareTunnel:
    """The connection itself, taken from the HTTP server after its answer 101."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._over = False

    @classmethod
    async def open(cls, request: web.Request, version: str) -> BareTunnel:
        """Upgrade the request."""
        response = web.StreamResponse(
            status=101, headers={"Connection": "Upgrade", "Upgrade": SPDY, _VERSION_HEADER: version}
        )
        response.force_close()
        tunnel = cls(request, response)
        # Before the answer: what the client sends after it is ours and not another request.
        request.protocol.set_parser(cast(Any, tunnel))
        await response.prepare(request)
        return tunnel

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """For the HTTP server: bytes have come."""
        self._pieces.put_nowait(bytes(data))
        if self._pieces.qsize() == _PIECES and self._request.transport is not None:
            self._request.transport.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        """For the HTTP server: the connection has ended."""
        self._pieces.put_nowait(None)

    @property
    def response(self) -> web.StreamResponse:
        """The answer 101."""
        return self._response

    async def receive(self) -> bytes | None:
        """The next bytes."""
        if self._over:
            return None
        piece = await self._pieces.get()
        if self._pieces.qsize() == _PIECES // 2 and self._request.transport is not None:
            self._request.transport.resume_reading()
        self._over = piece is None
        return piece

    async def send(self, data: bytes) -> None:
        """As they are: an answer 101 has no length and no chunks."""
        await self._response.write(data)

    async def close(self) -> None:
        """Close the connection when everything is sent."""
        transport = self._request.transport
        if transport is not None:
            transport.close()
