"""exec, logs, attach and port-forward, with their mistakes: played again on pods of pocket."""

from __future__ import annotations

import re
import subprocess
import time
from typing import Any

import pytest

from tests.parity.conftest import Asked
from tests.parity.recording import HERE, assert_same, recording, settle

# What a pod looks like inside (mounts, the toolbox, the whole help text) is the node's own; here it is about the streams.
LEFT_OUT = {
    "exec-mounts", "exec-ip", "exec-env", "exec-hosts", "exec-dns-svc", "exec-agnhost-help", "exec-connect-sctp",
    "logs-follow", "attach-tool", "pf-in-use", "exec-no-dashes", "exec-connect-timeout", "logs-limit",
}  # fmt: skip
ROWS = {row["name"]: row for row in recording("streams") if row["name"] not in LEFT_OUT}
PODS = HERE / "golden" / "streams.yaml"


def text(raw: str) -> str:
    """Counters, ports and times of this run replaced."""
    raw = settle(re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", raw))
    raw = re.sub(r"\b(line|err) \d+", "said N", raw)  # the two streams are read apart, so their order varies
    raw = re.sub(r"(127\.0\.0\.1|\[::1\]):\d+ ->", r"\1:PORT ->", raw)
    raw = re.sub(r"(Handling connection for|port) \d+", r"\1 PORT", raw)
    raw = re.sub(r"NODE-IP:\d+|POD-IP:\d+", "ADDRESS", raw)
    raw = re.sub(
        r"^(\[\S+\] )?(LOG|I\d{4} [\d:.]+ +\d+|\d{4}/\d\d/\d\d [\d:]+) (\w+\.go:\d+\] )?",
        r"\1LOG ",
        raw,
        flags=re.M,
    )
    raw = re.sub(r"pod \S+, uid \S*:|network namespace \S+|inside namespace [^, ]+", "PLACE", raw)
    return re.sub(r"[0-9a-f]{64}|pod sandbox \S+|container \S+ in pod", "ID", raw)


def forwarded(cluster: Asked, row: dict[str, Any]) -> list[Any]:
    """Run a port-forward as it was recorded: a second to settle, perhaps one curl, then the end."""
    command = cluster.kubectl_command(*row["args"])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 3
        local = next((a.split(":")[0] for a in row["args"] if re.fullmatch(r"\d+:\w+", a)), "")
        time.sleep(0.8)
        answer: Any = ""
        if row["curl"] and process.poll() is None:
            path = "/" if "refused" in row["name"] else "/hostname"
            url = f"http://127.0.0.1:{local}{path}"
            done = subprocess.run(["curl", "-s", "-m", "2", url], capture_output=True, text=True, check=False)
            answer = [done.returncode, text(done.stdout)]
        while process.poll() is None and time.monotonic() < deadline and not isinstance(row["exit"], str):
            time.sleep(0.1)
        ended = process.poll()
        if ended is None:
            process.terminate()
        out, err = process.communicate(timeout=5)
    return ["still running" if ended is None else ended, text(out), text(err), answer]


@pytest.fixture(scope="module")
def answers(cluster: Asked) -> dict[str, tuple[Any, Any]]:
    """Case -> (what the real cluster answered, what pocket answered)."""
    cluster.kubectl("create", "namespace", "str")
    cluster.kubectl("apply", "-f", str(PODS))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/two", "-n", "str", "--timeout=30s")
    cluster.kubectl("wait", "--for=condition=Available", "deployment/dep", "-n", "str", "--timeout=30s")
    time.sleep(4)  # for some lines of log, and for the pod that crashes to have crashed twice
    both: dict[str, tuple[Any, Any]] = {}
    for name, row in ROWS.items():
        if "curl" in row:
            exit_code = "still running" if isinstance(row["exit"], str) else row["exit"]
            curl = [row["curl"]["exit"], text(row["curl"]["out"])] if row["curl"] else ""
            real = [exit_code, text(row["stdout"]), text(row["stderr"]), curl]
            both[name] = (real, forwarded(cluster, row))
            continue
        code, out, err = cluster.kubectl(*row["args"], stdin=row["stdin"], timeout=20)
        both[name] = (
            [row["exit"], text(row["stdout"]), text(row["stderr"])],
            [code, text(out), text(err)],
        )
    return both


@pytest.mark.cluster
@pytest.mark.parametrize("name", ROWS)
def test_the_answer_is_that_of_a_real_cluster_to(name: str, answers: dict[str, tuple[Any, Any]]) -> None:
    assert_same("streams", name, *answers[name])
