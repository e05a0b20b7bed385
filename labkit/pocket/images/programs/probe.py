"""`labkit-probe`: tries many flows at once from inside a pod and prints a JSON line of evidence for each reading.

Input, as the first argument or one line of standard input: {"timeout": seconds, "flows": [flow, ...], "readings": {"equal": 2,
"most": 5, "interval": 0.3}}; a flow is {"id": any, "host": name or address, "port": n, "protocol": "TCP"|"UDP",
"http": {"method", "path", "headers"}?, "data": text?}. Without "readings" each flow is tried once.

Output: {"id", "reading", "outcome", "seconds", "address"?, "status"?, "body"?, "error"?} with outcome "ok" (connected; UDP: a
reply came; HTTP: any response), "timeout", "refused", "reset", "unreachable", "dns" (the name did not resolve) or "error"
(the attempt could not be made). All flows run together. The first readings of a flow begin `interval` apart and do not wait
for each other; more follow until the last `equal` ones agree, at most `most`.
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

from .console import err, flush, out, read_line

PARALLEL = 512
BODY = 200
#: A DNS question for `kubernetes.default.svc.cluster.local.` (A), asked of a UDP port 53 so that a name server answers.
_DNS_QUESTION = (
    b"\x6c\x61\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01"
)


def main(argv: list[str]) -> int:
    """Run the task of argv[1] or of standard input; 0 when every flow was tried, 2 for a task that is none."""
    if argv[1:] == ["--version"]:
        out("labkit-probe 1")
        return 0
    try:
        task = json.loads(argv[1] if len(argv) > 1 else read_line())
        flows, limit = task["flows"], float(task.get("timeout", 1.0))
        rule = {"equal": 1, "most": 1, "interval": 0.3, **(task.get("readings") or {})}
    except (ValueError, KeyError, TypeError) as problem:
        err(f"labkit-probe: the task is not as expected: {problem}")
        return 2
    asyncio.run(_all_and_out(flows, limit, rule))
    return 0


async def _all_and_out(flows: list[Mapping[str, Any]], limit: float, rule: Mapping[str, float]) -> None:
    await _all(flows, limit, rule)
    flush()
    # Not by returning: the loop would wait for resolver threads, and they for a name server that never answers.
    os._exit(0)


async def _all(flows: list[Mapping[str, Any]], limit: float, rule: Mapping[str, float]) -> None:
    gate = asyncio.Semaphore(PARALLEL)
    names: dict[tuple[str, int], asyncio.Task[str]] = {}

    async def reading(flow: Mapping[str, Any], number: int, delay: float) -> object:
        if delay:
            await asyncio.sleep(delay)
        async with gate:
            began = time.perf_counter()
            asked = str(flow["host"]), number
            if asked not in names:  # once per host and reading
                names[asked] = asyncio.create_task(_resolve(asked[0], max(limit, 1.0)))
            evidence = await _attempt(flow, names[asked], limit)
            evidence.setdefault("seconds", round(time.perf_counter() - began, 4))
        out(json.dumps({"id": flow.get("id"), "reading": number, **evidence}))
        return evidence["outcome"], evidence.get("status")

    async def one(flow: Mapping[str, Any]) -> None:
        equal, most = int(rule["equal"]), int(rule["most"])
        seen = await asyncio.gather(*(reading(flow, n, n * rule["interval"]) for n in range(equal)))
        while len(set(seen[-equal:])) > 1 and len(seen) < most:
            seen.append(await reading(flow, len(seen), rule["interval"]))

    await asyncio.gather(*(one(flow) for flow in flows))


async def _resolve(host: str, limit: float) -> str:
    """An address for a host name. Raises LookupError with the reason."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host))
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limit):
            found = await loop.run_in_executor(
                None, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            )
    except TimeoutError:
        raise LookupError(f"no answer from the name server within {limit:g} s for {host}") from None
    except socket.gaierror as problem:
        if problem.errno == socket.EAI_AGAIN:
            raise LookupError(f"{host} could not be resolved ({problem.strerror})") from None
        raise LookupError(f"{host} does not resolve ({problem.strerror})") from None
    v4 = [entry[4][0] for entry in found if entry[0] == socket.AF_INET]
    return str(v4[0] if v4 else found[0][4][0])


async def _attempt(flow: Mapping[str, Any], name: asyncio.Task[str], limit: float) -> dict[str, Any]:
    try:
        address = await asyncio.shield(name)
    except LookupError as problem:
        return {"outcome": "dns", "error": str(problem)}
    evidence: dict[str, Any] = {"address": address}
    began = time.perf_counter()
    try:
        async with asyncio.timeout(limit):
            if str(flow.get("protocol", "TCP")).upper() == "UDP":
                evidence |= await _udp(address, int(flow["port"]), flow.get("data"))
            elif flow.get("http") is not None:
                evidence |= await _http(str(flow["host"]), address, int(flow["port"]), flow["http"])
            else:
                await _connect(address, int(flow["port"]))
        evidence["outcome"] = "ok"
    except TimeoutError:
        evidence |= {"outcome": "timeout", "error": f"no answer within {limit:g} s"}
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


async def _connect(address: str, port: int) -> None:
    """Connect and end the connection politely (FIN). A bare socket: hundreds of them are tried at once."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (address, port))


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
        writer.close()
