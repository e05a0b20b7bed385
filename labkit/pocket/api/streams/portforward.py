"""port-forward: TCP connections to 127.0.0.1 inside a pod, carried to the client.

Two forms. kubectl tunnels SPDY/3.1 in a WebSocket and opens a pair of streams, error and data, for each
connection (k8s.io/client-go/tools/portforward; the kubelet's cri/streaming/portforward/httpstream.go).
Other clients, among them the official Python one, ask for `ports=` and get a pair of channels for each,
with one connection (.../portforward/websocket.go).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from labkit.pocket.api import errors
from labkit.pocket.api.streams import spdy
from labkit.pocket.api.streams.channels import PORT_SUBPROTOCOLS, ChannelSocket, negotiate, offered
from labkit.pocket.api.streams.query import forwarded_ports, require_node
from labkit.pocket.api.streams.spdysession import SpdySession, Stream
from labkit.pocket.api.streams.tunnel import (
    SPDY,
    BareTunnel,
    Tunnel,
    WebSocketTunnel,
    negotiated_version,
    wants_spdy,
)
from labkit.pocket.runtime import Runtime, RuntimeFailure

_log = logging.getLogger(__name__)

_VERSION = "portforward.k8s.io"
SPDY_TUNNEL = f"{SPDY}+{_VERSION}"
_CHUNK = 1 << 16
# How long the second stream of a pair may take, as a kubelet's DefaultStreamCreationTimeout. Seconds.
_PAIR_WITHIN = 30.0


async def pod_portforward(
    request: web.Request, pod: Mapping[str, Any], runtime: Runtime
) -> web.StreamResponse:
    """GET .../pods/NAME/portforward."""
    require_node(pod)
    if SPDY_TUNNEL in offered(request):
        return await _serve_tunnel(await WebSocketTunnel.open(request, SPDY_TUNNEL), pod, runtime)
    if wants_spdy(request):
        version = negotiated_version(request, (_VERSION,))
        return await _serve_tunnel(await BareTunnel.open(request, version), pod, runtime)
    protocol = negotiate(request, PORT_SUBPROTOCOLS)
    ports = forwarded_ports(request.query)
    if len(ports) > 127:
        raise errors.bad_request("too many ports: a channel number is one byte")
    socket = await ChannelSocket.open(request, protocol)
    await _serve_channels(socket, pod, runtime, ports)
    return socket.response


class _Target:
    """Connections to one pod, with the words for when they fail."""

    def __init__(self, pod: Mapping[str, Any], runtime: Runtime) -> None:
        self._runtime = runtime
        self._namespace = pod["metadata"]["namespace"]
        self._name = pod["metadata"]["name"]
        self._uid = pod["metadata"].get("uid", "")

    async def forward(
        self, port: int, read: Callable[[], Awaitable[bytes]], write: Callable[[bytes], Awaitable[None]]
    ) -> str | None:
        """Carry one connection until both sides have ended, or the pod's side has.

        The error's text, or None.
        """
        try:
            reader, writer = await self._runtime.dial(self._namespace, self._name, port)
        except RuntimeFailure as failure:
            return self._failed(port, failure.message)
        except OSError as error:
            # containerd's words, without the path of a network namespace that says nothing here
            why = (error.strerror or str(error)).lower()
            if isinstance(error, ConnectionRefusedError):
                why = "connection refused"
            return self._failed(
                port,
                f'failed to execute portforward in network namespace "{self._namespace}/{self._name}": '
                f"failed to connect to localhost:{port} inside namespace "
                f'"{self._namespace}/{self._name}", IPv4: dial tcp4 127.0.0.1:{port}: connect: {why} '
                f"IPv6 dial tcp6 [::1]:{port}: connect: {why} ",
            )
        try:
            await _join(reader, writer, read, write)
        except ConnectionResetError:
            return self._failed(port, "connection reset by peer")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return None

    def _failed(self, port: int, why: str) -> str:
        return f"error forwarding port {port} to pod {self._name}, uid {self._uid}: {why}"


class ClientGoneError(ConnectionError):
    """The client's side of a connection has ended abruptly."""


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    read: Callable[[], Awaitable[bytes]],
    write: Callable[[bytes], Awaitable[None]],
) -> None:
    """Both ways at once; over when the pod has closed its side, or the client has vanished."""

    async def to_pod() -> None:
        while True:
            try:
                data = await read()
            except ConnectionError as error:
                raise ClientGoneError from error
            if not data:
                break
            writer.write(data)
            try:
                await writer.drain()
            except ConnectionError:
                return  # the pod reads no more; what it still has to say comes the other way
        if writer.can_write_eof():
            with contextlib.suppress(OSError):
                writer.write_eof()

    async def from_pod() -> None:
        while data := await reader.read(_CHUNK):
            try:
                await write(data)
            except ConnectionError as error:
                raise ClientGoneError from error

    outward, inward = asyncio.create_task(to_pod()), asyncio.create_task(from_pod())
    try:
        done, _ = await asyncio.wait({outward, inward}, return_when=asyncio.FIRST_COMPLETED)
        if inward not in done and outward.exception() is None:
            await inward
        for task in done | {inward}:
            if task.done() and not task.cancelled():
                with contextlib.suppress(ClientGoneError):
                    task.result()
    finally:
        for task in (outward, inward):
            task.cancel()
        await asyncio.gather(outward, inward, return_exceptions=True)


async def _serve_tunnel(tunnel: Tunnel, pod: Mapping[str, Any], runtime: Runtime) -> web.StreamResponse:
    target = _Target(pod, runtime)
    pairs: dict[str, dict[str, Stream]] = {}
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Any) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def accept(stream: Stream) -> str | None:
        headers = stream.headers
        port, kind = headers.get("port", ""), headers.get("streamtype", "")
        if not port.isdigit() or not 0 < int(port) < 65536:
            return f'"port" header is wrong: {port!r}'
        if kind not in ("error", "data"):
            return f"invalid stream type {kind!r}"
        # Clients older than request ids open the two streams one after the other.
        number = stream.number if kind == "error" else stream.number - 2
        request_id = headers.get("requestid") or str(number)
        pair = pairs.setdefault(request_id, {})
        if kind in pair:
            return f"{kind} stream already assigned"
        pair[kind] = stream
        if len(pair) == 2:
            spawn(connection(pairs.pop(request_id), int(port)))
        else:
            spawn(expire(request_id, pair))
        return None

    async def expire(request_id: str, pair: dict[str, Stream]) -> None:
        await asyncio.sleep(_PAIR_WITHIN)
        if pairs.get(request_id) is pair:
            del pairs[request_id]
            for kind, stream in pair.items():
                with contextlib.suppress(ConnectionError):
                    if kind == "error":
                        await stream.write(f"request {request_id}: timed out waiting for streams".encode())
                    await stream.close()
                session.forget(stream)

    async def connection(pair: dict[str, Stream], port: int) -> None:
        data, error = pair["data"], pair["error"]
        try:
            problem = await target.forward(port, data.read, data.write)
            if problem is not None:
                _log.info("%s", problem)
                await error.write(problem.encode())
            await data.close()
            await error.close()
        except ConnectionError:
            pass  # the client went first
        finally:
            session.forget(data)
            session.forget(error)

    session = SpdySession(tunnel.receive, tunnel.send, accept)
    try:
        await session.run()
    except spdy.SpdyError as error:
        _log.warning("port-forward to %s: %s", pod["metadata"]["name"], error)
    except ConnectionError:
        pass  # the client went away
    finally:
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await tunnel.close()
    return tunnel.response


async def _serve_channels(
    socket: ChannelSocket, pod: Mapping[str, Any], runtime: Runtime, ports: list[int]
) -> None:
    target = _Target(pod, runtime)
    incoming: list[asyncio.Queue[bytes]] = [asyncio.Queue(64) for _ in ports]

    async def connection(index: int, port: int) -> None:
        data, error = 2 * index, 2 * index + 1
        problem = await target.forward(port, incoming[index].get, lambda chunk: socket.send(data, chunk))
        if problem is not None:
            _log.info("%s", problem)
            await socket.send(error, problem.encode())

    async def from_client() -> None:
        while (frame := await socket.receive()) is not None:
            channel, chunk = frame
            if channel % 2 == 0 and channel // 2 < len(incoming) and chunk:
                await incoming[channel // 2].put(chunk)

    tasks: list[asyncio.Task[None]] = []
    try:
        for index, port in enumerate(ports):
            # Each channel begins with the number of its port, so that clients can tell them apart.
            await socket.send(2 * index, struct.pack("<H", port))
            await socket.send(2 * index + 1, struct.pack("<H", port))
        client = asyncio.create_task(from_client())
        connections = [asyncio.create_task(connection(index, port)) for index, port in enumerate(ports)]
        tasks = [client, *connections]
        while not client.done() and not all(task.done() for task in connections):
            pending = [task for task in tasks if not task.done()]
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    except ConnectionError:
        pass  # the client went away
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(ConnectionError):
            await socket.close()
