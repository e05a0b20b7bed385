"""Clients from before WebSockets: the real kubectl with them switched off speaks SPDY on the bare
connection."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import termios

import pytest

from tests.pocket.api.streams.local_runtime import Lab


@pytest.fixture(autouse=True)
def no_websockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")


async def test_exec_carries_input_both_outputs_and_the_exit_code(lab: Lab) -> None:
    script = "cat; echo err >&2; exit 7"
    text = b"x" * 3_000_000 + b"\n"
    code, out, err = await lab.kubectl("exec", "-i", "-v=8", "web", "--", "sh", "-c", script, stdin=text)
    assert code == 7
    assert out.encode() == text
    assert "err\n" in err
    assert "command terminated with exit code 7" in err
    assert "POST" in err  # a WebSocket would have been a GET


async def test_exec_with_a_terminal_has_one_and_its_size(lab: Lab) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    process = await lab.start("exec", "-it", "web", "--", "sh", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    os.write(ours, b"echo size-$(stty size | tr ' ' x)\n")
    async with asyncio.timeout(15):
        while not re.search(rb"size-33x99", seen):
            seen += await asyncio.get_running_loop().run_in_executor(None, os.read, ours, 4096)
    os.write(ours, b"exit 5\n")
    assert await asyncio.wait_for(process.wait(), 10) == 5
    os.close(ours)


async def test_refusals_are_told_in_the_same_words(lab: Lab) -> None:
    _, _, err = await lab.kubectl("exec", "bad", "--", "true")
    assert 'unable to upgrade connection: container not found ("crashed")' in err
    _, _, err = await lab.kubectl("exec", "web", "--", "nosuch")
    assert 'exec: "nosuch": executable file not found in $PATH' in err


async def test_attach_and_a_client_that_is_killed(lab: Lab) -> None:
    code, out, _ = await lab.kubectl("attach", "-i", "web", stdin=b"hello\n")
    assert (code, out) == (0, "got hello\n")
    process = await lab.start("exec", "web", "--", "sh", "-c", "echo up; sleep 300")
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 15) == b"up\n"
    process.kill()
    await process.wait()
    assert await asyncio.wait_for(lab.runtime.sessions[-1].wait(), 10) == 137


async def test_port_forward_carries_bytes_and_tells_a_refusal(lab: Lab) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    process = await lab.start("port-forward", "--address=127.0.0.1", "pod/web", f":{port}")
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 15)).decode()
    match = re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", line)
    assert match, line
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(match[1]))
        writer.write(b"y" * 500_000)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(-1), 15) == b"y" * 500_000
        writer.close()
    server.close()
    await server.wait_closed()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(match[1]))
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    _, err = await asyncio.wait_for(process.communicate(), 15)
    assert b"connect: connection refused" in err
