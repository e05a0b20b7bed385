"""kubectl's streams and rollouts against a whole pocket cluster: API over TLS, controllers, node, real
processes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: registry.k8s.io/e2e-test-images/agnhost:2.53
        args: [netexec, --http-port=8080]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""


class Kubectl:
    """The real kubectl at a cluster."""

    def __init__(self, kubeconfig: Path) -> None:
        beside = Path(sys.executable).parent / "kubectl"
        program = str(beside) if beside.exists() else shutil.which("kubectl")
        if program is None:
            pytest.skip("no kubectl here")
        self.kubeconfig = kubeconfig
        cache = kubeconfig.parent / "kubectl-cache"
        self.command = [program, f"--kubeconfig={kubeconfig}", f"--cache-dir={cache}"]

    def run(self, *arguments: str, stdin: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """The output of a command that must succeed."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    from labkit.pocket import lifecycle
    from labkit.pocket.errors import PocketError

    home = tmp_path_factory.mktemp("home")
    try:
        info = lifecycle.up("streams", home=home)
    except PocketError as error:
        if "did not start" in str(error):
            raise
        pytest.skip(f"no pocket cluster on this machine: {error}")
    kubectl = Kubectl(info.kubeconfig)
    try:
        kubectl("apply", "-f", "-", stdin=WEB)
        kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        yield kubectl
    finally:
        lifecycle.down("streams", home=home)


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_exec_runs_in_the_container_and_tells_its_exit_code(
    kubectl: Kubectl, websockets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
    done = kubectl.run("exec", "-i", "deploy/web", "--", "sh", "-c", "cat; hostname; exit 6", stdin="hello\n")
    assert done.returncode == 6
    lines = done.stdout.split()
    assert lines[0] == "hello"
    assert lines[1].startswith("web-")
    assert "command terminated with exit code 6" in done.stderr


def test_exec_of_a_command_that_is_not_there(kubectl: Kubectl) -> None:
    done = kubectl.run("exec", "deploy/web", "--", "nosuch")
    assert done.returncode != 0
    assert 'exec: "nosuch": executable file not found in $PATH' in done.stderr


def talk(kubectl: Kubectl, arguments: list[str], lines: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """Run kubectl in a terminal: send each text after its pattern has been seen; gives exit code and
    output."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*kubectl.command, *arguments], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen, end = b"", time.monotonic() + 40
    try:
        for pattern, text in lines:
            while not re.search(pattern, seen):
                assert time.monotonic() < end, seen
                if select.select([ours], [], [], 0.5)[0]:
                    seen += os.read(ours, 4096)
            os.write(ours, text)
        while process.poll() is None:
            assert time.monotonic() < end, seen
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    seen += os.read(ours, 4096)
                except OSError:
                    break  # the last process has closed the terminal
        return process.wait(10), seen
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_run_rm_it_gives_a_shell_and_cleans_up(kubectl: Kubectl) -> None:
    arguments = ["run", "shell", "--rm", "-it", "--restart=Never", "--image=busybox", "--", "sh"]
    # what is typed is echoed by the terminal, so the pattern is what only the shell can answer
    _, seen = talk(
        kubectl,
        arguments,
        [(b"command prompt|[#$] ", b"echo answer-$((40+2))\n"), (b"answer-42", b"exit 0\n")],
    )
    assert b'pod "shell" deleted' in seen
    assert kubectl.run("get", "pod", "shell").returncode == 1


def test_logs_that_are_followed_end_with_the_container(kubectl: Kubectl) -> None:
    script = "for i in 1 2 3; do echo line-$i; sleep 0.2; done"
    kubectl("run", "counter", "--restart=Never", "--image=busybox", "--", "sh", "-c", script)
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/counter", "--timeout=20s")
    assert kubectl("logs", "-f", "counter") == "line-1\nline-2\nline-3\n"
    assert kubectl("logs", "counter", "--tail=1") == "line-3\n"
    assert re.fullmatch(
        r"\d{4}-\S+Z line-1\n", kubectl("logs", "counter", "--timestamps", "--limit-bytes=38")
    )
    done = kubectl.run("logs", "counter", "--previous")
    assert 'previous terminated container "counter" in pod "counter" not found' in done.stderr


def test_attach_joins_a_running_container(kubectl: Kubectl) -> None:
    kubectl("run", "reader", "--restart=Never", "-i", "--attach=false", "--image=busybox", "--", "sh", "-c",
            "read x; echo got $x")  # fmt: skip
    kubectl("wait", "--for=condition=Ready", "pod/reader", "--timeout=20s")
    assert "got hello" in kubectl("attach", "-i", "reader", stdin="hello\n")


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_port_forward_reaches_a_service_and_says_when_nobody_listens(
    kubectl: Kubectl, websockets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)

    def forward(what: str, port: int) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [*kubectl.command, "port-forward", "--address=127.0.0.1", what, f":{port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        match = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert match
        return process, int(match[1])

    process, local = forward("service/web", 80)
    for _ in range(3):
        with urllib.request.urlopen(f"http://127.0.0.1:{local}/hostname", timeout=5) as answer:
            assert answer.read().startswith(b"web-")
    process.terminate()
    process.communicate(timeout=10)

    process, local = forward("deploy/web", 9999)
    with pytest.raises(OSError):  # noqa: PT011 - closed or reset, as it comes
        urllib.request.urlopen(f"http://127.0.0.1:{local}/", timeout=5)
    _, err = process.communicate(timeout=10)
    assert "dial tcp4 127.0.0.1:9999: connect: connection refused" in err


def test_the_official_client_runs_commands_and_forwards_ports(kubectl: Kubectl) -> None:
    from kubernetes import client, config
    from kubernetes.stream import portforward, stream

    core = client.CoreV1Api(config.new_client_from_config(str(kubectl.kubeconfig)))
    name = core.list_namespaced_pod("default", label_selector="app=web").items[0].metadata.name
    exec_ = core.connect_get_namespaced_pod_exec
    assert stream(exec_, name, "default", command=["hostname"], stdout=True).strip() == name
    forward = portforward(core.connect_get_namespaced_pod_portforward, name, "default", ports="8080")
    connection = forward.socket(8080)
    connection.setblocking(True)
    connection.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
    answer = b""
    while not answer.endswith(name.encode()):
        piece = connection.recv(1000)
        assert piece, answer
        answer += piece
    connection.close()


def test_rollouts_are_watched_listed_undone_and_restarted(kubectl: Kubectl) -> None:
    kubectl("set", "env", "deployment/web", "COLOUR=blue")
    status = kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert 'deployment "web" successfully rolled out' in status
    assert re.findall(r"^(\d+) ", kubectl("rollout", "history", "deployment/web"), re.MULTILINE) == ["1", "2"]
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert re.findall(r"^(\d+) ", kubectl("rollout", "history", "deployment/web"), re.MULTILINE) == ["2", "3"]
    kubectl("rollout", "restart", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("rollout", "pause", "deployment/web")
    kubectl("set", "env", "deployment/web", "COLOUR=red")
    kubectl("scale", "deployment/web", "--replicas=3")
    kubectl("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=3", "--timeout=30s")
    pods = json.loads(kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    assert not any(pod["spec"]["containers"][0].get("env") for pod in pods)
    kubectl("rollout", "resume", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    described = kubectl("describe", "deployment", "web")
    assert "Scaled up replica set web-" in described
    assert re.search(r"Available +True +MinimumReplicasAvailable", described)


def test_a_namespace_goes_with_all_that_is_in_it(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "shop")
    kubectl("apply", "-n", "shop", "-f", "-", stdin=WEB)
    kubectl("rollout", "status", "-n", "shop", "deployment/web", "--timeout=60s")
    kubectl("delete", "namespace", "shop", "--timeout=30s")
    assert 'namespaces "shop" not found' in kubectl.run("get", "namespace", "shop").stderr


def test_deleting_in_the_foreground_waits_for_the_pods(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "gone", "--image=registry.k8s.io/pause:3.10", "--replicas=2")
    kubectl("rollout", "status", "deployment/gone", "--timeout=60s")
    kubectl("delete", "deployment", "gone", "--cascade=foreground", "--timeout=60s")
    assert kubectl("get", "pods,replicasets", "-l", "app=gone", "-o", "name") == ""


@pytest.mark.parametrize("script", ["echo told", "echo told; sleep 0.4", "sleep 0.2; echo told"])
def test_the_output_of_a_short_command_comes_once_whenever_kubectl_attaches(
    kubectl: Kubectl, script: str
) -> None:
    arguments = ["run", "brief", "--rm", "-i", "--restart=Never", "--image=busybox", "--", "sh", "-c", script]
    done = kubectl.run(*arguments)
    assert (done.returncode, done.stdout.count("told")) == (0, 1), done.stderr
