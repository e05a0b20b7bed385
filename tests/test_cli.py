"""The command line as a learner types it: each command is a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import websocket

LABKIT = Path(sys.executable).parent / "labkit"
KUBECTL = Path(sys.executable).parent / "kubectl"


def run(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = (
        {k: v for k, v in os.environ.items() if k != "KUBECONFIG"}
        | {"LABKIT_HOME": str(home), "HOME": str(home)}
        | environment
    )
    return subprocess.run(
        [LABKIT, *arguments], capture_output=True, text=True, env=env, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def home(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from labkit.pocket import lifecycle

    folder = tmp_path_factory.mktemp("home")
    yield folder
    for cluster in lifecycle.list_clusters(folder):
        lifecycle.down(cluster.name, home=folder)
    shutil.rmtree(folder, ignore_errors=True)


def test_help_names_every_command_for_a_learner(tmp_path: Path) -> None:
    done = run("--help", home=tmp_path)
    for word in ("up", "down", "list", "status", "env", "doctor", "lab", "First steps"):
        assert word in done.stdout


def test_a_cluster_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    for command in ("status", "env", "down"):
        done = run(command, "nowhere", home=tmp_path)
        assert done.returncode == 1
        assert "nowhere" in done.stderr
        assert "Traceback" not in done.stderr
    assert "labkit up nowhere" in run("status", "nowhere", home=tmp_path).stderr


def test_a_name_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    done = run("up", "No Good", home=tmp_path)
    assert done.returncode == 1
    assert "cannot be a cluster's name" in done.stderr


def test_an_unknown_provider_is_told_with_those_there_are(tmp_path: Path) -> None:
    assert "pocket" in run("up", "--provider", "cloud", home=tmp_path).stderr


@pytest.mark.cluster
def test_a_cluster_from_up_to_down(home: Path) -> None:
    up = run("up", "one", home=home)
    assert up.returncode == 0, up.stderr
    assert 'eval "$(labkit env one)"' in up.stdout
    status = json.loads(run("status", "one", "-o", "json", home=home).stdout)
    assert status["context"] == "labkit-one"
    assert Path(f"/proc/{status['pid']}").exists()
    assert [c["name"] for c in json.loads(run("list", "-o", "json", home=home).stdout)] == ["one"]
    # `eval "$(labkit env one)"; kubectl ...` in a shell
    exported = run("env", "one", home=home).stdout
    pods = subprocess.run(
        ["sh", "-ec", f"{exported}\n{KUBECTL} get namespaces -o name"],
        capture_output=True,
        text=True,
        check=True,
        cwd=home,
    )
    assert "namespace/kube-system" in pods.stdout
    down = run("down", "one", "-o", "json", home=home)
    assert json.loads(down.stdout) == {"name": "one", "deleted": True}
    assert run("list", home=home).stdout.startswith("No clusters")
    assert not Path(f"/proc/{status['pid']}").exists()


@pytest.mark.cluster
def test_rules_of_a_pod_are_shown_as_the_node_has_them(home: Path) -> None:
    run("up", "two", home=home)
    exported = run("env", "two", home=home).stdout
    manifest = Path(__file__).resolve().parents[1] / "clusters" / "demos" / "helidon" / "helidon.yaml"
    policy = Path(__file__).resolve().parents[1] / "notebooks" / "02-and-or" / "policies" / "callers.yaml"
    script = f"{exported}\n{KUBECTL} apply -f {manifest} -f {policy}\n"
    script += f"{KUBECTL} wait -n helidon pod/helidon --for=condition=Ready --timeout=20s"
    subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=True, cwd=home)
    done = run("node", "rules", "helidon", "-n", "helidon", "--name", "two", home=home)
    assert "helidon-callers" in done.stdout
    assert "counter" in done.stdout
    assert "not found" in run("node", "rules", "nobody", "--name", "two", home=home).stderr
    run("down", "two", home=home)


@pytest.mark.cluster
def test_doctor_says_for_each_provider_whether_it_can_run(home: Path) -> None:
    reports = {
        report["provider"]: report for report in json.loads(run("doctor", "-o", "json", home=home).stdout)
    }
    assert reports["pocket"]["ok"]
    assert reports["pocket"]["findings"]
    assert not reports["existing"]["ok"]


def test_doctor_on_a_machine_that_forbids_namespaces_gives_the_exact_command(tmp_path: Path) -> None:
    """A user namespace of its own has its own limit, so this machine can be made to forbid more of them, for one process."""
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = ["unshare", "-Ur", "sh", "-c", forbid, "sh", str(LABKIT), "doctor", "-o", "json"]
    env = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"} | {
        "LABKIT_HOME": str(tmp_path),
        "HOME": str(tmp_path),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if "unshare" in done.stderr or "Permission denied" in done.stderr:
        pytest.skip(f"no user namespace to try this in: {done.stderr.strip()}")
    pocket = next(report for report in json.loads(done.stdout) if report["provider"] == "pocket")
    assert not pocket["ok"]
    assert "sysctl" in json.dumps(pocket)
    assert "user.max_user_namespaces" in json.dumps(pocket)


def terminal(port: str, token: str, command: str) -> str:
    """What a command prints in a terminal of JupyterLab."""
    headers = {"Authorization": f"token {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/terminals", method="POST", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        name = json.load(answer)["name"]
    socket = websocket.create_connection(
        f"ws://127.0.0.1:{port}/terminals/websocket/{name}",
        header=[f"Authorization: token {token}"],
        timeout=30,
    )
    try:
        socket.send(json.dumps(["stdin", f"{command}; echo finis''hed\r"]))
        text = ""
        while "finished" not in text:
            kind, *rest = json.loads(socket.recv())
            text += rest[0] if kind == "stdout" else ""
        return text
    finally:
        socket.close()


def test_the_lab_opens_without_a_cluster_where_none_can_run_and_says_why(tmp_path: Path) -> None:
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = ["unshare", "-Ur", "sh", "-c", forbid, "sh", str(LABKIT), "lab", "--no-browser"]
    env = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"}
    env |= {"LABKIT_HOME": str(tmp_path), "HOME": str(tmp_path)}
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=env, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while "/lab/tree/notebooks/00-find-your-way" not in log.read_text() and time.monotonic() < deadline:
            if process.poll() is not None and "unshare" in log.read_text():
                pytest.skip(f"no user namespace to try this in: {log.read_text().strip()}")
            time.sleep(0.2)
        text = log.read_text()
        assert "user.max_user_namespaces" in text
        assert "the lab works by the model alone" in text
        assert "/lab/tree/notebooks/00-find-your-way" in text
    finally:
        process.terminate()
        process.wait(15)


@pytest.mark.cluster
def test_the_lab_opens_with_a_cluster_and_its_second_start_is_quick(home: Path, tmp_path: Path) -> None:
    """`labkit lab` without a screen prints JupyterLab's address and leaves kubectl talking to the cluster."""
    env = {k: v for k, v in os.environ.items() if k not in ("KUBECONFIG", "DISPLAY", "WAYLAND_DISPLAY")}
    env |= {
        "LABKIT_HOME": str(home),
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(tmp_path),
        "JUPYTER_RUNTIME_DIR": str(tmp_path),
    }
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [LABKIT, "lab", "--name", "three"],
            stdout=output,
            stderr=output,
            env=env,
            stdin=subprocess.DEVNULL,
        )
    try:
        deadline = time.monotonic() + 60
        while "/lab/tree/notebooks/00-find-your-way" not in log.read_text() and time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        text = log.read_text()
        assert "Cluster three is up" in text
        address = re.search(r"http://(?:127.0.0.1|localhost):(\d+)/lab\S*token=(\w+)", text)
        assert address
        assert "namespace/kube-system" in terminal(*address.groups(), "kubectl get namespaces -o name")
    finally:
        process.terminate()
        process.wait(15)
    assert json.loads(run("status", "three", "-o", "json", home=home).stdout)["running"]
    run("down", "three", home=home)
