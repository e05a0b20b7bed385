"""`agnhost serve-hostname`, `agnhost porter` and `agnhost test-webserver`: servers that say who they are.

Rules: kubernetes/test/images/agnhost/{serve-hostname,porter}. One difference: after SIGTERM upstream's serve-hostname
waits a minute for its deletion; ours says the same and ends, so that deleting a pod does not take its grace period.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket

from .console import log
from .goflags import parse
from .http1 import Request, Response, serve
from .service import host_port, run, udp


def serve_hostname(argv: list[str]) -> int:
    flags = {"tcp": False, "udp": False, "http": True, "close": False, "port": 9376}
    values, _ = parse(argv[1:], flags, command="app serve-hostname")
    if values["http"] and (values["tcp"] or values["udp"]):
        log("Can't server TCP/UDP mode and HTTP mode at the same time")
        return 1
    port, hostname = int(values["port"]), socket.gethostname()

    async def start(done: asyncio.Future[int]) -> object:
        keep: list[object] = []
        if values["tcp"]:

            async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                log(f"TCP request from {host_port(writer.get_extra_info('peername')[:2])}")
                writer.write(hostname.encode())
                writer.close()

            keep.append(await asyncio.start_server(answer, None, port, backlog=512))
        if values["udp"]:

            def reply(_: bytes, client: tuple[str, int]) -> bytes:
                log(f"UDP request from {host_port(client)}")
                return hostname.encode()

            keep.append(await udp(port, reply))
        if values["http"]:

            async def page(request: Request) -> Response:
                log(f"HTTP request from {host_port(request.peer)}")
                return Response(hostname, close=bool(values["close"]))

            keep.append(await serve(page, port))
        log(f"Serving on port {port}.")
        return keep

    def stop() -> float:
        log("Shutting down after receiving signal: terminated.")
        log("Awaiting pod deletion.")
        return 0

    return run(start, on_stop=stop)


def porter(argv: list[str]) -> int:
    """Serve the value of each SERVE_PORT_n, SERVE_TCP_PORT_n, SERVE_UDP_PORT_n, SERVE_TLS_PORT_n, SERVE_SCTP_PORT_n."""
    values, _ = parse(argv[1:], {"json-response": False}, command="app porter")

    def page(value: str) -> object:
        async def answer(request: Request) -> Response:
            if values["json-response"]:
                body = json.dumps({"Method": request.method, "Body": value}, separators=(",", ":"))
                return Response(body, content_type="application/json")
            return Response(value)

        return answer

    async def start(done: asyncio.Future[int]) -> object:
        keep: list[object] = []
        for key, value in sorted(os.environ.items()):
            name, _, port = key.rpartition("_")
            if not port.isdigit():
                continue
            try:
                if name in ("SERVE_PORT", "SERVE_TCP_PORT"):
                    keep.append(await serve(page(value), int(port), host="0.0.0.0"))  # type: ignore[arg-type]
                elif name == "SERVE_TLS_PORT":
                    keep.append(await serve(page(value), int(port), host="0.0.0.0", tls=_certificate()))  # type: ignore[arg-type]
                elif name == "SERVE_UDP_PORT":
                    answer = value.encode()
                    keep.append(await udp(int(port), lambda _data, _client, answer=answer: answer, "0.0.0.0"))  # type: ignore[misc]
                    log(f"Started UDP server on port {port}")
                elif name == "SERVE_SCTP_PORT":
                    keep.append(_sctp(int(port), value.encode()))
                    log("Started SCTP server")
            except OSError as problem:
                if name in ("SERVE_UDP_PORT", "SERVE_SCTP_PORT"):
                    log(f"Failed to listen {name.split('_')[1]}. error: {problem.strerror}")
                    done.set_result(1)  # upstream: log.Fatal
                    return keep
                log(f'server on port "{port}" failed: {problem.strerror}')  # upstream goes on without it
        return keep

    return run(start)


def _certificate() -> object:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(
        os.environ.get("CERT_FILE", "localhost.crt"), os.environ.get("KEY_FILE", "localhost.key")
    )
    return context


def _sctp(port: int, value: bytes) -> object:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen(128)
    listener.setblocking(False)
    loop = asyncio.get_running_loop()

    async def accept() -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            with connection:
                log("Sending response")
                await loop.sock_sendall(connection, value)
                log("Response sent")

    return loop.create_task(accept())
