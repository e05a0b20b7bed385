"""The SPDY/3.1 codec and session."""

from __future__ import annotations

import asyncio
import zlib

import pytest

from labkit.pocket.api.streams import spdy
from labkit.pocket.api.streams.spdysession import SpdySession, Stream, StreamResetError


def test_the_header_dictionary_is_the_specifications() -> None:
    # zlib names a dictionary by its Adler-32; SPDY/3's is known to every implementation by this number
    assert zlib.adler32(spdy.HEADER_DICTIONARY) == 0xE3C6A7C2
    assert len(spdy.HEADER_DICTIONARY) == 1423


FRAMES: list[spdy.Frame] = [
    spdy.SynStream(1, {"streamtype": "error", "port": "80", "requestid": "0"}, spdy.Flag.NONE, 0, 3),
    spdy.SynStream(3, {"streamtype": "data", "port": "80", "requestid": "0"}, spdy.Flag.FIN),
    spdy.SynReply(1, {}),
    spdy.Headers(1, {"a": "b"}),
    spdy.Data(3, b"hello"),
    spdy.Data(3, b"", spdy.Flag.FIN),
    spdy.RstStream(3, spdy.Reset.CANCEL),
    spdy.Settings({4: 100, 7: 65536}),
    spdy.WindowUpdate(3, 1000),
    spdy.Ping(1),
    spdy.GoAway(3),
]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_frames_survive_the_wire_in_pieces_of_any_size(size: int) -> None:
    encoder, decoder = spdy.Encoder(), spdy.Decoder()
    wire = b"".join(encoder.encode(frame) for frame in FRAMES)
    pieces = (wire[start : start + size] for start in range(0, len(wire), size))
    assert [frame for piece in pieces for frame in decoder.feed(piece)] == FRAMES


@pytest.mark.parametrize(
    "wire",
    [
        b"\x80\x02\x00\x01\x00\x00\x00\x00",  # version 2
        b"\x00\x00\x00\x00\x00\x00\x00\x00",  # data on stream 0
        b"\x80\x03\x00\x03\x00\x00\x00\x04\x00\x00\x00\x01",  # a short RST_STREAM
        b"\x80\x03\x00\x01\x00\x00\x00\x0e" + b"\x00" * 9 + b"\x01junk",  # headers that are not zlib
    ],
)
def test_nonsense_is_an_error(wire: bytes) -> None:
    with pytest.raises(spdy.SpdyError):
        spdy.Decoder().feed(wire)


def test_headers_that_blow_up_are_refused() -> None:
    bomb = spdy.Encoder().encode(spdy.SynStream(1, {"a": "x" * (1 << 21)}))
    with pytest.raises(spdy.SpdyError, match="too large"):
        spdy.Decoder().feed(bomb)


class Client:
    """The other end of a session, frame by frame."""

    def __init__(self) -> None:
        self.to_server: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.frames: asyncio.Queue[spdy.Frame] = asyncio.Queue()
        self.streams: asyncio.Queue[Stream] = asyncio.Queue()
        self.encoder, self.decoder = spdy.Encoder(), spdy.Decoder()
        self.session = SpdySession(self.to_server.get, self._receive, self._accept)
        self.task = asyncio.create_task(self.session.run())

    async def _receive(self, data: bytes) -> None:
        for frame in self.decoder.feed(data):
            self.frames.put_nowait(frame)

    def _accept(self, stream: Stream) -> str | None:
        if "port" not in stream.headers:
            return "no port"
        self.streams.put_nowait(stream)
        return None

    def send(self, *frames: spdy.Frame) -> None:
        for frame in frames:
            self.to_server.put_nowait(self.encoder.encode(frame))

    async def get(self) -> spdy.Frame:
        return await asyncio.wait_for(self.frames.get(), 5)


async def test_a_stream_is_accepted_and_carries_bytes_both_ways() -> None:
    client = Client()
    client.send(spdy.SynStream(1, {"port": "80"}), spdy.Data(1, b"in"), spdy.Data(1, b"", spdy.Flag.FIN))
    assert await client.get() == spdy.SynReply(1)
    stream = await client.streams.get()
    assert [await stream.read(), await stream.read(), await stream.read()] == [b"in", b"", b""]
    await stream.write(b"out")
    await stream.close()
    assert [await client.get(), await client.get()] == [
        spdy.Data(1, b"out"),
        spdy.Data(1, b"", spdy.Flag.FIN),
    ]
    client.to_server.put_nowait(None)
    await client.task


async def test_pings_of_the_client_are_answered_and_bad_streams_reset() -> None:
    client = Client()
    client.send(
        spdy.Ping(5), spdy.SynStream(1, {}), spdy.SynStream(2, {"port": "1"}), spdy.Ping(2), spdy.Ping(7)
    )
    assert [await client.get() for _ in range(4)] == [
        spdy.Ping(5),
        spdy.RstStream(1, spdy.Reset.REFUSED_STREAM),
        spdy.RstStream(2, spdy.Reset.PROTOCOL_ERROR),
        spdy.Ping(7),
    ]
    client.send(spdy.GoAway(0))
    await client.task


async def test_a_reset_stream_wakes_its_reader_and_refuses_writes() -> None:
    client = Client()
    client.send(spdy.SynStream(1, {"port": "80"}))
    stream = await client.streams.get()
    reading = asyncio.create_task(stream.read())
    client.send(spdy.RstStream(1, spdy.Reset.CANCEL))
    with pytest.raises(StreamResetError):
        await asyncio.wait_for(reading, 5)
    with pytest.raises(StreamResetError):
        await stream.write(b"late")
    client.to_server.put_nowait(None)
    await client.task


async def test_a_stream_nobody_reads_holds_the_connection_back_until_it_is_forgotten() -> None:
    client = Client()
    client.send(spdy.SynStream(1, {"port": "80"}))
    stream = await client.streams.get()
    client.send(*(spdy.Data(1, b"x") for _ in range(100)), spdy.Ping(1))
    assert await client.get() == spdy.SynReply(1)
    await asyncio.sleep(0.05)
    assert client.frames.empty()
    client.session.forget(stream)
    assert await client.get() == spdy.Ping(1)
    client.to_server.put_nowait(None)
    await client.task
