"""The real kubectl against the stream handlers."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import termios

from tests.pocket.api.streams.local_runtime import Lab


async def test_exec_carries_both_outputs_and_the_exit_code(lab: Lab) -> None:
    code, out, err = await lab.kubectl("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert code == 7
    assert out == "out\n"
    assert "err\n" in err
    assert "command terminated with exit code 7" in err


async def test_exec_that_succeeds_is_silent(lab: Lab) -> None:
    assert await lab.kubectl("exec", "web", "--", "echo", "hello") == (0, "hello\n", "")


async def test_exec_with_stdin_ends_when_the_client_closes_it(lab: Lab) -> None:
    text = b"x" * 300_000 + b"\n"
    code, out, _ = await lab.kubectl("exec", "-i", "web", "--", "cat", stdin=text)
    assert code == 0
    assert out.encode() == text


async def test_exec_with_a_terminal_has_one_and_its_size(lab: Lab) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    process = await lab.start("exec", "-it", "web", "--", "sh", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""

    async def until(pattern: bytes) -> None:
        nonlocal seen
        async with asyncio.timeout(15):
            while not re.search(pattern, seen):
                seen += await asyncio.get_running_loop().run_in_executor(None, os.read, ours, 4096)

    os.write(ours, b"test -t 0 && echo terminal-$((40+2))\n")
    await until(rb"terminal-42")
    os.write(ours, b"exit 5\n")
    assert await asyncio.wait_for(process.wait(), 10) == 5
    os.close(ours)
    assert lab.runtime.sessions[0].sizes[0] == (99, 33)


async def test_a_command_that_does_not_exist_is_told_in_the_kubelets_words(lab: Lab) -> None:
    code, _, err = await lab.kubectl("exec", "web", "--", "nosuch")
    assert code == 1
    assert (
        "error: Internal error occurred: Internal error occurred: error executing command in container: "
        'exec: "nosuch": executable file not found in $PATH' in err
    )


async def test_exec_names_a_missing_container_and_a_missing_pod(lab: Lab) -> None:
    _, _, err = await lab.kubectl("exec", "web", "-c", "nosuch", "--", "true")
    assert "container nosuch is not valid for pod web" in err
    _, _, err = await lab.kubectl("exec", "nosuch", "--", "true")
    assert 'Error from server (NotFound): pods "nosuch" not found' in err


async def test_exec_into_a_container_that_does_not_run_says_so(lab: Lab) -> None:
    code, _, err = await lab.kubectl("exec", "bad", "--", "true")
    assert code == 1
    assert 'unable to upgrade connection: container not found ("crashed")' in err


async def test_attach_carries_input_and_ends_well_whatever_the_exit_code(lab: Lab) -> None:
    code, out, _ = await lab.kubectl("attach", "-i", "web", stdin=b"hello\n")
    assert (code, out) == (0, "got hello\n")


async def test_a_client_that_is_killed_leaves_no_process(lab: Lab) -> None:
    process = await lab.start("exec", "web", "--", "sh", "-c", "echo up; sleep 300")
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 15) == b"up\n"
    process.kill()
    await process.wait()
    assert await asyncio.wait_for(lab.runtime.sessions[0].wait(), 10) == 137


async def test_logs_and_their_options(lab: Lab) -> None:
    code, out, _ = await lab.kubectl("logs", "web", "--tail=2", "--timestamps", "--limit-bytes=100")
    assert (code, out) == (0, "one\ntwo\nthree\n")
    options = lab.runtime.log_requests[-1]
    assert (options.tail_lines, options.timestamps, options.limit_bytes) == (2, True, 100)
    _, _, err = await lab.kubectl("logs", "web", "--previous")
    assert 'previous terminated container "app" in pod "web" not found' in err


async def test_logs_of_a_pod_with_several_containers(lab: Lab) -> None:
    _, out, err = await lab.kubectl("logs", "two", "-c", "second")
    assert out == "one\ntwo\nthree\n"
    _, _, err = await lab.kubectl("get", "--raw", "/api/v1/namespaces/default/pods/two/log")
    assert "a container name must be specified for pod two, choose one of: [first second]" in err


async def test_logs_that_are_followed_end_with_the_container(lab: Lab) -> None:
    process = await lab.start("logs", "-f", "web")
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 15) == b"one\n"
    lab.runtime.log_open.set()
    out, _ = await asyncio.wait_for(process.communicate(), 10)
    assert out.endswith(b"last\n")
    assert process.returncode == 0


async def test_following_ends_when_the_client_leaves(lab: Lab) -> None:
    process = await lab.start("logs", "-f", "web")
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), 15)
    process.kill()
    await process.wait()
    await asyncio.wait_for(lab.runtime.log_closed.wait(), 10)


async def _forward(lab: Lab, port: int) -> tuple[asyncio.subprocess.Process, int]:
    process = await lab.start("port-forward", "--address=127.0.0.1", "pod/web", f":{port}")
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 15)).decode()
    match = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)", line)
    assert match, line
    assert int(match[2]) == port
    return process, int(match[1])


async def test_port_forward_carries_many_connections_at_once(lab: Lab) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    process, local = await _forward(lab, server.sockets[0].getsockname()[1])

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", local)
        text = bytes([number]) * 200_000
        writer.write(text)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(-1), 15) == text
        writer.close()

    await asyncio.gather(*(one(number) for number in range(8)))
    process.terminate()
    await process.wait()
    server.close()


async def test_port_forward_to_a_port_nobody_listens_on_says_connection_refused(lab: Lab) -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    process, local = await _forward(lab, port)
    reader, writer = await asyncio.open_connection("127.0.0.1", local)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    _, err = await asyncio.wait_for(process.communicate(), 15)
    assert f"error forwarding port {port} to pod web".encode() in err
    assert b"connection refused" in err
    assert b"error: lost connection to pod" in err


async def test_the_nodes_proxy_passes_path_and_query(lab: Lab) -> None:
    code, out, _ = await lab.kubectl("get", "--raw", "/api/v1/nodes/pocket/proxy/rules/default/web?style=nft")
    assert (code, out) == (0, "asked for rules/default/web?style=nft")
