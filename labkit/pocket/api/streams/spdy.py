"""SPDY/3.1 frames: bytes to frames and back. No input or output; `spdysession` gives them a connection.

kubectl tunnels port-forwards in SPDY/3.1 (github.com/moby/spdystream). The format is
https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/; headers are compressed with zlib, one
compressor for the life of a direction, primed with a fixed dictionary.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

VERSION = 3
_MAX_HEADER_BYTES = 1 << 20


class SpdyError(Exception):
    """The other side sent something that is not SPDY/3.1; the connection cannot go on."""


class Kind(IntEnum):
    """Types of control frames."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class Flag(IntFlag):
    """Flags of frames; FIN: the sender sends no more on this stream."""

    NONE = 0
    FIN = 1
    UNIDIRECTIONAL = 2


class Reset(IntEnum):
    """Why a stream is reset."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    CANCEL = 5
    INTERNAL_ERROR = 6


@dataclass(frozen=True)
class SynStream:
    """A new stream."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    flags: Flag = Flag.NONE
    associated: int = 0
    priority: int = 0


@dataclass(frozen=True)
class SynReply:
    """A new stream is accepted."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    flags: Flag = Flag.NONE


@dataclass(frozen=True)
class Headers:
    """Further headers of a stream."""

    stream: int
    headers: Mapping[str, str]
    flags: Flag = Flag.NONE


@dataclass(frozen=True)
class Data:
    """Bytes of a stream."""

    stream: int
    data: bytes
    flags: Flag = Flag.NONE


@dataclass(frozen=True)
class RstStream:
    """A stream ends at once."""

    stream: int
    status: int


@dataclass(frozen=True)
class Ping:
    """Answered with the same number; a client's are odd."""

    number: int


@dataclass(frozen=True)
class GoAway:
    """No further streams are accepted after `last_stream`."""

    last_stream: int
    status: int = 0


@dataclass(frozen=True)
class Settings:
    """Settings of the connection, number to value."""

    values: Mapping[int, int]


@dataclass(frozen=True)
class WindowUpdate:
    """More bytes may be sent (stream 0: on the connection)."""

    stream: int
    delta: int


Frame = SynStream | SynReply | Headers | Data | RstStream | Ping | GoAway | Settings | WindowUpdate


def _dictionary() -> bytes:
    """The dictionary of the specification: length-prefixed header words, then frequent values."""
    words = (
        "options head post put delete trace accept accept-charset accept-encoding accept-language"
        " accept-ranges age allow authorization cache-control connection content-base content-encoding"
        " content-language content-length content-location content-md5 content-range content-type date etag"
        " expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since"
        " last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer"
        " retry-after server te trailer transfer-encoding upgrade user-agent vary via warning"
        " www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin"
    )
    tail = (
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
        "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
        "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, "
        "Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
        "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,"
        "sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
    )
    prefixed = b"".join(
        struct.pack(">I", len(word)) + word.replace("_", " ").encode() for word in words.split()
    )
    return prefixed + tail.encode()


HEADER_DICTIONARY = _dictionary()


class Encoder:
    """Frames to bytes, for one direction of one connection."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zdict=HEADER_DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        """The bytes of the frame. Header frames must be sent in the order they were encoded."""
        match frame:
            case Data(stream, data, flags):
                return struct.pack(">II", stream, flags << 24 | len(data)) + data
            case SynStream(stream, headers, flags, associated, priority):
                head = struct.pack(">IIBB", stream, associated, priority << 5, 0)
                return _control(Kind.SYN_STREAM, flags, head + self._compress(headers))
            case SynReply(stream, headers, flags):
                return _control(Kind.SYN_REPLY, flags, struct.pack(">I", stream) + self._compress(headers))
            case Headers(stream, headers, flags):
                return _control(Kind.HEADERS, flags, struct.pack(">I", stream) + self._compress(headers))
            case RstStream(stream, status):
                return _control(Kind.RST_STREAM, Flag.NONE, struct.pack(">II", stream, status))
            case Ping(number):
                return _control(Kind.PING, Flag.NONE, struct.pack(">I", number))
            case GoAway(last_stream, status):
                return _control(Kind.GOAWAY, Flag.NONE, struct.pack(">II", last_stream, status))
            case WindowUpdate(stream, delta):
                return _control(Kind.WINDOW_UPDATE, Flag.NONE, struct.pack(">II", stream, delta))
            case Settings(values):
                pairs = b"".join(struct.pack(">II", key, value) for key, value in values.items())
                return _control(Kind.SETTINGS, Flag.NONE, struct.pack(">I", len(values)) + pairs)

    def _compress(self, headers: Mapping[str, str]) -> bytes:
        block = [struct.pack(">I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += [struct.pack(">I", len(text)), text]
        return self._zlib.compress(b"".join(block)) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


class Decoder:
    """Bytes to frames, for one direction of one connection."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zdict=HEADER_DICTIONARY)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes, give the frames they complete.

        Frames of unknown types are skipped. Raises SpdyError.
        """
        self._buffer += data
        frames: list[Frame] = []
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            length = second & 0xFFFFFF
            if len(self._buffer) < 8 + length:
                break
            body = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            frame = self._frame(first, Flag(second >> 24 & 3), body)
            if frame is not None:
                frames.append(frame)
        return frames

    def _frame(self, first: int, flags: Flag, body: bytes) -> Frame | None:
        if not first & 0x80000000:
            if first == 0:
                raise SpdyError("data on stream 0")
            return Data(first, body, flags & Flag.FIN)
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != VERSION:
            raise SpdyError(f"SPDY version {version}, expected {VERSION}")
        try:
            return self._control_frame(kind, flags, body)
        except struct.error as error:
            raise SpdyError(f"control frame of type {kind} is too short") from error

    def _control_frame(self, kind: int, flags: Flag, body: bytes) -> Frame | None:
        match kind:
            case Kind.SYN_STREAM:
                stream, associated, priority, _slot = struct.unpack_from(">IIBB", body)
                headers = self._decompress(body[10:])
                return SynStream(stream & 0x7FFFFFFF, headers, flags, associated, priority >> 5)
            case Kind.SYN_REPLY:
                (stream,) = struct.unpack_from(">I", body)
                return SynReply(stream & 0x7FFFFFFF, self._decompress(body[4:]), flags)
            case Kind.HEADERS:
                (stream,) = struct.unpack_from(">I", body)
                return Headers(stream & 0x7FFFFFFF, self._decompress(body[4:]), flags)
            case Kind.RST_STREAM:
                return RstStream(*struct.unpack_from(">II", body))
            case Kind.PING:
                return Ping(*struct.unpack_from(">I", body))
            case Kind.GOAWAY:
                return GoAway(*struct.unpack_from(">II", body))
            case Kind.WINDOW_UPDATE:
                return WindowUpdate(*struct.unpack_from(">II", body))
            case Kind.SETTINGS:
                (count,) = struct.unpack_from(">I", body)
                pairs = [struct.unpack_from(">II", body, 4 + 8 * index) for index in range(count)]
                return Settings({key & 0xFFFFFF: value for key, value in pairs})
        return None

    def _decompress(self, data: bytes) -> dict[str, str]:
        try:
            block = self._zlib.decompress(data, _MAX_HEADER_BYTES)
        except zlib.error as error:
            raise SpdyError(f"headers do not decompress: {error}") from error
        if self._zlib.unconsumed_tail:
            raise SpdyError("headers are too large")
        (count,) = struct.unpack_from(">I", block)
        position = 4
        texts: list[str] = []
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", block, position)
            position += 4
            if position + length > len(block):
                raise SpdyError("a header is longer than its block")
            texts.append(block[position : position + length].decode("utf-8", "replace"))
            position += length
        return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}


def _control(kind: Kind, flags: Flag, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(body)) + body
