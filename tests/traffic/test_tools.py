"""The portable script, run for real with one tool at a time, and what each tool's words mean."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from labkit.pocket.images import find, shims
from labkit.policy import Flow, Verdict
from labkit.traffic import script
from labkit.traffic.observation import Reading
from labkit.traffic.script import read_tool
from labkit.traffic.targets import Attempt, Source
from labkit.traffic.tools import HttpRequest, Manner, NoTool, with_probe, with_shell
from tests.traffic.conftest import Machine

SOURCE = Source("ns", "pod", "main", "image")
_SHELL = ("sh", "tr", "cut", "dd", "timeout", "cat")


def machine(tmp_path: Path, *tools: str) -> Machine:
    """A container with a shell and these tools: the machine's, or ours by name ("ours:nc")."""
    for name in (*_SHELL, *(tool for tool in tools if not tool.startswith("ours:"))):
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"this machine has no {name}")
        (tmp_path / name).symlink_to(found)
    image = find("agnhost")
    assert image is not None
    scripts = {path.rpartition("/")[2]: text for path, text in shims(image).items()}
    for tool in tools:
        if tool.startswith("ours:"):
            place = tmp_path / tool.removeprefix("ours:")
            place.write_text(scripts[place.name])
            place.chmod(0o755)
    return Machine(tmp_path)


def attempts(*targets: tuple[str, int], protocol: str = "TCP") -> list[Attempt]:
    return [Attempt(Flow("ns/pod", host, port, protocol), host) for host, port in targets]


@pytest.mark.parametrize("tool", ["curl", "ours:nc", "ours:wget", "ours:agnhost", "bash"])
def test_each_tool_tells_open_closed_silent_and_nameless_apart(
    tool: str, tmp_path: Path, http_port: int, closed_port: int, silent_port: int
) -> None:
    targets = [
        ("127.0.0.1", http_port),
        ("127.0.0.1", closed_port),
        ("127.0.0.1", silent_port),
        ("no.such.invalid", 80),
    ]
    manner = Manner(timeout=1.0)
    readings = with_shell(machine(tmp_path, tool), SOURCE, attempts(*targets), manner)  # type: ignore[arg-type]
    verdicts = [reading.verdict for reading in readings]
    opened = Verdict.NOT_FOUND if tool == "curl" else Verdict.OK  # curl sees the 404 of the page
    assert verdicts == [opened, Verdict.REFUSED, Verdict.TIMEOUT, Verdict.DNS], [
        reading.evidence for reading in readings
    ]
    assert all(reading.evidence["tool"] == tool.removeprefix("ours:") for reading in readings)


def test_an_old_curl_is_started_once_for_each_flow(
    tmp_path: Path, http_port: int, silent_port: int, closed_port: int
) -> None:
    double = machine(tmp_path, "ours:curl") if not shutil.which("curl") else machine(tmp_path)
    real = shutil.which("curl")
    if real is None:
        pytest.skip("this machine has no curl")
    old = tmp_path / "curl"
    old.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "curl 7.64.0" && exit\nexec {real} "$@"\n')
    old.chmod(0o755)
    targets = [("127.0.0.1", http_port), ("127.0.0.1", closed_port), ("127.0.0.1", silent_port)]
    readings = with_shell(double, SOURCE, attempts(*targets), Manner(timeout=1.0))  # type: ignore[arg-type]
    assert [reading.verdict for reading in readings] == [Verdict.NOT_FOUND, Verdict.REFUSED, Verdict.TIMEOUT]


@pytest.mark.parametrize("tool", ["ours:nc", "ours:agnhost", "bash"])
def test_udp_counts_only_with_a_reply(tool: str, tmp_path: Path, udp_port: int, closed_port: int) -> None:
    double = machine(tmp_path, tool)
    targets = attempts(("127.0.0.1", udp_port), ("127.0.0.1", closed_port), protocol="UDP")
    readings = with_shell(double, SOURCE, targets, Manner(timeout=1.0))  # type: ignore[arg-type]
    assert readings[0].verdict == Verdict.OK, readings[0].evidence
    assert readings[1].verdict in (Verdict.REFUSED, Verdict.TIMEOUT)  # nc does not say which


@pytest.mark.parametrize("tool", ["dig", "ours:dig", "nc", "ours:nc", "bash"])
def test_a_name_server_is_asked_a_question(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name_server_port: int, closed_port: int
) -> None:
    double = machine(tmp_path, tool)
    verdicts = []
    for port in (name_server_port, closed_port):
        monkeypatch.setattr(script, "DNS_PORT", port)
        [reading] = with_shell(double, SOURCE, attempts(("127.0.0.1", port), protocol="UDP"), Manner())  # type: ignore[arg-type]
        assert reading.evidence["tool"] == tool.removeprefix("ours:")
        verdicts.append(reading.verdict)
    assert verdicts[0] == Verdict.OK
    assert verdicts[1] in (Verdict.REFUSED, Verdict.TIMEOUT)  # nc does not say which


def test_a_silent_name_server_is_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        monkeypatch.setattr(script, "DNS_PORT", port)
        for tool in ("ours:dig", "ours:nc", "bash"):
            place = tmp_path / tool.removeprefix("ours:")
            place.mkdir()
            target = attempts(("127.0.0.1", port), protocol="UDP")
            [reading] = with_shell(machine(place, tool), SOURCE, target, Manner())  # type: ignore[arg-type]
            assert reading.verdict == Verdict.TIMEOUT, (tool, reading.evidence)


def test_a_name_server_cannot_be_asked_with_curl_alone(tmp_path: Path) -> None:
    [reading] = with_shell(
        machine(tmp_path, "curl"),
        SOURCE,
        attempts(("127.0.0.1", 53), protocol="UDP"),
        Manner(),  # type: ignore[arg-type]
    )
    assert (reading.verdict, reading.evidence["error"]) == (
        None,
        "the container has no tool to ask a name server",
    )


def test_a_hundred_flows_take_one_timeout_with_curl(tmp_path: Path, silent_port: int, http_port: int) -> None:
    targets = attempts(*[("127.0.0.1", silent_port)] * 90, *[("127.0.0.1", http_port)] * 10)
    readings = with_shell(machine(tmp_path, "curl"), SOURCE, targets, Manner(timeout=1.0))  # type: ignore[arg-type]
    assert [reading.outcome for reading in readings] == ["timeout"] * 90 + ["ok"] * 10


def test_a_container_without_tools_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoTool, match="none of agnhost, curl, nc, wget, bash"):
        with_shell(machine(tmp_path), SOURCE, attempts(("127.0.0.1", 1)), Manner())  # type: ignore[arg-type]


def test_a_container_without_a_shell_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoTool, match="has no shell"):
        with_shell(Machine(tmp_path), SOURCE, attempts(("127.0.0.1", 1)), Manner())  # type: ignore[arg-type]


def test_a_container_without_labkit_probe_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoTool, match="not found"):
        with_probe(Machine(tmp_path), SOURCE, attempts(("127.0.0.1", 1)), Manner())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tool", "code", "text", "verdict"),
    [
        ("agnhost", 1, "TIMEOUT", Verdict.TIMEOUT),
        ("agnhost", 1, "REFUSED", Verdict.REFUSED),
        ("agnhost", 1, "DNS: lookup web on 10.96.0.10:53: no such host", Verdict.DNS),
        ("agnhost", 1, "OTHER: dial tcp 10.1.1.1:80: connect: no route to host", Verdict.REFUSED),
        ("agnhost", 124, "", Verdict.DNS),
        ("curl", 0, "#200 0.001", Verdict.OK),
        ("curl", 0, "#403 0.001", Verdict.FORBIDDEN),
        ("curl", 0, "#401 0.001", Verdict.UNAUTHENTICATED),
        ("curl", 52, "curl: (52) Empty reply from server #000 0.002", Verdict.OK),
        ("curl", 28, "curl: (28) Operation timed out after 1001 milliseconds #000 0.003", Verdict.OK),
        (
            "curl",
            28,
            "curl: (28) Connection timed out after 1001 milliseconds #000 0.000000",
            Verdict.TIMEOUT,
        ),
        ("curl", 28, "curl: (28) Resolving timed out after 1001 milliseconds #000 0.000000", Verdict.DNS),
        ("curl", 6, "curl: (6) Could not resolve host: web #000 0.000000", Verdict.DNS),
        (
            "curl",
            7,
            "curl: (7) Failed to connect to 10.1.1.1 port 80: Couldn't connect to server #000 0.0",
            Verdict.REFUSED,
        ),
        (
            "curl",
            7,
            "curl: (7) Failed to connect to 10.1.1.1 port 80: No route to host #000 0.0",
            Verdict.REFUSED,
        ),
        ("nc", 1, "nc: 10.1.1.1 (10.1.1.1:80): Connection refused", Verdict.REFUSED),
        ("nc", 1, "nc: connect to 10.1.1.1 port 80 (tcp) timed out: Operation in progress", Verdict.TIMEOUT),
        ("nc", 1, 'nc: getaddrinfo for host "web" port 80: Name or service not known', Verdict.DNS),
        ("nc", 1, "nc: bad address 'web'", Verdict.DNS),
        ("nc", 143, "", Verdict.TIMEOUT),
        ("wget", 1, "wget: download timed out", Verdict.TIMEOUT),
        ("wget", 1, "wget: can't connect to remote host (10.1.1.1): Connection refused", Verdict.REFUSED),
        ("wget", 1, "wget: server returned error: HTTP/1.1 404 Not Found", Verdict.OK),
        ("wget", 1, "wget: bad address 'web:80'", Verdict.DNS),
        ("bash", 124, "", Verdict.TIMEOUT),
        (
            "bash",
            1,
            "bash: connect: Connection refused bash: line 1: /dev/tcp/10.1.1.1/80: Connection refused",
            Verdict.REFUSED,
        ),
        ("bash", 1, "bash: web: Name or service not known", Verdict.DNS),
        ("bash", 1, "bash: connect: No route to host", Verdict.REFUSED),
        ("missing", 0, "the container has no tool for UDP", None),
        ("ncudp", 1, "nc: invalid option -- 'u' BusyBox v1.35.0 multi-call binary.", None),
        ("dig", 0, "", Verdict.OK),
        (
            "dig",
            9,
            ";; communications error to 10.1.1.1#53: timed out ;; no servers could be reached",
            Verdict.TIMEOUT,
        ),
        ("dig", 9, ";; communications error to 10.1.1.1#53: connection refused", Verdict.REFUSED),
        ("dig", 9, ";; no servers could be reached", Verdict.TIMEOUT),
    ],
)
def test_the_words_of_real_tools(tool: str, code: int, text: str, verdict: Verdict | None) -> None:
    assert read_tool(tool, code, text, "-").verdict == verdict


def test_an_http_answer_can_be_a_refusal() -> None:
    assert Reading("ok", {"status": 403}).verdict == Verdict.FORBIDDEN
    assert Reading("ok", {"status": 500}).verdict == Verdict.OK
    assert HttpRequest().method == "GET"
