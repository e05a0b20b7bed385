"""exec and attach over SPDY, as clients before WebSockets do it: one stream for each channel.

Upstream: k8s.io/kubelet/pkg/cri/streaming/remotecommand/httpstream.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any

from aiohttp import web

from labkit.pocket.api.streams import spdy
from labkit.pocket.api.streams.channels import Channel
from labkit.pocket.api.streams.query import TerminalOptions
from labkit.pocket.api.streams.spdysession import SpdySession, Stream
from labkit.pocket.api.streams.tunnel import Tunnel

_log = logging.getLogger(__name__)

EXEC_VERSIONS = ("v4.channel.k8s.io",)
# As a kubelet's DefaultStreamCreationTimeout. Seconds.
_STREAMS_WITHIN = 30.0
_NAMES = {
    "stdin": Channel.STDIN,
    "stdout": Channel.STDOUT,
    "stderr": Channel.STDERR,
    "error": Channel.ERROR,
    "resize": Channel.RESIZE,
}


class SpdyChannels:
    """What ChannelSocket is, with streams of a SPDY connection as channels."""

    def __init__(self, tunnel: Tunnel, options: TerminalOptions) -> None:
        self._tunnel = tunnel
        self._expected = {Channel.ERROR}
        self._expected |= {Channel.STDIN} if options.stdin else set()
        self._expected |= {Channel.STDOUT} if options.stdout else set()
        self._expected |= {Channel.STDERR} if options.stderr else set()
        self._expected |= {Channel.RESIZE} if options.tty else set()
        self._streams: dict[Channel, Stream] = {}
        self._complete = asyncio.Event()
        self._frames: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(64)
        self._session = SpdySession(tunnel.receive, tunnel.send, self._accept)
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, tunnel: Tunnel, options: TerminalOptions) -> SpdyChannels:
        """Wait until the client has opened its streams. Raises ConnectionError when it does not."""
        channels = cls(tunnel, options)
        channels._tasks.append(asyncio.create_task(channels._run()))
        try:
            async with asyncio.timeout(_STREAMS_WITHIN):
                await channels._complete.wait()
        except TimeoutError:
            await channels.close()
            raise ConnectionError("timed out waiting for the client's streams") from None
        if channels._expected - channels._streams.keys():
            await channels.close()
            raise ConnectionError("the client went before it had opened its streams")
        for channel in (Channel.STDIN, Channel.RESIZE):
            if channel in channels._streams:
                channels._tasks.append(asyncio.create_task(channels._read(channel)))
        return channels

    @property
    def response(self) -> web.StreamResponse:
        """The response the handler must return."""
        return self._tunnel.response

    def _accept(self, stream: Stream) -> str | None:
        channel = _NAMES.get(stream.headers.get("streamtype", ""))
        if channel is None or channel in self._streams:
            return "unexpected stream type"
        self._streams[channel] = stream
        if not self._expected - self._streams.keys():
            self._complete.set()
        return None

    async def _run(self) -> None:
        try:
            await self._session.run()
        except (spdy.SpdyError, ConnectionError) as error:
            _log.debug("the client's SPDY connection ended: %s", error)
        self._complete.set()
        await self._frames.put(None)

    async def _read(self, channel: Channel) -> None:
        """One stream's bytes as frames; the end of stdin as v5 of the WebSocket form says it."""
        stream, rest = self._streams[channel], b""
        with contextlib.suppress(ConnectionError):
            while data := await stream.read():
                if channel is Channel.STDIN:
                    await self._frames.put((channel, data))
                    continue
                # Sizes are JSON objects with a line each, which pieces of a stream need not respect.
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    await self._frames.put((channel, line))
            if channel is Channel.STDIN:
                await self._frames.put((Channel.CLOSE, bytes([Channel.STDIN])))

    async def receive(self) -> tuple[int, bytes] | None:
        """The next (channel, data); None when the client has gone."""
        return await self._frames.get()

    async def send(self, channel: int, data: bytes) -> None:
        """Send data on a channel. Raises ConnectionError when the client has gone."""
        await self._streams[Channel(channel)].write(data)

    async def send_status(self, status: dict[str, Any]) -> None:
        """Say on the error stream how it ended."""
        await self.send(Channel.ERROR, json.dumps(status).encode())

    async def close(self) -> None:
        """End every stream and the connection."""
        with contextlib.suppress(ConnectionError):
            for stream in self._streams.values():
                await stream.close()
            await self._session.send(spdy.GoAway(0))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._tunnel.close()
