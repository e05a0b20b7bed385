"""`agnhost netexec`: the many-handled HTTP and UDP server of the end-to-end tests.

Rule: kubernetes/test/images/agnhost/netexec.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

from .agnhost_connect import resolve
from .console import log, reason
from .goflags import Value, parse, parse_duration
from .http1 import Request, Response, serve
from .service import host_port, run, udp

_FLAGS: dict[str, Value] = {
    "http-port": 8080,
    "udp-port": 8081,
    "sctp-port": -1,
    "tls-cert-file": "",
    "tls-private-key-file": "",
    "http-override": "",
    "udp-listen-addresses": "",
    "delay-shutdown": 0,
}


def main(argv: list[str]) -> int:
    flags, _ = parse(argv[1:], _FLAGS, command="app netexec")
    server = _Netexec()
    delay = int(flags["delay-shutdown"])

    async def start(done: asyncio.Future[int]) -> object:
        server.done = done
        keep: list[object] = []
        tls = None
        if flags["tls-cert-file"]:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(str(flags["tls-cert-file"]), str(flags["tls-private-key-file"]))
        override = str(flags["http-override"])

        async def answer(request: Request) -> Response:
            if override:
                request = Request("GET", override, request.version, {}, b"", request.peer, request.local)
            return await server.answer(request)

        log(f"Started HTTP server on port {flags['http-port']}")
        keep.append(await serve(answer, int(flags["http-port"]), tls=tls))
        if flags["udp-port"] != -1:
            server.udp_port = int(flags["udp-port"])
            for address in sorted(set(str(flags["udp-listen-addresses"]).split(","))):
                keep.append(await udp(int(flags["udp-port"]), server.datagram, address))
                log(f"Started UDP server on port {address} {flags['udp-port']}")
            server.ready = True
        return keep

    def stop() -> float:
        server.terminating = True
        if delay > 0:
            log(f"Sleeping {delay} seconds before terminating...")
        return delay

    return run(start, on_stop=stop)


class _Netexec:
    """The server's state: whether UDP answers yet, and the exit code asked for."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ready = False
        self.terminating = False
        self.udp_port = 0
        self.done: asyncio.Future[int] | None = None
        self._routes: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/clientip": self._clientip,
            "/serverport": self._serverport,
            "/header": self._header,
            "/dial": self._dial,
            "/echo": self._echo,
            "/exit": self._exit,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/hostname": self._hostname,
            "/hostName": self._hostname,
            "/redirect": self._redirect,
            "/shell": self._shell,
            "/shutdown": self._shutdown,
            "/upload": self._upload,
        }

    async def answer(self, request: Request) -> Response:
        response = await self._routes.get(request.path, self._root)(request)
        # Go names a type only when there is something of that type.
        return response if response.body else replace(response, content_type="")

    def datagram(self, data: bytes, client: tuple[str, int]) -> bytes | None:
        text = data[:2048].decode("utf-8", "replace").strip().lower()
        if text == "hostname":
            log("Sending udp hostName response")
            return socket.gethostname().encode()
        if text.startswith("echo "):
            log(f"Echoing {text[5:]} to UDP client {host_port(client)}")
            return text[5:].encode()
        if text == "clientip":
            log(f"Sending clientip back to UDP client {host_port(client)}")
            return host_port(client).encode()
        if text == "serverport":
            log(f"Sending server port to UDP client {self.udp_port}")
            return str(self.udp_port).encode()
        if text:
            log(f"Unknown UDP command received from {host_port(client)}: {text}")
        return None

    async def _root(self, request: Request) -> Response:
        log("GET /")
        now = f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S.%f000 %z %Z}"
        return Response(f"NOW: {now} m=+{time.monotonic() - self.began:.9f}")  # as Go writes a time

    async def _clientip(self, request: Request) -> Response:
        log("GET /clientip")
        return Response(host_port(request.peer))

    async def _serverport(self, request: Request) -> Response:
        log("GET /serverport")
        return Response(str(request.local[1]))

    async def _header(self, request: Request) -> Response:
        key = request.query.get("key", "")
        if key:
            log(f"GET /header?key={key}")
            return Response(request.headers.get(key.lower(), ""))
        log("GET /header")
        headers = {name.title(): [value] for name, value in sorted(request.headers.items()) if name != "host"}
        return Response(_json(headers))

    async def _hostname(self, request: Request) -> Response:
        log(f"GET {request.path}")
        return Response(socket.gethostname())

    async def _healthz(self, request: Request) -> Response:
        log("GET /healthz")
        return Response(status=200 if self.ready else 412)

    async def _readyz(self, request: Request) -> Response:
        log("GET /readyz")
        if self.terminating:
            return Response("shutting down", 503)
        return Response("ok") if self.ready else Response(status=412)

    async def _echo(self, request: Request) -> Response:
        message, code = request.query.get("msg", ""), request.query.get("code", "")
        log(f"GET /echo?msg={message}&code={code}")
        try:
            return Response(message, int(code) if code else 200)
        except ValueError:
            return Response(f"argument 'code' must be an integer or empty, got {json.dumps(code)}\n")

    async def _redirect(self, request: Request) -> Response:
        location, code = request.query.get("location", ""), request.query.get("code", "")
        log(f"{request.method} /redirect?msg={location}&code={code}")
        try:
            status = int(code) if code else 302
        except ValueError:
            return Response(f"argument 'code' must be an integer or empty, got {json.dumps(code)}\n")
        where = quote(location, safe="/:?#[]@!$&'()*+,;=%~-._")
        return Response(
            f'<a href="{where}">Found</a>.\n\n', status, "text/html; charset=utf-8", {"Location": where}
        )

    async def _exit(self, request: Request) -> Response:
        query = request.query
        log(
            f"GET /exit?code={query.get('code', '')}&timeout={query.get('timeout', '')}&wait={query.get('wait', '')}"
        )
        times = {}
        for name in ("timeout", "wait"):
            try:
                times[name] = parse_duration(query.get(name) or "0")
            except ValueError:
                wrong = json.dumps(query[name])
                return Response(f"argument '{name}' must be a valid golang duration or empty, got {wrong}\n")
        try:
            code = int(query.get("code") or "0")
        except ValueError:
            wrong = json.dumps(query["code"])
            return Response(f"argument 'code' must be an integer [0-127] or empty, got {wrong}\n")
        await asyncio.sleep(times["wait"])
        if not times["timeout"]:
            os._exit(code & 0xFF)  # upstream: os.Exit, without an answer
        self._end_with(code, times["timeout"])
        return Response()

    async def _shutdown(self, request: Request) -> Response:
        log("GET /shutdown")
        os._exit(0)

    def _end_with(self, code: int, patience: float) -> None:
        """End once the answers under way are written, at the latest after `patience` seconds."""
        done = self.done

        def end() -> None:
            if done is not None and not done.done():
                done.set_result(code & 0xFF)

        asyncio.get_running_loop().call_later(min(patience, 0.1), end)

    async def _shell(self, request: Request) -> Response:
        command = request.query.get("shellCommand") or request.query.get("cmd", "")
        log(f"GET /shell?cmd={command}")
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        text, _ = await process.communicate()
        output = {}
        if text:
            output["output"] = text.decode("utf-8", "replace")
        if process.returncode:
            output["error"] = f"exit status {process.returncode}"
        log(f"Output: {output}")
        return Response(_json(output))

    async def _upload(self, request: Request) -> Response:
        from email.parser import BytesParser

        head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
        message = BytesParser().parsebytes(head + request.body)
        for part in message.get_payload() if message.is_multipart() else []:
            if part.get_param("name", header="content-disposition") == "file":  # type: ignore[union-attr]
                try:
                    handle, path = tempfile.mkstemp(prefix="upload", dir="/uploads")
                except OSError:
                    return Response(_json({"error": "Unable to open file for write"}), 500)
                with os.fdopen(handle, "wb") as file:
                    file.write(part.get_payload(decode=True) or b"")  # type: ignore[union-attr,arg-type]
                os.chmod(path, 0o700)  # noqa: PTH101
                log(f"Wrote upload to {path}")
                return Response(_json({"output": path}), 201)
        return Response(_json({"error": "Unable to upload file."}), 500)

    async def _dial(self, request: Request) -> Response:
        query = request.query
        host, port = query.get("host", ""), query.get("port", "")
        protocol, asked = query.get("protocol", "").lower(), query.get("request", "")
        log(
            f"GET /dial?host={host}&protocol={protocol}&port={port}&request={asked}&tries={query.get('tries', '')}"
        )
        try:
            tries = int(query.get("tries") or "1")
        except ValueError as problem:
            return Response(f"tries parameter is invalid. {problem}\n", 400)
        if not asked:
            return Response("request parameter not specified. <nil>\n", 400)
        if protocol not in ("", "http", "udp"):
            return Response(f"unsupported protocol. {protocol}\n", 400)
        loop = asyncio.get_running_loop()
        kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        try:
            family, address = await loop.run_in_executor(None, resolve, host, port, kind)
        except LookupError as problem:
            return Response(f"host and/or port param are invalid. {problem}\n", 400)
        responses, errors, last = [], [], ""
        for _ in range(tries):
            try:
                if protocol == "udp":
                    last = await _dial_udp(family, address, asked)
                else:
                    last = await _dial_http(str(address[0]), int(address[1]), asked)
                responses.append(last)
            except OSError as problem:
                last = ""
                errors.append(_dial_error(protocol, address, problem))
        output = {}
        if last:
            output["responses"] = responses
        if errors:
            output["errors"] = errors
        return Response(_json(output))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _dial_error(protocol: str, address: tuple[str | int, ...], problem: OSError) -> str:
    words = "i/o timeout" if isinstance(problem, TimeoutError) else reason(problem).lower()
    if protocol == "udp":
        return f"reading from udp connection failed. err:'{words}'"
    return f'Get "http://{address[0]}:{address[1]}": dial tcp {address[0]}:{address[1]}: {words}'


async def _dial_udp(family: int, address: tuple[str | int, ...], asked: str) -> str:
    loop = asyncio.get_running_loop()
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.setblocking(False)
        connection.connect(address)
        await loop.sock_sendall(connection, asked.encode())
        async with asyncio.timeout(5):
            return (await loop.sock_recv(connection, 2048)).decode("utf-8", "replace")


async def _dial_http(host: str, port: int, asked: str) -> str:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            authority = host_port((host, port))
            writer.write(f"GET /{asked} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode())
            _, _, body = (await reader.read()).partition(b"\r\n\r\n")
            return body.decode("utf-8", "replace")
        finally:
            writer.close()
