"""`labkit-probe`: tries many flows at once from inside a pod and prints one JSON line of evidence for each.

Input, as the first argument or on standard input: {"timeout": seconds, "flows": [flow, ...]}; a flow is
{"id": any, "host": name or address, "port": n, "protocol": "TCP"|"UDP", "http": {"method", "path", "headers"}?, "data": text?}.

Output: {"id", "outcome", "seconds", "address"?, "status"?, "body"?, "error"?} with outcome "ok" (connected; UDP: a reply
came; HTTP: any response), "timeout", "refused", "reset", "unreachable", "dns" (the name did not resolve) or "error"
(the attempt could not be made at all). All flows run together, so the whole takes one timeout at most (plus one for names).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import json
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from .console import err, flush, out, read_input

PARALLEL = 512
BODY = 200
#: A DNS question for `kubernetes.default.svc.cluster.local.` (A), asked of a UDP port 53 so that a name server answers.
_DNS_QUESTION = (
    b"\x6c\x61\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01"
)


def main(argv: list[str]) -> int:
    if argv[1:] == ["--version"]:
        out("labkit-probe 1")
        return 0
    try:
        task = json.loads(argv[1] if len(argv) > 1 else read_input())
        flows, timeout = task["flows"], float(task.get("timeout", 1.0))
    except (ValueError, KeyError, TypeError) as problem:
        err(f"labkit-probe: the task is not as expected: {problem}")
        return 2
    code = asyncio.run(_all(flows, timeout))
    flush()
    os._exit(code)  # a resolver thread may still be waiting for a name server that never answers


async def _all(flows: list[Mapping[str, Any]], timeout: float) -> int:
    names: dict[str, asyncio.Task[str]] = {}
    limit = asyncio.Semaphore(PARALLEL)

    def address(host: str) -> asyncio.Task[str]:
        if host not in names:
            names[host] = asyncio.create_task(_resolve(host, max(timeout, 1.0)))
        return names[host]

    async def one(flow: Mapping[str, Any]) -> None:
        async with limit:
            began = time.perf_counter()
            evidence = await _attempt(flow, address(str(flow["host"])), timeout)
            evidence.setdefault("seconds", round(time.perf_counter() - began, 4))
            out(json.dumps({"id": flow.get("id"), **evidence}))

    await asyncio.gather(*(one(flow) for flow in flows))
    return 0


async def _resolve(host: str, timeout: float) -> str:
    """An address for a host name. Raises LookupError with the reason."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host))
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.run_in_executor(
                None, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            )
    except TimeoutError:
        raise LookupError(f"no answer from the name server within {timeout:g} s for {host}") from None
    except socket.gaierror as problem:
        if problem.errno == socket.EAI_AGAIN:
            raise LookupError(f"the name server did not answer for {host} ({problem.strerror})") from None
        raise LookupError(f"{host} does not resolve ({problem.strerror})") from None
    v4 = [entry[4][0] for entry in found if entry[0] == socket.AF_INET]
    return str(v4[0] if v4 else found[0][4][0])


async def _attempt(flow: Mapping[str, Any], name: asyncio.Task[str], timeout: float) -> dict[str, Any]:
    try:
        address = await asyncio.shield(name)
    except LookupError as problem:
        return {"outcome": "dns", "error": str(problem)}
    evidence: dict[str, Any] = {"address": address}
    began = time.perf_counter()
    try:
        async with asyncio.timeout(timeout):
            if str(flow.get("protocol", "TCP")).upper() == "UDP":
                evidence |= await _udp(address, int(flow["port"]), flow.get("data"))
            elif flow.get("http") is not None:
                evidence |= await _http(str(flow["host"]), address, int(flow["port"]), flow["http"])
            else:
                _, writer = await asyncio.open_connection(address, int(flow["port"]))
                _abort(writer)
        evidence["outcome"] = "ok"
    except TimeoutError:
        evidence |= {"outcome": "timeout", "error": f"no answer within {timeout:g} s"}
    except OSError as problem:
        evidence |= {
            "outcome": _outcome(problem),
            "error": os.strerror(problem.errno) if problem.errno else str(problem),
        }
    except Exception as problem:
        evidence |= {"outcome": "error", "error": f"{type(problem).__name__}: {problem}"}
    return evidence | {"seconds": round(time.perf_counter() - began, 4)}


def _outcome(problem: OSError) -> str:
    if problem.errno == errno.ECONNREFUSED:
        return "refused"
    if problem.errno in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED):
        return "reset"
    if problem.errno == errno.ETIMEDOUT:
        return "timeout"
    if problem.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM, errno.EACCES):
        return "unreachable"
    return "error"


def _abort(writer: asyncio.StreamWriter) -> None:
    """End a connection politely (FIN), without waiting for the other side."""
    writer.close()


async def _udp(address: str, port: int, data: str | None) -> dict[str, Any]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    loop = asyncio.get_running_loop()
    question = data.encode() if data is not None else _DNS_QUESTION if port == 53 else b"hostname\n"
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.setblocking(False)
        connection.connect((address, port))
        await loop.sock_sendall(connection, question)
        answer = await loop.sock_recv(connection, 2048)
    return {} if port == 53 else {"body": answer[:BODY].decode("utf-8", "replace")}


async def _http(host: str, address: str, port: int, request: Mapping[str, Any]) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        authority = f"[{host}]" if ":" in host else host.rstrip(".")
        headers = {"Host": f"{authority}:{port}", "User-Agent": "labkit-probe", "Accept": "*/*"}
        headers |= dict(request.get("headers") or {})
        head = f"{request.get('method', 'GET')} {request.get('path', '/')} HTTP/1.1\r\n"
        head += (
            "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "Connection: close\r\n\r\n"
        )
        writer.write(head.encode())
        first = await reader.readline()
        if not first:
            raise ConnectionResetError(errno.ECONNRESET, "the connection was closed without a response")
        words = first.split(None, 2)
        if len(words) < 2 or not words[1].isdigit():
            return {"body": first[:BODY].decode("utf-8", "replace")}
        while (await reader.readline()) not in (b"\r\n", b"\n", b""):
            pass
        body = b""
        while len(body) < BODY and (chunk := await reader.read(BODY - len(body))):
            body += chunk
        return {"status": int(words[1]), "body": body.decode("utf-8", "replace")}
    finally:
        _abort(writer)
