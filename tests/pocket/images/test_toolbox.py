"""The tools say what the real ones say; curl is compared with the real one where this machine has it."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pocket.images.conftest import Ended, Run, Start


@pytest.fixture
def web(start: Start, free_port: Callable[[], int]) -> int:
    port = free_port()
    start("agnhost:main", "/agnhost", "netexec", f"--http-port={port}", "--udp-port=-1", port=port)
    return port


@contextlib.contextmanager
def rude(act: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that does one thing to every connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def loop() -> None:
            with contextlib.suppress(OSError):
                while True:
                    act(server.accept()[0])

        threading.Thread(target=loop, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def hang_up(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def babble(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"not HTTP\n")
    connection.close()


class TestCurl:
    @pytest.mark.parametrize(
        "arguments",
        [
            "-s {web}/echo?msg=hi",
            "-s -o /dev/null -w %{{http_code}} {web}/echo?code=404",
            "-sSf {web}/echo?code=404",
            "-sL -w %{{num_redirects}},%{{url_effective}} {web}/redirect?location=/echo%3Fmsg%3Dx",
            "-s -X POST -d msg=posted {web}/echo",
            "-sG -d msg=asked {web}/echo",
            "-s -H X-A:b {web}/header?key=X-A",
            "-s --resolve other:{port}:127.0.0.1 http://other:{port}/echo?msg=hi",
            "--nonsense {web}",
            "-sS foo://127.0.0.1/",
        ],
    )
    def test_it_does_what_the_real_one_does(self, arguments: str, web: int, run: Run) -> None:
        real = shutil.which("curl")
        if real is None:
            pytest.skip("this machine has no curl to compare with")
        words = arguments.format(web=f"http://127.0.0.1:{web}", port=web).split()
        theirs = subprocess.run([real, *words], capture_output=True, text=True, check=False)
        ours = run("curl:main", "curl", *words)
        assert (ours.code, ours.out) == (theirs.returncode, theirs.stdout)
        if theirs.returncode == 2:
            assert ours.err.splitlines()[0].removeprefix("curl: (2) ") == theirs.stderr.splitlines()[
                0
            ].removeprefix("curl: (2) ")

    def test_a_name_that_does_not_resolve_is_6(self, run: Run) -> None:
        done = run("curl:main", "curl", "-sS", "http://no.such.name.invalid/")
        assert (done.code, done.err) == (6, "curl: (6) Could not resolve host: no.such.name.invalid\n")

    def test_a_closed_port_is_7(self, run: Run, free_port: Callable[[], int]) -> None:
        port = free_port()
        done = run("curl:main", "curl", "-sS", f"http://127.0.0.1:{port}/")
        assert done.code == 7
        assert done.err.startswith(f"curl: (7) Failed to connect to 127.0.0.1 port {port} after ")

    @pytest.mark.parametrize("limit", [("-m", "0.4"), ("--max-time", "0.4"), ("--connect-timeout", "0.4")])
    def test_a_silent_port_is_28(self, run: Run, silent_port: int, limit: tuple[str, str]) -> None:
        done = run("curl:main", "curl", "-sS", *limit, f"http://127.0.0.1:{silent_port}/")
        assert done.code == 28
        assert done.err.startswith("curl: (28) Connection timed out after 4")

    def test_a_server_that_does_not_answer_is_28_too(self, run: Run) -> None:
        kept: list[socket.socket] = []
        with rude(kept.append) as port:
            done = run("curl:main", "curl", "-sS", "-m", "0.4", f"http://127.0.0.1:{port}/")
        assert done.code == 28
        assert done.err.startswith("curl: (28) Operation timed out after 4")
        assert done.err.endswith("with 0 bytes received\n")

    @pytest.mark.parametrize(
        ("act", "code", "message"),
        [
            (hang_up, 52, "Empty reply from server"),
            (reset, 56, "Recv failure: Connection reset by peer"),
            (babble, 1, "Received HTTP/0.9 when not allowed"),
        ],
    )
    def test_rude_servers(
        self, run: Run, act: Callable[[socket.socket], None], code: int, message: str
    ) -> None:
        with rude(act) as port:
            done = run("curl:main", "curl", "-sS", f"http://127.0.0.1:{port}/")
        assert (done.code, done.err) == (code, f"curl: ({code}) {message}\n")

    def test_verbose_shows_both_heads(self, run: Run, web: int) -> None:
        done = run("curl:main", "curl", "-sv", f"http://127.0.0.1:{web}/hostname")
        assert f"* Connected to 127.0.0.1 (127.0.0.1) port {web}" in done.err
        assert "> GET /hostname HTTP/1.1\n" in done.err
        assert "< HTTP/1.1 200 OK\n" in done.err

    def test_output_goes_to_a_file(self, run: Run, web: int, tmp_path: Path) -> None:
        run("curl:main", "curl", "-s", "-o", str(tmp_path / "x"), f"http://127.0.0.1:{web}/echo?msg=kept")
        assert (tmp_path / "x").read_text() == "kept"


class TestWget:
    def wget(self, run: Run, *words: str) -> Ended:
        return run("wget:main", "wget", *words)

    def test_the_page_goes_to_standard_output(self, run: Run, web: int) -> None:
        done = self.wget(run, "-qO-", "-T", "2", f"http://127.0.0.1:{web}/echo?msg=hello")
        assert (done.code, done.out, done.err) == (0, "hello", "")

    def test_spider_says_that_the_file_exists(self, run: Run, web: int) -> None:
        done = self.wget(run, "--spider", "--timeout=1", f"127.0.0.1:{web}")
        assert done.code == 0
        assert done.err == f"Connecting to 127.0.0.1:{web} (127.0.0.1:{web})\nremote file exists\n"

    def test_silence_is_a_download_that_timed_out(self, run: Run, silent_port: int) -> None:
        done = self.wget(run, "--spider", "--timeout=1", f"127.0.0.1:{silent_port}")
        assert done.code == 1
        assert done.err.endswith("wget: download timed out\n")

    def test_failures_in_busybox_words(self, run: Run, web: int, free_port: Callable[[], int]) -> None:
        assert self.wget(run, f"127.0.0.1:{free_port()}").err.endswith(
            "wget: can't connect to remote host (127.0.0.1): Connection refused\n"
        )
        assert self.wget(run, "no.such.name.invalid").err == "wget: bad address 'no.such.name.invalid'\n"
        missing = self.wget(run, "-qO-", f"http://127.0.0.1:{web}/echo?code=404")
        assert (missing.code, missing.err) == (1, "wget: server returned error: HTTP/1.1 404 Not Found\n")


class TestNc:
    def test_z_in_both_dialects(
        self, run: Run, web: int, free_port: Callable[[], int], silent_port: int
    ) -> None:
        port = str(web)
        assert (
            run("nc:main", "nc", "-zv", "-w", "1", "127.0.0.1", port).err
            == f"127.0.0.1 (127.0.0.1:{port}) open\n"
        )
        opened = run("nc:openbsd", "nc", "-zvw1", "127.0.0.1", port)
        assert (opened.code, opened.err.startswith(f"Connection to 127.0.0.1 {port} port [tcp/")) == (0, True)
        closed = str(free_port())
        refused = run("nc:main", "nc", "-z", "-v", "127.0.0.1", closed)
        assert (refused.code, refused.err) == (1, f"nc: 127.0.0.1 (127.0.0.1:{closed}): Connection refused\n")
        silent = run("nc:openbsd", "nc", "-zv", "-w", "1", "127.0.0.1", str(silent_port))
        assert silent.code == 1
        assert (
            silent.err
            == f"nc: connect to 127.0.0.1 port {silent_port} (tcp) timed out: Operation in progress\n"
        )

    def test_two_of_them_talk(self, start: Start, run: Run, free_port: Callable[[], int]) -> None:
        port = free_port()
        listener = start("nc:main", "nc", "-l", "-p", str(port), "-v", stdin=subprocess.PIPE)
        assert listener.stderr is not None
        assert listener.stderr.readline().startswith("listening on 0.0.0.0:")
        assert run("nc:main", "nc", "-w", "2", "127.0.0.1", str(port), stdin="over the wire\n").code == 0
        assert listener.communicate(timeout=5)[0] == "over the wire\n"

    def test_udp_carries_a_question_and_its_answer(
        self, start: Start, run: Run, free_port: Callable[[], int]
    ) -> None:
        tcp, port = free_port(), free_port()
        start("agnhost:main", "/agnhost", "netexec", f"--http-port={tcp}", f"--udp-port={port}", port=tcp)
        done = run("nc:main", "nc", "-u", "-w", "1", "127.0.0.1", str(port), stdin="hostname\n")
        assert done.out == socket.gethostname()


class TestProbe:
    def probe(
        self, run: Run, flows: list[dict[str, object]], **task: object
    ) -> dict[object, list[dict[str, object]]]:
        done = run(
            "probe:main", "labkit-probe", stdin=json.dumps({"timeout": 0.4, "flows": flows, **task}) + "\n"
        )
        assert done.code == 0, done.err
        found: dict[object, list[dict[str, object]]] = {}
        for line in map(json.loads, done.out.splitlines()):
            found.setdefault(line["id"], []).append(line)
        return found

    def test_every_outcome_is_told_apart(
        self, run: Run, web: int, silent_port: int, free_port: Callable[[], int]
    ) -> None:
        flows: list[dict[str, object]] = [
            {"id": "open", "host": "127.0.0.1", "port": web},
            {"id": "closed", "host": "127.0.0.1", "port": free_port()},
            {"id": "silent", "host": "127.0.0.1", "port": silent_port},
            {"id": "nameless", "host": "no.such.name.invalid", "port": 80},
            {"id": "udp-closed", "host": "127.0.0.1", "port": free_port(), "protocol": "UDP"},
            {"id": "http", "host": "127.0.0.1", "port": web, "http": {"path": "/echo?msg=no&code=403"}},
        ]
        with rude(reset) as port:
            flows.append({"id": "reset", "host": "127.0.0.1", "port": port, "http": {}})
            found = self.probe(run, flows)
        assert {name: lines[0]["outcome"] for name, lines in found.items()} == {
            "open": "ok", "closed": "refused", "silent": "timeout", "nameless": "dns", "udp-closed": "refused", "http": "ok",
            "reset": "reset",
        }  # fmt: skip
        assert (found["http"][0]["status"], found["http"][0]["body"]) == (403, "no")
        assert "error" in found["silent"][0]

    def test_it_reads_until_two_readings_agree(self, run: Run) -> None:
        answers = iter([hang_up, babble, babble])  # no status, then twice something else
        with rude(lambda connection: next(answers)(connection)) as port:
            flow: dict[str, object] = {"id": 1, "host": "127.0.0.1", "port": port, "http": {}}
            found = self.probe(run, [flow], readings={"equal": 2, "most": 4, "interval": 0.1})
        assert [line["outcome"] for line in found[1]] == ["reset", "ok", "ok"]

    def test_a_flow_that_never_settles_is_read_at_most_so_often(self, run: Run) -> None:
        answers = iter([hang_up, babble] * 5)
        with rude(lambda connection: next(answers)(connection)) as port:
            flow: dict[str, object] = {"id": 1, "host": "127.0.0.1", "port": port, "http": {}}
            found = self.probe(run, [flow], readings={"equal": 2, "most": 4, "interval": 0.05})
        assert len(found[1]) == 4

    def test_hundreds_of_silent_flows_take_one_timeout(self, run: Run, silent_port: int) -> None:
        flows: list[dict[str, object]] = [
            {"id": n, "host": "127.0.0.1", "port": silent_port} for n in range(300)
        ]
        found = self.probe(run, flows)
        assert len(found) == 300
        assert {lines[0]["outcome"] for lines in found.values()} == {"timeout"}

    def test_a_task_that_is_none_is_refused(self, run: Run) -> None:
        assert run("probe:main", "labkit-probe", "{}").code == 2


def test_ping_sends_real_echo_requests(run: Run) -> None:
    done = run("ping:main", "ping", "-c", "2", "-i", "0.1", "127.0.0.1")
    if "permission denied" in done.err:
        pytest.skip("this user may not send ICMP here; in a pod it may")
    assert done.code == 0
    assert "2 packets transmitted, 2 packets received, 0% packet loss" in done.out
    assert (
        run("ping:main", "ping", "-c", "1", "no.such.name.invalid").err
        == "ping: bad address 'no.such.name.invalid'\n"
    )


def test_busybox_runs_its_applets_and_the_machines_tools(run: Run, web: int) -> None:
    assert run("busybox:main", "busybox", "wget", "-qO-", f"127.0.0.1:{web}/echo?msg=x").out == "x"
    assert run("busybox:main", "busybox", "echo", "hello").out == "hello\n"
    assert run("busybox:main", "busybox", "frobnicate").code == 127
