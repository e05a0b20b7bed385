"""agnhost as the end-to-end tests know it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from tests.pocket.images.conftest import Run, Start, wait_for


def get(port: int, path: str = "/", data: bytes | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def ask_udp(port: int, question: bytes) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(question, ("127.0.0.1", port))
        return client.recv(2048).decode()


class TestConnect:
    def connect(self, run: Run, *args: str):
        return run("agnhost:main", "/agnhost", "connect", *args)

    def test_an_open_port_is_success_and_says_nothing(self, run: Run) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            done = self.connect(run, f"127.0.0.1:{server.getsockname()[1]}", "--timeout=1s")
        assert (done.code, done.out, done.err) == (0, "", "")

    def test_a_closed_port_is_refused(self, run: Run, free_port: Callable[[], int]) -> None:
        done = self.connect(run, f"127.0.0.1:{free_port()}", "--timeout=1s", "--protocol=tcp")
        assert (done.code, done.err) == (1, "REFUSED\n")

    def test_a_silent_port_times_out(self, run: Run, silent_port: int) -> None:
        done = self.connect(run, f"127.0.0.1:{silent_port}", "--timeout=300ms")
        assert (done.code, done.err) == (1, "TIMEOUT\n")

    def test_a_name_that_does_not_resolve_is_dns(self, run: Run) -> None:
        done = self.connect(run, "no.such.name.invalid:80", "--timeout=1s")
        assert done.code == 1
        assert done.err.startswith("DNS: lookup no.such.name.invalid")

    def test_an_address_without_a_port_is_unknown(self, run: Run) -> None:
        assert self.connect(run, "127.0.0.1").err == "UNKNOWN: address 127.0.0.1: missing port in address\n"

    def test_udp_needs_a_reply(self, run: Run, free_port: Callable[[], int]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind(("127.0.0.1", 0))
            done = self.connect(
                run, f"127.0.0.1:{mute.getsockname()[1]}", "--timeout=300ms", "--protocol=udp"
            )
        assert done.code == 1
        assert done.err.startswith("TIMEOUT: ")
        refused = self.connect(run, f"127.0.0.1:{free_port()}", "--timeout=300ms", "--protocol=udp")
        assert refused.code == 1
        assert refused.err.startswith("REFUSED: ")

    def test_a_wrong_flag_is_told_as_cobra_does(self, run: Run) -> None:
        done = self.connect(run, "--nope", "127.0.0.1:80")
        assert done.code == 1
        assert done.err == "Error: unknown flag: --nope\n"
        assert self.connect(run, "--timeout=soon", "x:1").err == (
            'Error: invalid argument "soon" for "--timeout" flag: time: invalid duration "soon"\n'
        )
        assert self.connect(run, "127.0.0.1:99999").err == "DNS: address 99999: invalid port\n"
        assert self.connect(run, "127.0.0.1:y").err == "DNS: lookup tcp/y: unknown port\n"
        assert self.connect(run).err == "Error: accepts 1 arg(s), received 0\n"


class TestServers:
    def test_porter_serves_the_value_of_each_variable(
        self, start: Start, run: Run, free_port: Callable[[], int]
    ) -> None:
        tcp, also, datagram = free_port(), free_port(), free_port()
        env = {
            f"SERVE_PORT_{tcp}": "one",
            f"SERVE_TCP_PORT_{also}": "two",
            f"SERVE_UDP_PORT_{datagram}": "three",
        }
        start("agnhost:main", "/agnhost", "porter", env=env, port=tcp)
        wait_for(also)
        assert get(tcp, "/any/path") == (200, "one")
        assert get(also) == (200, "two")
        assert ask_udp(datagram, b"whatever") == "three"
        done = run(
            "agnhost:main", "/agnhost", "connect", f"127.0.0.1:{datagram}", "--protocol=udp", "--timeout=2s"
        )
        assert done.code == 0

    def test_serve_hostname_over_http(self, start: Start, free_port: Callable[[], int]) -> None:
        port = free_port()
        start("agnhost:main", "/agnhost", "serve-hostname", f"--port={port}", port=port)
        assert get(port) == (200, socket.gethostname())

    def test_serve_hostname_over_plain_tcp_and_udp(self, start: Start, free_port: Callable[[], int]) -> None:
        port = free_port()
        start(
            "agnhost:main",
            "/agnhost",
            "serve-hostname",
            "--http=false",
            "--tcp",
            "--udp",
            "--port",
            str(port),
            port=port,
        )
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert client.makefile().read() == socket.gethostname()
        assert ask_udp(port, b"x") == socket.gethostname()

    def test_http_and_tcp_at_once_are_refused(self, run: Run) -> None:
        done = run("agnhost:main", "/agnhost", "serve-hostname", "--tcp")
        assert done.code == 1
        assert "Can't server TCP/UDP mode and HTTP mode at the same time" in done.err

    @pytest.fixture
    def netexec(self, start: Start, free_port: Callable[[], int]) -> tuple[int, int, subprocess.Popen[str]]:
        http, datagram = free_port(), free_port()
        process = start(
            "agnhost:main", "/agnhost", "netexec", f"--http-port={http}", f"--udp-port={datagram}", port=http
        )
        return http, datagram, process

    def test_netexec_answers_on_its_paths(self, netexec) -> None:
        port, datagram, _ = netexec
        assert get(port)[1].startswith("NOW: ")
        assert get(port, "/hostname") == get(port, "/hostName") == (200, socket.gethostname())
        assert get(port, "/echo?msg=hi%20there") == (200, "hi there")
        assert get(port, "/echo?msg=gone&code=410") == (410, "gone")
        assert get(port, "/echo", b"msg=posted") == (200, "posted")
        assert get(port, "/clientip")[1].startswith("127.0.0.1:")
        assert get(port, "/serverport") == (200, str(port))
        assert get(port, "/healthz") == (200, "")
        assert json.loads(get(port, "/shell?cmd=echo%20out;exit%203")[1]) == {
            "output": "out\n",
            "error": "exit status 3",
        }
        assert ask_udp(datagram, b"echo Hello") == "hello"
        assert ask_udp(datagram, b"hostname\n") == socket.gethostname()
        assert ask_udp(datagram, b"serverport") == str(datagram)

    def test_netexec_is_not_ready_while_it_ends(self, start: Start, free_port: Callable[[], int]) -> None:
        port = free_port()
        args = [f"--http-port={port}", f"--udp-port={free_port()}", "--delay-shutdown=2"]
        process = start("agnhost:main", "/agnhost", "netexec", *args, port=port)
        assert get(port, "/readyz") == (200, "ok")
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert get(port, "/readyz") == (503, "shutting down")
        assert get(port, "/healthz")[0] == 200
        assert process.wait(5) == 0

    def test_netexec_dials_others(self, netexec, free_port: Callable[[], int]) -> None:
        port, datagram, _ = netexec
        dial = f"/dial?host=127.0.0.1&port={port}&protocol=http&request=hostname&tries=2"
        assert json.loads(get(port, dial)[1]) == {"responses": [socket.gethostname()] * 2}
        assert json.loads(
            get(port, f"/dial?host=127.0.0.1&port={datagram}&protocol=udp&request=hostname")[1]
        ) == {"responses": [socket.gethostname()]}
        closed = json.loads(get(port, f"/dial?host=127.0.0.1&port={free_port()}&request=x")[1])
        assert "connection refused" in closed["errors"][0]
        assert get(port, "/dial?host=127.0.0.1&port=1")[0] == 400

    def test_netexec_exits_with_the_code_asked_for(self, netexec) -> None:
        port, _, process = netexec
        assert get(port, "/exit?code=7&timeout=2s")[0] == 200
        assert process.wait(5) == 7


def test_pause_ends_on_a_signal(start: Start) -> None:
    process = start("agnhost:main", "/agnhost", "pause")
    assert process.stdout is not None
    assert process.stdout.readline() == "Paused\n"
    assert process.stdout.readline() == "Signals registered\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == 'exiting because of signal "terminated"\n'
    assert process.wait(5) == 2
