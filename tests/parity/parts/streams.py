"""exec, logs, attach and port-forward, with their mistakes (inputs/streams.yaml), on the pods of inputs/streams-pods.yaml."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import time
from functools import cache
from typing import Any

import yaml

from tests.parity.asked import KUBECTL, Asked
from tests.parity.recording import HERE
from tests.parity.settling import settle

NAME = "streams"
NAMESPACE = "str"


@cache
def inputs() -> list[dict[str, Any]]:
    """Calls in their order: `call`, perhaps `stdin`; of a port-forward, `get`: the path to ask for through it."""
    return list(yaml.safe_load((HERE / "inputs/streams.yaml").read_text(encoding="utf-8")))


def ask(cluster: Asked) -> dict[str, Any]:
    """Call -> [exit code, output, errors], of a port-forward also what came through it."""
    cluster.http("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    place = cluster.within(NAMESPACE, cluster.folder / NAMESPACE)
    try:
        place.kubectl("apply", "-f", str(HERE / "inputs/streams-pods.yaml"))
        place.kubectl("wait", "--for=condition=Ready", "pod/two", "--timeout=60s")
        place.kubectl("wait", "--for=condition=Available", "deployment/dep", "--timeout=60s")
        place.kubectl(
            "wait",
            "--for=jsonpath={.status.containerStatuses[0].restartCount}=1",
            "pod/crash",
            "--timeout=60s",
        )
        backs_off = "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}="
        place.kubectl("wait", f"{backs_off}CrashLoopBackOff", "pod/crash", "--timeout=60s")
        place.kubectl("wait", f"{backs_off}ImagePullBackOff", "pod/noimage", "--timeout=60s")
        time.sleep(3)  # for some lines of log
        return {row["call"]: _answer(place, row) for row in inputs()}
    finally:
        cluster.http("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


def _answer(place: Asked, row: dict[str, Any]) -> list[Any]:
    words = shlex.split(row["call"])[1:]
    if words[0] == "port-forward":
        return _forwarded(place, words, row.get("get", ""))
    code, out, err = place.kubectl(*words, stdin=row.get("stdin"), timeout=30)
    if "--all-containers" in words:  # they are asked side by side
        out = "".join(sorted(out.splitlines(keepends=True)))
    return [code, _text(out), _text(err)]


def _forwarded(place: Asked, words: list[str], path: str) -> list[Any]:
    """Run a port-forward until it ends, or until it is ready and has been used."""
    with subprocess.Popen(
        [str(KUBECTL), *words],
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        said = ""
        while line := process.stdout.readline():
            said += line
            if line.startswith("Forwarding from [::1]") or (
                "--address" in " ".join(words) and line.startswith("Forwarding")
            ):
                break
        answer = _through(said, path) if path and line else ""
        ended = None if line else process.wait(10)
        if ended is None:
            time.sleep(0.3)  # for what it says about the connection
            process.terminate()
        said += process.communicate(timeout=10)[0]
    lines = sorted(_text(said).splitlines()) if path else _text(said).splitlines()
    return ["still running" if ended is None else ended, lines, answer]


def _through(said: str, path: str) -> Any:
    found = re.search(r"Forwarding from 127\.0\.0\.1:(\d+)", said)
    assert found, said
    try:
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            got = b""
            while part := connection.recv(4096):
                got += part
        return _text(got.partition(b"\r\n\r\n")[2].decode())
    except OSError as error:
        return type(error).__name__


def _text(raw: str) -> str:
    """Counters, ports and times of this run replaced."""
    raw = settle(re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", raw))
    raw = re.sub(r"\b(line|err) \d+", "said N", raw)  # the two streams are read apart, so their order varies
    raw = re.sub(r"(127\.0\.0\.1|\[::1\]):\d+ ->", r"\1:PORT ->", raw)
    raw = re.sub(r"(Handling connection for|port) \d+|(localPort=)\d+", r"\1\2 PORT", raw)
    raw = re.sub(r"NODE-IP:\d+|POD-IP:\d+", "ADDRESS", raw)
    raw = re.sub(
        r"^(\[\S+\] )?(LOG|I\d{4} [\d:.]+ +\d+|\d{4}/\d\d/\d\d [\d:]+) (\w+\.go:\d+\] )?",
        r"\1LOG ",
        raw,
        flags=re.M,
    )
    raw = re.sub(r"pod \S+, uid \S*:|network namespace \S+|inside namespace [^, ]+", "PLACE", raw)
    raw = raw.replace("trying and failing to pull image", "image can't be pulled")  # it takes turns
    raw = re.sub(r".*Error copying from local connection.*\n", "", raw)  # a matter of time, too
    return re.sub(r"[0-9a-f]{64}|pod sandbox \S+|container \S+ in pod", "ID", raw)
