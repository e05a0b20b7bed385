from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from labkit.pocket.node.probes import Result, Tally, ask, port_of


async def no_command(command: list[str]) -> tuple[int, str]:
    raise AssertionError(command)


@asynccontextmanager
async def server(answer: bytes, delay: float = 0) -> AsyncIterator[tuple[int, list[bytes]]]:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(delay)
        writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], asked
    finally:
        listening.close()


def unused_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def result(probe: dict[str, Any], container: dict[str, Any] | None = None) -> Result:
    return await ask(probe, container or {}, "127.0.0.1", no_command)


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (302, True), (399, True), (400, False), (404, False), (500, False)]
)
async def test_http_is_good_below_400(status: int, ok: bool) -> None:
    async with server(f"HTTP/1.1 {status} X\r\n\r\nbody".encode()) as (port, asked):
        answer = await result(
            {"httpGet": {"path": "/healthz", "port": port, "httpHeaders": [{"name": "X-Own", "value": "1"}]}}
        )
    assert answer.ok is ok
    assert ok or answer.message == f"HTTP probe failed with statuscode: {status}"
    assert asked[0].startswith(b"GET /healthz HTTP/1.1\r\n")
    assert b"User-Agent: kube-probe/1.34\r\n" in asked[0]
    assert b"X-Own: 1\r\n" in asked[0]


async def test_failures_are_in_gos_words() -> None:
    port = unused_port()
    refused = await result({"httpGet": {"path": "/", "port": port}})
    assert (
        refused.message
        == f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )
    tcp = await result({"tcpSocket": {"port": port}})
    assert tcp.message == f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    async with server(b"HTTP/1.1 200 OK\r\n\r\n", delay=3) as (slow, _):
        late = await result({"httpGet": {"port": slow}, "timeoutSeconds": 1})
    assert late.message.endswith("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
    async with server(b"") as (silent, _):
        assert (
            await result({"httpGet": {"port": silent}})
        ).message == f'Get "http://127.0.0.1:{silent}/": EOF'


async def test_tcp_is_good_when_the_port_is_open() -> None:
    async with server(b"") as (port, _):
        assert (await result({"tcpSocket": {"port": port}})).ok


async def test_a_command_is_judged_by_its_exit_code() -> None:
    async def run(command: list[str]) -> tuple[int, str]:
        return len(command), "why"

    probe = {"exec": {"command": ["false"]}}
    assert await ask(probe, {}, "", run) == Result(False, "why")
    assert (await ask({"exec": {"command": []}}, {}, "", run)).ok


def test_ports_may_be_names() -> None:
    container = {"ports": [{"name": "web", "containerPort": 8080}]}
    assert port_of(container, "web") == 8080
    assert port_of(container, 80) == 80
    with pytest.raises(ValueError, match="couldn't extract port: other"):
        port_of(container, "other")


def test_thresholds_decide() -> None:
    tally = Tally({"successThreshold": 2, "failureThreshold": 3}, initial=None)
    answers = [True, True, False, False, True, False, False, False]
    assert [tally.add(ok) for ok in answers] == [None, True, True, True, True, True, True, False]
