"""The `channel.k8s.io` family of WebSocket subprotocols: a byte that names a channel, then its data.

Rules: k8s.io/apimachinery/pkg/util/httpstream/wsstream (conn.go) and util/remotecommand (constants.go).
v5 adds channel 255, with which a client closes another channel; from v4 on the error channel carries a
Status.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from labkit.pocket.api import errors


class Channel(IntEnum):
    """The channels of exec and attach."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4
    CLOSE = 255


@dataclass(frozen=True)
class Subprotocol:
    """One negotiated form: how data is written, and what the error channel and channel 255 mean."""

    name: str
    base64: bool = False
    status: bool = True
    close: bool = False


EXEC_SUBPROTOCOLS = (
    Subprotocol("v5.channel.k8s.io", close=True),
    Subprotocol("v4.channel.k8s.io"),
    Subprotocol("v4.base64.channel.k8s.io", base64=True),
    Subprotocol("channel.k8s.io", status=False),
    Subprotocol("base64.channel.k8s.io", base64=True, status=False),
)
PORT_SUBPROTOCOLS = (
    Subprotocol("v4.channel.k8s.io", status=False),
    Subprotocol("v4.base64.channel.k8s.io", base64=True, status=False),
    # What upstream documents for port-forward; some clients ask for it by this name.
    Subprotocol("portforward.k8s.io", status=False),
)
# A client that names no subprotocol gets plain binary channels, as upstream's "" entry.
UNNAMED = Subprotocol("", status=False)


def offered(request: web.Request) -> list[str]:
    """The subprotocols the client offers, in its order of preference."""
    header = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    return [name.strip() for name in header.split(",") if name.strip()]


def is_websocket(request: web.Request) -> bool:
    """Whether the request asks for a WebSocket."""
    return (
        request.headers.get("Upgrade", "").lower() == "websocket"
        and "upgrade" in request.headers.get("Connection", "").lower()
    )


def negotiate(request: web.Request, supported: Iterable[Subprotocol]) -> Subprotocol:
    """The first subprotocol the client offers that we speak; ApiError when there is none."""
    if not is_websocket(request):
        raise errors.bad_request("Upgrade request required")
    wanted = offered(request)
    if not wanted:
        return UNNAMED
    known = {protocol.name: protocol for protocol in supported}
    for name in wanted:
        if name in known:
            return known[name]
    raise errors.failure(
        403,
        "Forbidden",
        f"requested protocol(s) are not supported: [{' '.join(wanted)}]; supports [{' '.join(known)}]",
    )


class Channels(Protocol):
    """A client at the other end of numbered channels, over whatever connection."""

    @property
    def response(self) -> web.StreamResponse:
        """The response the handler must return."""

    async def receive(self) -> tuple[int, bytes] | None:
        """The next (channel, data); None when the client has gone or breaks the protocol."""

    async def send(self, channel: int, data: bytes) -> None:
        """Send data on a channel. Raises ConnectionError when the client has gone."""

    async def send_status(self, status: dict[str, Any]) -> None:
        """Say how it ended."""

    async def close(self) -> None:
        """End every channel."""


class ChannelSocket:
    """A WebSocket that carries numbered channels. Writes from several tasks do not mix."""

    def __init__(self, socket: web.WebSocketResponse, protocol: Subprotocol) -> None:
        self._socket = socket
        self._protocol = protocol
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, request: web.Request, protocol: Subprotocol) -> ChannelSocket:
        """Upgrade the request."""
        socket = await upgrade(request, protocol.name)
        return cls(socket, protocol)

    @property
    def response(self) -> web.StreamResponse:
        """The response the handler must return."""
        return self._socket

    async def receive(self) -> tuple[int, bytes] | None:
        """The next (channel, data); None when the client has gone or breaks the protocol."""
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                frame = bytes(message.data)
            elif message.type is WSMsgType.TEXT:
                frame = message.data.encode()
            else:
                return None
            if not frame:
                continue
            if not self._protocol.base64:
                return frame[0], frame[1:]
            try:
                return frame[0] - ord("0"), base64.b64decode(frame[1:], validate=True)
            except binascii.Error:
                return None

    async def send(self, channel: int, data: bytes) -> None:
        """Send data on a channel. Raises ConnectionError when the client has gone."""
        async with self._writing:
            if self._protocol.base64:
                await self._socket.send_str(chr(ord("0") + channel) + base64.b64encode(data).decode())
            else:
                await self._socket.send_bytes(bytes([channel]) + data)

    async def send_status(self, status: dict[str, Any]) -> None:
        """Say on the error channel how it ended: a Status from v4 on; before, the bare text of a failure."""
        if self._protocol.status:
            await self.send(Channel.ERROR, json.dumps(status).encode())
        elif status["status"] != "Success":
            await self.send(Channel.ERROR, status["message"].encode())

    async def close(self) -> None:
        """A normal closure, which clients read as the end of every channel."""
        await self._socket.close(code=WSCloseCode.OK)


async def upgrade(request: web.Request, subprotocol: str) -> web.WebSocketResponse:
    """Answer 101 with this subprotocol. Messages have no size limit and are not compressed: clients of
    Kubernetes do not ask for it."""
    socket = web.WebSocketResponse(
        protocols=(subprotocol,) if subprotocol else (), max_msg_size=0, compress=False, timeout=2.0
    )
    await socket.prepare(request)
    return socket
