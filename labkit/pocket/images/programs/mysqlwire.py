"""The MySQL client/server protocol as far as a login, a ping and a small query need it; both sides.

Rule: MySQL's documentation of the protocol, "Connection Phase" (Protocol::HandshakeV10, caching_sha2_password with its
fast path, mysql_native_password) and "Text Protocol".
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from dataclasses import dataclass

PROTOCOL_41, SECURE, PLUGIN, WITH_DB, LENENC = 0x200, 0x8000, 0x80000, 0x8, 0x200000
CAPABILITIES = 0x1 | 0x2 | 0x4 | WITH_DB | PROTOCOL_41 | 0x2000 | SECURE | PLUGIN | LENENC
CACHING, NATIVE = "caching_sha2_password", "mysql_native_password"

COM_QUIT, COM_INIT_DB, COM_QUERY, COM_STATISTICS, COM_PING = 1, 2, 3, 9, 14


class MysqlError(Exception):
    """An error packet (or a broken conversation): `.code`, `.message`."""

    def __init__(self, code: int, message: str, state: str = "HY000") -> None:
        super().__init__(f"ERROR {code} ({state}): {message}")
        self.code, self.message, self.state = code, message, state


class Channel:
    """Packets over a connection, with their sequence numbers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.sequence = reader, writer, 0

    async def read(self) -> bytes:
        head = await self.reader.readexactly(4)
        self.sequence = head[3] + 1
        return await self.reader.readexactly(int.from_bytes(head[:3], "little"))

    def write(self, payload: bytes) -> None:
        self.writer.write(len(payload).to_bytes(3, "little") + bytes([self.sequence & 0xFF]) + payload)
        self.sequence += 1


@dataclass(frozen=True, slots=True)
class Login:
    """What a client says of itself in its handshake response."""

    user: str
    response: bytes
    database: str
    plugin: str


def scramble(plugin: str, password: str, nonce: bytes) -> bytes:
    """The proof of a password that `plugin` sends; empty for an empty password."""
    if not password:
        return b""
    if plugin == NATIVE:
        once = hashlib.sha1(password.encode()).digest()
        mask = hashlib.sha1(nonce + hashlib.sha1(once).digest()).digest()
    else:
        once = hashlib.sha256(password.encode()).digest()
        mask = hashlib.sha256(hashlib.sha256(once).digest() + nonce).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


def greeting(version: str, thread: int, nonce: bytes, plugin: str = CACHING) -> bytes:
    """The server's first packet (HandshakeV10); `nonce` has 20 bytes."""
    return (
        b"\x0a" + version.encode() + b"\0" + struct.pack("<I", thread) + nonce[:8] + b"\0"
        + struct.pack("<HBHH", CAPABILITIES & 0xFFFF, 255, 2, CAPABILITIES >> 16)
        + bytes([21]) + bytes(10) + nonce[8:] + b"\0" + plugin.encode() + b"\0"
    )  # fmt: skip


def parse_greeting(packet: bytes) -> tuple[str, bytes, str]:
    """(server version, nonce, plugin) of a server's first packet. Raises MysqlError for an error packet."""
    if packet[:1] == b"\xff":
        raise parse_error(packet)
    if packet[:1] != b"\x0a":
        raise MysqlError(
            2007, f"Protocol mismatch; server version = {packet[0] if packet else 0}, client version = 10"
        )
    version, _, rest = packet[1:].partition(b"\0")
    nonce = rest[4:12] + rest[31 : 31 + 12]
    plugin = rest[44:].split(b"\0")[0].decode() or NATIVE
    return version.decode("utf-8", "replace"), nonce, plugin


def login(user: str, response: bytes, database: str, plugin: str) -> bytes:
    """A client's handshake response."""
    flags = CAPABILITIES if database else CAPABILITIES & ~WITH_DB
    packet = (
        struct.pack("<IIB23x", flags, 1 << 24, 255)
        + user.encode()
        + b"\0"
        + bytes([len(response)])
        + response
    )
    return packet + (database.encode() + b"\0" if database else b"") + plugin.encode() + b"\0"


def parse_login(packet: bytes) -> Login:
    """Raises MysqlError when it is no protocol 4.1 response."""
    if len(packet) < 33 or not struct.unpack("<I", packet[:4])[0] & PROTOCOL_41:
        raise MysqlError(1043, "Bad handshake", "08S01")
    flags = struct.unpack("<I", packet[:4])[0]
    user, _, rest = packet[32:].partition(b"\0")
    size = rest[0] if rest else 0
    response, rest = rest[1 : 1 + size], rest[1 + size :]
    database = b""
    if flags & WITH_DB:
        database, _, rest = rest.partition(b"\0")
    plugin = rest.split(b"\0")[0] if flags & PLUGIN else NATIVE.encode()
    return Login(
        user.decode("utf-8", "replace"), response, database.decode("utf-8", "replace"), plugin.decode()
    )


def ok() -> bytes:
    return b"\0\0\0" + struct.pack("<HH", 2, 0)


def error(problem: MysqlError) -> bytes:
    return (
        b"\xff" + struct.pack("<H", problem.code) + b"#" + problem.state.encode() + problem.message.encode()
    )


def parse_error(packet: bytes) -> MysqlError:
    code = struct.unpack("<H", packet[1:3])[0]
    text = packet[3:].decode("utf-8", "replace")
    return MysqlError(code, text[6:], text[1:6]) if text.startswith("#") else MysqlError(code, text)


def lenenc(value: bytes) -> bytes:
    if len(value) < 251:
        return bytes([len(value)]) + value
    return b"\xfc" + struct.pack("<H", len(value)) + value


def _take_lenenc(data: bytes, at: int) -> tuple[bytes | None, int]:
    size = data[at]
    at += 1
    if size == 0xFB:
        return None, at
    if size == 0xFC:
        size, at = struct.unpack("<H", data[at : at + 2])[0], at + 2
    elif size == 0xFD:
        size, at = int.from_bytes(data[at : at + 3], "little"), at + 3
    return data[at : at + size], at + size


def result_set(columns: list[str], rows: list[list[str]]) -> list[bytes]:
    """The packets of a text result."""
    eof = b"\xfe" + struct.pack("<HH", 0, 2)
    packets = [bytes([len(columns)])]
    for name in columns:
        fields = [b"def", b"", b"", b"", name.encode(), b""]
        packets.append(
            b"".join(lenenc(f) for f in fields) + b"\x0c" + struct.pack("<HIBHB2x", 255, 1024, 253, 0, 0)
        )
    packets.append(eof)
    packets += [b"".join(lenenc(value.encode()) for value in row) for row in rows]
    return [*packets, eof]


@dataclass(slots=True)
class Client:
    """A logged-in connection."""

    channel: Channel
    version: str

    async def command(self, number: int, argument: str = "") -> bytes:
        """Send a command, return the first packet of its answer. Raises MysqlError."""
        self.channel.sequence = 0
        self.channel.write(bytes([number]) + argument.encode())
        packet = await self.channel.read()
        if packet[:1] == b"\xff":
            raise parse_error(packet)
        return packet

    async def query(self, sql: str) -> tuple[list[str], list[list[str]]]:
        """Column names and rows (both empty when the statement has no result). Raises MysqlError."""
        first = await self.command(COM_QUERY, sql)
        if first[:1] == b"\0":
            return [], []
        columns, rows = [], []
        for _ in range(first[0]):
            packet, at, value = await self.channel.read(), 0, b""
            for _ in range(5):
                taken, at = _take_lenenc(packet, at)
                value = taken or b""
            columns.append(value.decode())
        await self.channel.read()
        while (packet := await self.channel.read())[:1] != b"\xfe" or len(packet) > 8:
            at, row = 0, []
            while at < len(packet):
                taken, at = _take_lenenc(packet, at)
                row.append("NULL" if taken is None else taken.decode("utf-8", "replace"))
            rows.append(row)
        return columns, rows

    def close(self) -> None:
        self.channel.writer.close()


async def connect(host: str, port: int, user: str, password: str, database: str = "") -> Client:
    """Connect and log in. Raises OSError (no connection) or MysqlError (refused by the server)."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        channel = Channel(reader, writer)
        version, nonce, plugin = parse_greeting(await channel.read())
        channel.write(login(user, scramble(plugin, password, nonce), database, plugin))
        while True:
            packet = await channel.read()
            if packet[:1] == b"\0":
                return Client(channel, version)
            if packet[:1] == b"\xff":
                raise parse_error(packet)
            if packet[:1] == b"\xfe":  # another way to log in
                name, _, nonce = packet[1:].partition(b"\0")
                channel.write(scramble(name.decode(), password, nonce.rstrip(b"\0")[:20]))
            elif (
                packet == b"\x01\x04"
            ):  # the server does not know the password yet and wants it whole, which needs TLS
                raise MysqlError(2061, "Authentication requires secure connection.")
    except asyncio.IncompleteReadError:
        writer.close()
        raise MysqlError(
            2013, "Lost connection to MySQL server at 'reading initial communication packet'"
        ) from None
    except BaseException:
        writer.close()
        raise
