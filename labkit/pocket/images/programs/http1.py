"""A small HTTP/1.1 server for the stand-ins: ready a few milliseconds after the fork, which a full framework is not.

`serve` answers requests on a TCP port through one async function `Request -> Response`, with keep-alive, HEAD,
Content-Length and chunked bodies, over TLS when asked.
"""

from __future__ import annotations

import asyncio
import email.utils
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came: `target` is the raw request target, `path` its decoded path; header names are lower case."""

    method: str
    target: str
    version: str
    headers: Mapping[str, str]
    body: bytes
    peer: tuple[str, int]
    local: tuple[str, int]

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path) or "/"

    @property
    def query(self) -> dict[str, str]:
        """First value of each query parameter, and of each field of a form in the body."""
        fields = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            fields = parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True) | fields
        return {name: values[0] for name, values in fields.items()}


@dataclass(frozen=True, slots=True)
class Response:
    """What to answer. Content-Length, Date and Connection are added; a header given here wins."""

    body: str | bytes = b""
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False


Answer = Callable[[Request], Awaitable[Response]]


def reason(status: int) -> str:
    """The standard phrase of a status ("Not Found")."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status code {status}"


async def serve(
    answer: Answer, port: int, *, host: str | None = None, server: str = "", tls: ssl.SSLContext | None = None
) -> asyncio.Server:
    """Listen on `port` (every address of both families unless `host` says one) and answer until the server is closed."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _exchange(reader, writer, answer, server):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
            pass  # the client went away
        finally:
            writer.close()

    return await asyncio.start_server(connection, host, port, ssl=tls, limit=MAX_HEAD, backlog=512)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer, server: str
) -> bool:
    """One request and its response; True when the connection stays open for another."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as early:
        if early.partial.strip():
            await _send(writer, Response("400 Bad Request", 400, close=True), server, "GET", False)
        return False
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        await _send(writer, Response("400 Bad Request", 400, close=True), server, "GET", False)
        return False
    method, target, version = words
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await _body(reader, headers)
    peer, local = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
    request = Request(method, target, version, headers, body, tuple(peer[:2]), tuple(local[:2]))
    connection = headers.get("connection", "").lower()
    keep = "close" not in connection if version == "HTTP/1.1" else "keep-alive" in connection
    response = await answer(request)
    keep = keep and not response.close
    await _send(writer, response, server, method, keep)
    return keep


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        chunks, total = [], 0
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            total += size
            if total > MAX_BODY:
                raise ConnectionAbortedError("body too large")
            chunks.append(await reader.readexactly(size))
            await reader.readexactly(2)
        while (await reader.readuntil(b"\r\n")) != b"\r\n":
            pass  # trailers
        return b"".join(chunks)
    length = headers.get("content-length", "")
    if not length.isdigit():
        return b""
    if int(length) > MAX_BODY:
        raise ConnectionAbortedError("body too large")
    return await reader.readexactly(int(length))


async def _send(
    writer: asyncio.StreamWriter, response: Response, server: str, method: str, keep: bool
) -> None:
    body = response.body.encode() if isinstance(response.body, str) else response.body
    headers = {"Date": email.utils.formatdate(usegmt=True)}
    if server:
        headers["Server"] = server
    bodyless = response.status in (204, 304) or response.status < 200
    if not bodyless:
        headers["Content-Length"] = str(len(body))
        if response.content_type:
            headers["Content-Type"] = response.content_type
    headers |= response.headers
    if not keep:
        headers["Connection"] = "close"
    head = f"HTTP/1.1 {response.status} {reason(response.status)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    writer.write(head.encode("latin-1", "replace") + (b"" if bodyless or method == "HEAD" else body))
    await writer.drain()
