"""`curl` for machines that have none: the common options, curl's messages and its exit codes."""

from __future__ import annotations

import os
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from .console import err, out
from .curl_options import HELP, Options, WrongOption, parse
from .netio import Address, NameTimeout, addresses, connect, relay

if TYPE_CHECKING:
    from http.client import HTTPResponse

VERSION = "8.14.1"


class Failed(Exception):  # noqa: N818 - what curl reports, with its number
    """Ends a transfer with curl's exit code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(slots=True)
class _Transfer:
    """What is known of a transfer, for -w."""

    url: str
    began: float = field(default_factory=time.perf_counter)
    connected: float = 0.0
    peer: tuple[str, int] = ("", 0)
    local: tuple[str, int] = ("", 0)
    status: int = 0
    size: int = 0
    kind: str = ""
    redirects: int = 0
    location: str = ""
    method: str = "GET"
    code: int = 0
    message: str = ""

    def since(self) -> float:
        return time.perf_counter() - self.began

    def ms(self) -> int:
        return int(self.since() * 1000)


def main(argv: list[str]) -> int:
    """Transfer every URL of the command line; the exit code is that of the last."""
    try:
        options = parse(argv[1:])
    except WrongOption as problem:
        err(f"curl: {problem}\ncurl: try 'curl --help' or 'curl --manual' for more information")
        return 2
    if options.on("version"):
        out(f"curl {VERSION} (labkit's stand-in)\nProtocols: http https telnet")
        return 0
    if options.on("help"):
        out(HELP)
        return 0
    if not options.urls:
        err("curl: (2) no URL specified\ncurl: try 'curl --help' or 'curl --manual' for more information")
        return 2
    code = 0
    for number, url in enumerate(options.urls):
        target = options.outputs[number] if number < len(options.outputs) else None
        code = _one(options, url, target)
    return code


def _one(options: Options, url: str, target: str | None) -> int:
    transfer = _Transfer(url if "://" in url else f"http://{url}")
    tries = options.retry + 1
    while tries:
        tries -= 1
        try:
            _follow(options, transfer, target)
            transfer.code, transfer.message = 0, ""
        except Failed as problem:
            transfer.code, transfer.message = problem.code, problem.message
        except BrokenPipeError:
            transfer.code, transfer.message = 23, "Failure writing output to destination"
        again = transfer.code in (28, 6) or transfer.status in (408, 429, 500, 502, 503, 504)
        if not tries or not (again or (transfer.code == 7 and options.retry_refused)):
            break
        time.sleep(options.retry_delay or 1)
    if transfer.code and (not options.on("silent") or options.on("show-error")):
        err(f"curl: ({transfer.code}) {transfer.message}")
    if options.write_out:
        out(_written(options.write_out, transfer), end="")
    return transfer.code


def _follow(options: Options, transfer: _Transfer, target: str | None) -> None:
    limit = None if options.max_time is None else time.monotonic() + options.max_time
    method, data = options.method, options.body()
    for _ in range(options.max_redirects + 1):
        parts = urlsplit(transfer.url)
        if parts.scheme == "telnet":
            with _connected(options, transfer, parts.hostname or "", parts.port or 23, limit) as connection:
                relay(connection)
            return
        if parts.scheme not in ("http", "https"):
            raise Failed(1, f'Protocol "{parts.scheme}" not supported')
        if not parts.hostname:
            raise Failed(3, "URL rejected: No host part in the URL")
        response, connection = _exchange(options, transfer, method, data, limit)
        with connection:
            where = response.getheader("Location")
            transfer.location = urljoin(transfer.url, where) if where else ""
            if options.follow and where and response.status in (301, 302, 303, 307, 308):
                _heads(options, response, target)
                transfer.redirects += 1
                if options.on("verbose"):
                    err(f"* Issue another request to this URL: '{transfer.location}'")
                if response.status == 303 or (response.status in (301, 302) and method == "POST"):
                    method, data = "GET", None
                transfer.url = transfer.location
                continue
            _receive(options, transfer, response, target)
            return
    raise Failed(47, f"Maximum ({options.max_redirects}) redirects followed")


def _left(limit: float | None) -> float | None:
    return None if limit is None else max(0.001, limit - time.monotonic())


def _smaller(*values: float | None) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _connected(
    options: Options, transfer: _Transfer, host: str, port: int, limit: float | None
) -> socket.socket:
    patience = _smaller(options.connect_timeout, _left(limit))
    began = time.monotonic()
    name, number = options.resolved(host, port)
    try:
        where: list[Address] = addresses(name, number, family=options.family, timeout=patience)
    except NameTimeout:
        raise Failed(28, f"Resolving timed out after {transfer.ms()} milliseconds") from None
    except OSError:
        raise Failed(6, f"Could not resolve host: {host}") from None
    for _, address in where if options.on("verbose") else []:
        err(f"*   Trying {address[0]}:{address[1]}...")
    try:
        connection = connect(
            where, None if patience is None else max(0.001, patience - (time.monotonic() - began))
        )
    except TimeoutError:
        raise Failed(28, f"Connection timed out after {transfer.ms()} milliseconds") from None
    except OSError as problem:
        if options.on("verbose"):
            err(f"* connect to {where[-1][1][0]} port {port} failed: {os.strerror(problem.errno or 0)}")
        reason = "Could not connect to server"
        raise Failed(
            7, f"Failed to connect to {host} port {port} after {transfer.ms()} ms: {reason}"
        ) from None
    transfer.connected = transfer.since()
    peer, local = connection.getpeername(), connection.getsockname()
    transfer.peer, transfer.local = (peer[0], peer[1]), (local[0], local[1])
    if options.on("verbose"):
        err(f"* Connected to {host} ({peer[0]}) port {peer[1]}")
    return connection


def _exchange(
    options: Options, transfer: _Transfer, method: str, data: bytes | None, limit: float | None
) -> tuple[HTTPResponse, socket.socket]:
    from http.client import BadStatusLine, HTTPException, HTTPResponse, RemoteDisconnected

    parts = urlsplit(transfer.url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    try:
        port = parts.port or (443 if secure else 80)
    except ValueError:
        raise Failed(3, "URL rejected: Port number was not a decimal number between 0 and 65535") from None
    connection = _connected(options, transfer, host, port, limit)
    connection.settimeout(_left(limit))
    if secure:
        connection = _secured(options, connection, host)
    lines, transfer.method = options.head(method, parts, data), method
    if options.on("verbose"):
        for line in lines:
            err(f"> {line}")
        err(">")
    try:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + (data or b""))
        response = HTTPResponse(connection, method=method)
        response.begin()
    except TimeoutError:
        raise Failed(
            28, f"Operation timed out after {transfer.ms()} milliseconds with 0 bytes received"
        ) from None
    except RemoteDisconnected:
        raise Failed(52, "Empty reply from server") from None
    except ConnectionResetError:
        raise Failed(56, "Recv failure: Connection reset by peer") from None
    except BadStatusLine:
        raise Failed(1, "Received HTTP/0.9 when not allowed") from None
    except (HTTPException, OSError) as problem:
        raise Failed(56, f"Recv failure: {problem}") from None
    transfer.status, transfer.kind = response.status, response.getheader("Content-Type") or ""
    if options.on("verbose"):
        for line in _head_lines(response):
            err(f"< {line}")
        err("<")
    return response, connection


def _secured(options: Options, connection: socket.socket, host: str) -> socket.socket:
    try:
        context = ssl.create_default_context(cafile=options.cacert)
        if options.on("insecure"):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if options.cert:
            context.load_cert_chain(options.cert, options.key)
        return context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as problem:
        raise Failed(60, f"SSL certificate problem: {problem.verify_message}") from None
    except FileNotFoundError:
        raise Failed(77, "error setting certificate verify locations") from None
    except TimeoutError:
        raise Failed(28, "SSL connection timeout") from None
    except (ssl.SSLError, OSError) as problem:
        words = getattr(problem, "reason", None) or problem.strerror or str(problem)
        raise Failed(35, f"TLS connect error: {words}") from None


def _head_lines(response: HTTPResponse) -> list[str]:
    version = "1.0" if response.version == 10 else "1.1"
    return [
        f"HTTP/{version} {response.status} {response.reason}",
        *(f"{k}: {v}" for k, v in response.getheaders()),
    ]


def _heads(options: Options, response: HTTPResponse, target: str | None) -> None:
    if options.include:
        _put(target, "\r\n".join([*_head_lines(response), "", ""]).encode(), first=True)


def _receive(options: Options, transfer: _Transfer, response: HTTPResponse, target: str | None) -> None:
    if options.on("fail") and response.status >= 400:
        raise Failed(22, f"The requested URL returned error: {response.status}")
    if target == "":  # -O
        target = urlsplit(transfer.url).path.rpartition("/")[2]
        if not target:
            raise Failed(23, "Failed to extract a filename from the URL to use for storage")
    _heads(options, response, target)
    try:
        first = not options.include
        while chunk := response.read1(65536):
            transfer.size += len(chunk)
            _put(target, chunk, first=first)
            first = False
        if first and target:
            _put(target, b"", first=True)
    except TimeoutError:
        raise Failed(
            28, f"Operation timed out after {transfer.ms()} milliseconds with {transfer.size} bytes received"
        ) from None
    except ConnectionResetError:
        raise Failed(56, "Recv failure: Connection reset by peer") from None
    if options.on("fail-with-body") and response.status >= 400:
        raise Failed(22, f"The requested URL returned error: {response.status}")


def _put(target: str | None, data: bytes, *, first: bool) -> None:
    if target in (None, "-"):
        out(data)
        return
    try:
        with open(str(target), "wb" if first else "ab") as file:  # noqa: PTH123
            file.write(data)
    except OSError:
        raise Failed(23, f"Failed to open the file {target}") from None


def _written(text: str, transfer: _Transfer) -> str:
    values = {
        "http_code": f"{transfer.status:03d}", "response_code": f"{transfer.status:03d}", "method": transfer.method,
        "time_total": f"{transfer.since():.6f}", "time_connect": f"{transfer.connected:.6f}", "urlnum": "0",
        "remote_ip": transfer.peer[0], "remote_port": str(transfer.peer[1]), "local_ip": transfer.local[0],
        "local_port": str(transfer.local[1]), "size_download": str(transfer.size), "url_effective": transfer.url,
        "url": transfer.url, "content_type": transfer.kind, "num_redirects": str(transfer.redirects),
        "redirect_url": quote(transfer.location, safe="/:?#[]@!$&'()*+,;=%~-._"), "exitcode": str(transfer.code),
        "errormsg": transfer.message, "http_version": "1.1", "scheme": urlsplit(transfer.url).scheme,
    }  # fmt: skip
    for name, value in values.items():
        text = text.replace(f"%{{{name}}}", value)
    return text.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r").replace("%%", "%")
