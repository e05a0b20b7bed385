"""A SPDY/3.1 connection from the server's side: accepts the client's streams, carries their bytes.

What it rests on is any pair of functions that receive and send bytes; for Kubernetes that is a WebSocket
with the subprotocol `SPDY/3.1+portforward.k8s.io`. Flow control of SPDY is not enforced, as in
moby/spdystream, which all Kubernetes clients use and which never sends WINDOW_UPDATE: a slow reader
holds the whole connection back instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from labkit.pocket.api.streams import spdy

# Data frames kept for a stream before the connection waits for its reader.
_FRAMES_PER_STREAM = 32
_MAX_DATA = 1 << 16


class StreamResetError(ConnectionError):
    """The client has reset the stream, or the connection has ended."""


class Stream:
    """One stream the client opened: `headers` in lower case, bytes both ways, each side closed by itself."""

    def __init__(self, session: SpdySession, number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = headers
        self._session = session
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue(_FRAMES_PER_STREAM)
        self._reset = asyncio.Event()
        self._ended = False
        self._closed = False

    async def read(self) -> bytes:
        """The next bytes; `b""` at the client's end of the stream. Raises StreamResetError."""
        if self._ended:
            return b""
        getting = asyncio.ensure_future(self._incoming.get())
        resetting = asyncio.ensure_future(self._reset.wait())
        try:
            await asyncio.wait({getting, resetting}, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                raise StreamResetError
            data = getting.result()
        finally:
            getting.cancel()
            resetting.cancel()
        if data is None:
            self._ended = True
            return b""
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes. Raises StreamResetError."""
        for start in range(0, len(data), _MAX_DATA):
            if self._reset.is_set() or self._closed:
                raise StreamResetError
            await self._session.send(spdy.Data(self.number, data[start : start + _MAX_DATA]))

    async def close(self) -> None:
        """Say that no more bytes come from this side. Harmless when repeated."""
        if not self._closed and not self._reset.is_set():
            self._closed = True
            await self._session.send(spdy.Data(self.number, b"", spdy.Flag.FIN))

    async def deliver(self, data: bytes | None) -> None:
        """For the session: bytes have come (None: the client's end)."""
        if self._reset.is_set():
            return
        putting = asyncio.ensure_future(self._incoming.put(data))
        resetting = asyncio.ensure_future(self._reset.wait())
        try:
            await asyncio.wait({putting, resetting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            putting.cancel()
            resetting.cancel()

    def reset(self) -> None:
        """For the session: the client has reset the stream, or gone."""
        self._reset.set()


class SpdySession:
    """Serves one connection: `await session.run()` returns when it has ended.

    `accept(stream)` is called for each new stream and must not block; it returns what is wrong with the
    stream's headers (the stream is then reset), or None.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[bytes | None]],
        send: Callable[[bytes], Awaitable[None]],
        accept: Callable[[Stream], str | None],
    ) -> None:
        self._receive = receive
        self._send_bytes = send
        self._accept = accept
        self._decoder = spdy.Decoder()
        self._encoder = spdy.Encoder()
        self._sending = asyncio.Lock()
        self._streams: dict[int, Stream] = {}
        self._last_stream = 0

    async def run(self) -> None:
        """Handle frames until the connection ends, by GOAWAY or without.

        Raises spdy.SpdyError on nonsense.
        """
        try:
            while (data := await self._receive()) is not None:
                for frame in self._decoder.feed(data):
                    if isinstance(frame, spdy.GoAway):
                        return
                    await self._handle(frame)
        finally:
            for stream in self._streams.values():
                stream.reset()
            self._streams.clear()

    async def send(self, frame: spdy.Frame) -> None:
        """Send one frame; header compression needs them to leave in the order they were encoded."""
        async with self._sending:
            await self._send_bytes(self._encoder.encode(frame))

    def forget(self, stream: Stream) -> None:
        """The stream's work is done: later frames for it are dropped."""
        stream.reset()
        self._streams.pop(stream.number, None)

    async def _handle(self, frame: spdy.Frame) -> None:
        match frame:
            case spdy.SynStream():
                await self._open(frame)
            case spdy.Data(number, data, flags):
                stream = self._streams.get(number)
                if stream is not None:
                    if data:
                        await stream.deliver(data)
                    if flags & spdy.Flag.FIN:
                        await stream.deliver(None)
            case spdy.RstStream(number):
                stream = self._streams.pop(number, None)
                if stream is not None:
                    stream.reset()
            case spdy.Ping(number) if number % 2:
                await self.send(frame)
            case _:
                pass  # SETTINGS, WINDOW_UPDATE, HEADERS: nothing that port-forward needs

    async def _open(self, frame: spdy.SynStream) -> None:
        if frame.stream % 2 == 0 or frame.stream <= self._last_stream:
            await self.send(spdy.RstStream(frame.stream, spdy.Reset.PROTOCOL_ERROR))
            return
        self._last_stream = frame.stream
        stream = Stream(self, frame.stream, frame.headers)
        if self._accept(stream) is not None:
            await self.send(spdy.RstStream(frame.stream, spdy.Reset.REFUSED_STREAM))
            return
        self._streams[frame.stream] = stream
        if frame.flags & spdy.Flag.FIN:
            await stream.deliver(None)
        await self.send(spdy.SynReply(frame.stream))
