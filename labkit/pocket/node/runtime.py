"""The node as the API's stream handlers see it: `labkit.pocket.runtime.Runtime` over this node's containers."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from labkit.pocket.api.errors import ApiError
from labkit.pocket.node import logs as container_logs
from labkit.pocket.node.container import Container, log_folder
from labkit.pocket.node.kubelet import Kubelet
from labkit.pocket.node.network.namespaces import inside
from labkit.pocket.node.sessions import EndedProcess, ExecProcess
from labkit.pocket.node.spawner import StartError, ZygoteGone
from labkit.pocket.runtime import ContainerNotFound, ExecSession, LogOptions, RuntimeFailure

_DIAL_SECONDS = 10


_RECENT = timedelta(seconds=2)  # between kubectl's reading of a log and its attaching, on a busy machine


class NodeRuntime:
    """Runs, joins, reads and dials containers of one `Kubelet`."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet
        self._context = kubelet.context
        self._logs_read: dict[tuple[str, str, str], datetime] = {}  # only the last one matters

    def _running(self, namespace: str, pod: str, name: str) -> Container:
        container = self._kubelet.container(namespace, pod, name)
        if container is None or container.process is None or container.process.ended:
            raise ContainerNotFound(name)
        return container

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> ExecSession:
        """Start `command` in the container."""
        target = self._running(namespace, pod, container)
        try:
            process = await target.exec(command, stdin=stdin, tty=tty)
        except (StartError, ZygoteGone) as problem:
            raise RuntimeFailure(
                f'failed to exec in container: failed to start exec "{secrets.token_hex(32)}": OCI runtime exec failed: '
                f"exec failed: unable to start container process: {problem}: unknown"
            ) from None
        if process is None:
            raise ContainerNotFound(container)
        return ExecProcess(process)

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool, tty: bool
    ) -> ExecSession:
        """Join the container's own process.

        kubectl reads the log and then attaches. What a short command wrote between the two would be lost, so it
        is told again, also when the command has ended by then.
        """
        del tty  # as the container was made, whatever the client says
        found = self._kubelet.container(namespace, pod, container)
        since = self._logs_read.get((namespace, pod, container))
        recent = since is not None and datetime.now(UTC) - since < _RECENT
        missed = b""
        if found is not None and found.log is not None and recent:
            missed = await container_logs.read_now(found.log.path, LogOptions(since=since))
            missed += found.log.unfinished()
        ended = found.record.state.get("terminated") if found is not None else None
        if ended and recent:
            return EndedProcess(int(ended.get("exitCode", 0)), missed)
        try:
            target = self._running(namespace, pod, container)
        except ContainerNotFound:
            raise ContainerNotFound(
                container, f"container {container} not found in pod {pod}_{namespace}"
            ) from None
        session = target.attach(stdin=stdin and bool(target.spec.get("stdin")), missed=missed)
        if session is None:
            raise ContainerNotFound(container)
        return session

    async def logs(
        self, namespace: str, pod: str, container: str, options: LogOptions
    ) -> AsyncIterator[bytes]:
        """The container's log."""
        path, writer = self._log(namespace, pod, container, options)
        if not options.follow and not options.previous:
            self._logs_read = {(namespace, pod, container): datetime.now(UTC)}
        return container_logs.read(path, writer, options)

    def _log(
        self, namespace: str, pod: str, name: str, options: LogOptions
    ) -> tuple[Path, container_logs.LogFile | None]:
        try:
            found = self._context.api.get("pods", pod, namespace)
        except ApiError as problem:
            raise RuntimeFailure(problem.status["message"], code=404) from None
        numbers = sorted(int(path.stem) for path in log_folder(self._context, found, name).glob("*.log"))
        folder = log_folder(self._context, found, name)
        status = _status(found, name)
        if options.previous:
            if "terminated" not in (status.get("lastState") or {}) or not numbers:
                raise RuntimeFailure(
                    f'previous terminated container "{name}" in pod "{pod}" not found', code=400
                )
            waits = "waiting" in (status.get("state") or {})
            chosen = numbers[-1] if waits or len(numbers) < 2 else numbers[-2]
            return folder / f"{chosen}.log", None
        container = self._kubelet.container(namespace, pod, name)
        if container is not None and container.log is not None:
            return container.log.path, container.log
        if numbers and (status.get("state") or {}).keys() & {"terminated", "running"}:
            return folder / f"{numbers[-1]}.log", None
        reason = ((status.get("state") or {}).get("waiting") or {}).get("reason", "ContainerCreating")
        if reason in ("ErrImagePull", "ImagePullBackOff"):
            message = (
                f'container "{name}" in pod "{pod}" is waiting to start: trying and failing to pull image'
            )
        else:
            message = f'container "{name}" in pod "{pod}" is waiting to start: {reason}'
        raise RuntimeFailure(message, code=400)

    async def dial(
        self, namespace: str, pod: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to 127.0.0.1:port inside the pod."""
        life = self._kubelet.pod(namespace, pod)
        if life is None or life.sandbox.netns is None:
            raise RuntimeFailure(f'pod "{pod}" has no running sandbox', code=404)
        sockets = []
        with inside(life.sandbox.netns):
            for family in (socket.AF_INET, socket.AF_INET6):
                try:
                    sockets.append(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                except OSError:
                    pass  # a machine without IPv6
        return await _first_connection(sockets, port)

    async def proxy(self, path: str) -> tuple[int, str, bytes]:
        """The node's own pages: `rules/NAMESPACE/POD`, `healthz`, `pods`."""
        parts = path.partition("?")[0].strip("/").split("/")
        if parts == ["healthz"]:
            return 200, "text/plain; charset=utf-8", b"ok"
        if parts[0] == "rules" and len(parts) == 3:
            style = "iptables" if "style=iptables" in path else "nft"
            return await self._rules(parts[1], parts[2], style)
        return 404, "text/plain; charset=utf-8", b"404 page not found\n"

    async def _rules(self, namespace: str, pod: str, style: str) -> tuple[int, str, bytes]:
        try:
            text = await self._context.network.rules(namespace, pod, style)
        except (KeyError, LookupError):
            return 404, "text/plain; charset=utf-8", f'pod "{namespace}/{pod}" is not on this node\n'.encode()
        except ValueError as problem:
            return 400, "text/plain; charset=utf-8", f"{problem}\n".encode()
        return 200, "text/plain; charset=utf-8", text.encode()


async def _first_connection(
    sockets: list[socket.socket], port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect the first of the sockets that can (127.0.0.1 before ::1); the others are closed."""
    problem: OSError = ConnectionRefusedError(f"connect to 127.0.0.1:{port}: connection refused")
    loop = asyncio.get_running_loop()
    for index, one in enumerate(sockets):
        address = "127.0.0.1" if one.family is socket.AF_INET else "::1"
        try:
            async with asyncio.timeout(_DIAL_SECONDS):
                await loop.sock_connect(one, (address, port))
        except OSError as failed:  # TimeoutError is one
            one.close()
            if index == 0:
                problem = failed
            continue
        for other in sockets[index + 1 :]:
            other.close()
        return await asyncio.open_connection(sock=one)
    raise problem


def _status(pod: dict[str, Any], name: str) -> dict[str, Any]:
    status = pod.get("status", {})
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for found in status.get(field) or []:
            if found["name"] == name:
                return dict(found)
    return {}
