"""exec and attach: a process in a container on one side, numbered WebSocket channels on the other.

Upstream: k8s.io/kubelet/pkg/cri/streaming/remotecommand (exec.go, attach.go) and, for what a client of
v5 sees when the container is not there, the API server's stream translator.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from labkit.pocket.api import errors
from labkit.pocket.api.streams.channels import (
    EXEC_SUBPROTOCOLS,
    UNNAMED,
    Channel,
    Channels,
    ChannelSocket,
    negotiate,
)
from labkit.pocket.api.streams.query import TerminalOptions, chosen_container, require_node, terminal_options
from labkit.pocket.api.streams.spdychannels import EXEC_VERSIONS, SpdyChannels
from labkit.pocket.api.streams.status import exit_code, success
from labkit.pocket.api.streams.tunnel import BareTunnel, negotiated_version, wants_spdy
from labkit.pocket.runtime import ContainerNotFound, ExecSession, Runtime, RuntimeFailure

_log = logging.getLogger(__name__)

# A process may leave children behind that keep its output open. Once it has ended and nothing more has
# come for this long, the session is over for the client. Seconds.
_QUIET_AFTER_EXIT = 0.5
# Frames of input kept for a process that is slow to read, before the client is made to wait.
_STDIN_FRAMES = 256


async def pod_exec(request: web.Request, pod: Mapping[str, Any], runtime: Runtime) -> web.StreamResponse:
    """GET or POST .../pods/NAME/exec: run a command. The answer's Status tells its exit code."""
    command = request.query.getall("command", [])

    async def start(container: str, options: TerminalOptions) -> ExecSession:
        if not command:
            raise errors.bad_request("you must specify at least one command for the container")
        meta = pod["metadata"]
        return await runtime.exec(
            meta["namespace"], meta["name"], container, command, stdin=options.stdin, tty=options.tty
        )

    return await _serve(request, pod, start, "error executing command in container", tell_exit_code=True)


async def pod_attach(request: web.Request, pod: Mapping[str, Any], runtime: Runtime) -> web.StreamResponse:
    """GET or POST .../pods/NAME/attach: join the container's process. Its end is a success whatever its exit
    code, which `kubectl run` reads from the pod's status."""

    async def start(container: str, options: TerminalOptions) -> ExecSession:
        meta = pod["metadata"]
        return await runtime.attach(
            meta["namespace"], meta["name"], container, stdin=options.stdin, tty=options.tty
        )

    return await _serve(request, pod, start, "error attaching to container", tell_exit_code=False)


async def _serve(
    request: web.Request,
    pod: Mapping[str, Any],
    start: Callable[[str, TerminalOptions], Awaitable[ExecSession]],
    failed: str,
    *,
    tell_exit_code: bool,
) -> web.StreamResponse:
    session: ExecSession | None = None
    problem: dict[str, Any] | None = None
    container = chosen_container(pod, request.query.get("container", ""))
    require_node(pod)
    options = terminal_options(request.query)
    spdy_version = negotiated_version(request, EXEC_VERSIONS) if wants_spdy(request) else ""
    protocol = UNNAMED if spdy_version else negotiate(request, EXEC_SUBPROTOCOLS)
    try:
        session = await start(container, options)
    except ContainerNotFound as error:
        message = f"unable to upgrade connection: {error.message}"
        # A client of v5 is upgraded by the API server before the kubelet is asked; others see its 404.
        if not protocol.close:
            raise errors.failure(error.code, "NotFound", message) from error
        problem = errors.internal(message).status
    except RuntimeFailure as error:
        # Both the container's runtime and the kubelet say that it is internal.
        problem = errors.internal(errors.internal(f"{failed}: {error.message}").message).status

    response: web.StreamResponse | None = None
    try:
        client: Channels
        if spdy_version:
            tunnel = await BareTunnel.open(request, spdy_version)
            response = tunnel.response
            client = await SpdyChannels.open(tunnel, options)
        else:
            client = await ChannelSocket.open(request, protocol)
            response = client.response
        if session is None:
            assert problem is not None
            await client.send_status(problem)
        else:
            code = await _Bridge(client, session, options).run()
            if code is not None:
                await client.send_status(exit_code(code) if code and tell_exit_code else success())
        await client.close()
    except ConnectionError as error:
        _log.debug("the client of %s went away: %s", request.path, error)
        if response is None:
            raise
    finally:
        if session is not None:
            session.kill()
    return response


class _Bridge:
    """Carries bytes between one session and one client until either ends."""

    def __init__(self, client: Channels, session: ExecSession, options: TerminalOptions) -> None:
        self._client = client
        self._session = session
        self._options = options
        self._stdin: asyncio.Queue[bytes | None] = asyncio.Queue(_STDIN_FRAMES)
        self._moved = 0

    async def run(self) -> int | None:
        """The exit code when the process ended, None when the client went first."""
        outputs = [
            asyncio.create_task(
                self._output(self._session.read_stdout, Channel.STDOUT if self._options.stdout else None)
            ),
            asyncio.create_task(
                self._output(self._session.read_stderr, Channel.STDERR if self._options.stderr else None)
            ),
        ]
        exited = asyncio.create_task(self._session.wait())
        client = asyncio.create_task(self._read_client())
        stdin = asyncio.create_task(self._write_stdin())
        tasks = [*outputs, exited, client, stdin]
        try:
            await asyncio.wait({exited, client}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                client.result()
                return None
            await self._drain(outputs, client)
            for output in outputs:
                if output.done():
                    output.result()
            return exited.result()
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await task

    async def _drain(self, outputs: list[asyncio.Task[None]], client: asyncio.Task[None]) -> None:
        """Wait until the outputs are at their end, or nothing moves any more."""
        while pending := {task for task in outputs if not task.done()}:
            moved = self._moved
            await asyncio.wait(pending, timeout=_QUIET_AFTER_EXIT)
            if self._moved == moved or client.done():
                return

    async def _output(self, read: Callable[[], Awaitable[bytes]], channel: Channel | None) -> None:
        while data := await read():
            self._moved += 1
            if channel is not None:
                await self._client.send(channel, data)

    async def _read_client(self) -> None:
        while (frame := await self._client.receive()) is not None:
            channel, data = frame
            if channel == Channel.STDIN and self._options.stdin:
                await self._stdin.put(data)
            elif channel == Channel.RESIZE and self._options.tty:
                self._resize(data)
            elif channel == Channel.CLOSE and data[:1] == bytes([Channel.STDIN]):
                await self._stdin.put(None)

    async def _write_stdin(self) -> None:
        while (data := await self._stdin.get()) is not None:
            if data:
                await self._session.write_stdin(data)
        self._session.close_stdin()

    def _resize(self, data: bytes) -> None:
        try:
            size = json.loads(data)
            columns, rows = int(size["Width"]), int(size["Height"])
        except (ValueError, KeyError, TypeError):
            return  # upstream's kubelet ends its resize loop on nonsense; the terminal goes on
        if 0 < columns < 65536 and 0 < rows < 65536:
            self._session.resize(columns, rows)
