"""The official Python client against the stream handlers (subprotocol v4.channel.k8s.io)."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from kubernetes import client
from kubernetes.stream import portforward, stream

from tests.pocket.api.streams.local_runtime import Lab


def core(lab: Lab) -> client.CoreV1Api:
    configuration = client.Configuration()
    configuration.host = lab.url
    return client.CoreV1Api(client.ApiClient(configuration))


async def test_exec_gives_outputs_and_return_code(lab: Lab) -> None:
    def run() -> tuple[int, str, str]:
        session = stream(
            core(lab).connect_get_namespaced_pod_exec,
            "web",
            "default",
            command=["sh", "-c", "read x; echo $x; echo err >&2; exit 9"],
            stdin=True,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        session.write_stdin("hello\n")
        session.run_forever(timeout=10)
        return session.returncode, session.read_stdout(), session.read_stderr()

    assert await asyncio.to_thread(run) == (9, "hello\n", "err\n")


async def test_exec_in_one_call_gives_the_text(lab: Lab) -> None:
    def run() -> str:
        return stream(
            core(lab).connect_post_namespaced_pod_exec,
            "web",
            "default",
            command=["echo", "hello"],
            stdout=True,
            stderr=True,
        )

    assert await asyncio.to_thread(run) == "hello\n"


async def test_a_container_that_does_not_run_is_refused_before_the_upgrade_or_told_to_v5_after_it(
    lab: Lab,
) -> None:
    url = f"{lab.url}/api/v1/namespaces/default/pods/bad/exec?command=true&stdout=1"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await session.ws_connect(url, protocols=["v4.channel.k8s.io"])
        assert error.value.status == 404
        async with session.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
            status = json.loads((await socket.receive_bytes())[1:])
    assert status["reason"] == "InternalError"
    assert 'unable to upgrade connection: container not found ("crashed")' in status["message"]


async def test_port_forward_gives_a_socket(lab: Lab) -> None:
    async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(upper, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def run() -> tuple[bytes, str | None]:
        forward = portforward(
            core(lab).connect_get_namespaced_pod_portforward, "web", "default", ports=str(port)
        )
        connection = forward.socket(port)
        connection.setblocking(True)
        connection.sendall(b"hello\n")
        answer = connection.recv(100)
        connection.close()
        return answer, forward.error(port)

    assert await asyncio.wait_for(asyncio.to_thread(run), 15) == (b"HELLO\n", None)
    server.close()


async def test_port_forward_tells_a_refused_connection_on_its_error_channel(lab: Lab) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"{lab.url}/api/v1/namespaces/default/pods/web/portforward?ports=1",
            protocols=["v4.channel.k8s.io"],
        ) as socket,
    ):
        assert (await socket.receive_bytes()) == b"\x00\x01\x00"
        assert (await socket.receive_bytes()) == b"\x01\x01\x00"
        problem = await socket.receive_bytes()
        assert problem[0] == 1
        assert b"dial tcp4 127.0.0.1:1: connect: connection refused" in problem


@pytest.mark.parametrize(
    ("subprotocol", "expected"),
    [
        ("channel.k8s.io", [b"\x01hi\n"]),
        ("base64.channel.k8s.io", ["1aGkK"]),
        (None, [b"\x01hi\n"]),
    ],
)
async def test_older_subprotocols_are_spoken(
    lab: Lab, subprotocol: str | None, expected: list[bytes | str]
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"{lab.url}/api/v1/namespaces/default/pods/web/exec?command=echo&command=hi&stdout=1",
            protocols=[subprotocol] if subprotocol else [],
        ) as socket,
    ):
        assert [message.data async for message in socket] == expected


async def test_an_exec_without_upgrade_or_with_an_unknown_subprotocol_is_refused(lab: Lab) -> None:
    url = f"{lab.url}/api/v1/namespaces/default/pods/web/exec?command=true&stdout=1"
    async with aiohttp.ClientSession() as session:
        async with session.post(url) as answer:
            assert answer.status == 400
            assert (await answer.json())["message"] == "Upgrade request required"
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await session.ws_connect(url, protocols=["v9.nonsense"])
        assert error.value.status == 403


async def test_v4_success_is_a_status_on_the_error_channel(lab: Lab) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"{lab.url}/api/v1/namespaces/default/pods/web/exec?command=true&stdout=1",
            protocols=["v4.channel.k8s.io"],
        ) as socket,
    ):
        frame = await socket.receive_bytes()
        assert frame[0] == 3
        assert json.loads(frame[1:])["status"] == "Success"
        assert (await socket.receive()).data == 1000
