"""Probes: the node asks a container whether it has started, lives, is ready, as pkg/kubelet/prober does.

HTTP and TCP probes are connections from the node's own address (the daemon is in the node's network namespace), so
NetworkPolicy treats them as it treats a real kubelet's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

_Object = Mapping[str, Any]
_BODY_AT_MOST = 10 * 1024
_USER_AGENT = "kube-probe/1.34"

#: Run a command in the container: (exit code, output). Raises OSError or a start error.
Run = Callable[[list[str]], Awaitable[tuple[int, str]]]


class Kind(Enum):
    """What a probe decides."""

    STARTUP = "Startup"
    LIVENESS = "Liveness"
    READINESS = "Readiness"

    @property
    def field(self) -> str:
        """Its name in the container's spec."""
        return f"{self.value.lower()}Probe"


@dataclass(frozen=True)
class Result:
    """One answer: good, or not with the words for the Unhealthy event."""

    ok: bool
    message: str = ""


class Tally:
    """Counts equal answers: the verdict changes when a threshold is reached (prober/worker.go)."""

    def __init__(self, probe: _Object, *, initial: bool | None) -> None:
        self.success_threshold = int(probe.get("successThreshold") or 1)
        self.failure_threshold = int(probe.get("failureThreshold") or 3)
        self.verdict = initial
        self._last: bool | None = None
        self._run = 0

    def add(self, ok: bool) -> bool | None:
        """Count an answer; returns the verdict so far (None: not known yet)."""
        self._run = self._run + 1 if ok == self._last else 1
        self._last = ok
        if self._run >= (self.success_threshold if ok else self.failure_threshold):
            self.verdict = ok
        return self.verdict


def port_of(container: _Object, port: int | str) -> int:
    """A probe's port: a number, or the name of one of the container's ports. Raises ValueError in upstream's words."""
    if isinstance(port, int):
        return port
    for known in container.get("ports") or []:
        if known.get("name") == port:
            return int(known["containerPort"])
    if port.isdigit():
        return int(port)
    raise ValueError(f"couldn't extract port: {port}")


async def ask(probe: _Object, container: _Object, address: str, run: Run) -> Result:
    """Carry out one probe within its timeout."""
    timeout = float(probe.get("timeoutSeconds") or 1)
    try:
        if "exec" in probe:
            return await _exec(probe["exec"]["command"], run, timeout)
        if "httpGet" in probe:
            return await _http(probe["httpGet"], container, address, timeout)
        if "tcpSocket" in probe:
            host = probe["tcpSocket"].get("host") or address
            return await _tcp(host, port_of(container, probe["tcpSocket"]["port"]), timeout)
    except ValueError as problem:
        return Result(False, str(problem))
    return Result(
        False, "missing probe handler: only exec, httpGet and tcpSocket probes are run on this node"
    )


async def _exec(command: list[str], run: Run, seconds: float) -> Result:
    try:
        async with asyncio.timeout(seconds):
            code, output = await run(command)
    except TimeoutError:
        return Result(False, f'command timed out: "{" ".join(command)}" timed out after {seconds:g}s')
    except Exception as problem:
        return Result(False, f"failed to exec in container: {problem}")
    return Result(code == 0, output[:_BODY_AT_MOST])


def _dial_error(target: str, problem: OSError) -> str:
    if isinstance(problem, ConnectionRefusedError):
        return f"dial tcp {target}: connect: connection refused"
    if isinstance(problem, ConnectionResetError):
        return "read: connection reset by peer"
    words = (problem.strerror or str(problem)).lower()
    return f"dial tcp {target}: connect: {words}"


async def _tcp(host: str, port: int, seconds: float) -> Result:
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Result(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as problem:
        return Result(False, _dial_error(f"{host}:{port}", problem))
    writer.close()
    return Result(True)


async def _http(get: _Object, container: _Object, address: str, seconds: float) -> Result:
    host = get.get("host") or address
    port = port_of(container, get["port"])
    scheme = str(get.get("scheme") or "HTTP").lower()
    path = get.get("path") or "/"
    if not path.startswith("/"):
        path = "/" + path
    url = f"{scheme}://{host}:{port}{path}"
    try:
        async with asyncio.timeout(seconds):
            status, body = await _get(scheme, host, port, path, get.get("httpHeaders") or [])
    except TimeoutError:
        return Result(
            False, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        )
    except (EOFError, asyncio.IncompleteReadError):
        return Result(False, f'Get "{url}": EOF')
    except OSError as problem:
        return Result(False, f'Get "{url}": {_dial_error(f"{host}:{port}", problem)}')
    if 200 <= status < 400:
        return Result(True, body)
    return Result(False, f"HTTP probe failed with statuscode: {status}")


async def _get(scheme: str, host: str, port: int, path: str, headers: list[_Object]) -> tuple[int, str]:
    """One GET on a connection of its own, as kubelet makes it: no reuse, no check of certificates."""
    context: ssl.SSLContext | None = None
    if scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        sent = {"Host": f"{host}:{port}", "User-Agent": _USER_AGENT, "Accept": "*/*"}
        sent.update({header["name"]: header.get("value", "") for header in headers})
        lines = [
            f"GET {path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in sent.items()),
            "Connection: close",
            "",
            "",
        ]
        writer.write("\r\n".join(lines).encode())
        await writer.drain()
        words = (await reader.readline()).split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise EOFError
        body = await reader.read(_BODY_AT_MOST)
        return int(words[1]), body.decode("utf-8", "replace")
    finally:
        writer.close()
