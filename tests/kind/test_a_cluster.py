"""A real kind cluster from the outside: listed, asked, worked with as any other. All tests share one."""

from __future__ import annotations

import json
import os
import select
import stat
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest

from labkit.policy import Flow, Verdict
from labkit.traffic import probe

from .conftest import BIN, KindCluster

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.56"


def pod(name: str, **labels: str) -> dict[str, object]:
    """A pod that answers HTTP on port 80, from the image that every node image for tests has."""
    container = {
        "name": "main",
        "image": AGNHOST,
        "imagePullPolicy": "IfNotPresent",
        "args": ["netexec", "--http-port=80"],
        "ports": [{"containerPort": 80}],
    }
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name, **labels}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }  # fmt: skip


@pytest.fixture
def own_cluster(kind_cluster: KindCluster) -> KindCluster:
    """The shared cluster, if this session has made it; a standing one is not in its home."""
    if not (kind_cluster.home / "kind").exists():
        pytest.skip("a standing cluster, of which this home knows nothing")
    return kind_cluster


@pytest.fixture
def two_pods(kind_cluster: KindCluster, room: str) -> str:
    """A namespace with the pods `client` and `server`, ready."""
    pods = [pod("client"), pod("server")]
    kind_cluster.cluster.apply(pods, namespace=room)
    kind_cluster.cluster.wait_ready(pods, namespace=room, timeout=60)
    return room


def test_it_is_real_kubernetes_of_one_node(kind_cluster: KindCluster) -> None:
    assert kind_cluster.cluster.version().startswith("v1.")
    nodes = kind_cluster.cluster.list("nodes")
    assert [node["metadata"]["name"] for node in nodes] == [f"{kind_cluster.kind_name}-control-plane"]
    assert kind_cluster.context == f"kind-{kind_cluster.kind_name}"


def test_it_is_listed_and_its_status_told_as_any_clusters(own_cluster: KindCluster) -> None:
    listed = json.loads(own_cluster.labkit("list", "-o", "json").stdout)
    assert [(one["name"], one["provider"], one["running"]) for one in listed] == [
        (own_cluster.name, "kind", True)
    ]
    told = own_cluster.labkit("status", own_cluster.name).stdout
    assert f"{own_cluster.kind_name}-control-plane (control-plane, running)" in told
    exported = own_cluster.labkit("env", own_cluster.name).stdout
    assert exported == f"export KUBECONFIG={own_cluster.kubeconfig}\n"
    assert stat.S_IMODE(own_cluster.kubeconfig.stat().st_mode) == 0o600


def test_up_finds_it_and_changes_nothing(own_cluster: KindCluster) -> None:
    before = own_cluster.kubeconfig.read_bytes()
    uid = own_cluster.cluster.get("namespaces", "kube-system")["metadata"]["uid"]  # type: ignore[index]
    done = own_cluster.labkit("up", own_cluster.name, "--provider", "kind")
    assert "is up" in done.stdout
    assert own_cluster.kubeconfig.read_bytes() == before
    assert own_cluster.cluster.get("namespaces", "kube-system")["metadata"]["uid"] == uid  # type: ignore[index]


def test_objects_are_applied_commands_run_and_logs_read(kind_cluster: KindCluster, two_pods: str) -> None:
    done = kind_cluster.cluster.exec(two_pods, "client", ["/agnhost", "connect", "server:80", "--timeout=1s"])
    assert done.exit_code != 0  # no Service is called so
    assert "DNS" in done.stdout + done.stderr
    address = kind_cluster.cluster.get("pods", "server", two_pods)["status"]["podIP"]  # type: ignore[index]
    done = kind_cluster.cluster.exec(
        two_pods, "client", ["/agnhost", "connect", f"{address}:80", "--timeout=5s"]
    )
    assert done.exit_code == 0
    assert "Started HTTP server" in kind_cluster.cluster.logs(two_pods, "server")


def test_flows_are_probed_from_its_pods(kind_cluster: KindCluster, two_pods: str) -> None:
    flows = [Flow(f"{two_pods}/client", f"{two_pods}/server", port) for port in (80, 81)]
    observed = probe(kind_cluster.cluster, flows)
    assert [observed[flow].verdict for flow in flows] == [Verdict.OK, Verdict.REFUSED]


def test_a_pods_port_is_forwarded_to_this_machine(kind_cluster: KindCluster, two_pods: str) -> None:
    command = [
        BIN / "kubectl",
        "--kubeconfig",
        kind_cluster.kubeconfig,
        "-n",
        two_pods,
        "port-forward",
        "pod/server",
        ":80",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            assert select.select([forward.stdout], [], [], 30)[0], "port-forward said nothing within 30 s"
            port = forward.stdout.readline().rpartition(" -> ")[0].rpartition(":")[2]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/hostname", timeout=10) as answer:
                assert answer.read() == b"server"
        finally:
            forward.terminate()


def test_the_lab_opens_on_it_with_kubectl_set(own_cluster: KindCluster) -> None:
    command = [BIN / "labkit", "lab", "--provider", "kind", "--name", own_cluster.name, "--no-browser"]
    env = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "LABKIT_PAPER")}
    with subprocess.Popen(
        command,
        env={**env, "LABKIT_HOME": str(own_cluster.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as lab:
        try:
            assert lab.stdout is not None
            late = threading.Timer(120, lab.kill)  # ends the reading below
            late.start()
            said = []
            for line in lab.stdout:
                said.append(line)
                if "/lab/tree/notebooks/00-find-your-way" in line:
                    break
            assert f"Cluster {own_cluster.name} is up" in "".join(said)
            variables = Path(f"/proc/{lab.pid}/environ").read_bytes().decode().split("\0")
            assert f"KUBECONFIG={own_cluster.kubeconfig}" in variables
        finally:
            late.cancel()
            lab.terminate()
            try:
                lab.wait(timeout=30)
            except subprocess.TimeoutExpired:
                lab.kill()


def test_its_logs_are_exported(own_cluster: KindCluster, tmp_path: Path) -> None:
    done = own_cluster.labkit("logs", "export", own_cluster.name, str(tmp_path / "logs"))
    assert "files in" in done.stdout
    node = tmp_path / "logs" / f"{own_cluster.kind_name}-control-plane"
    assert (node / "serial.log").stat().st_size > 0
    assert list((node / "containers").glob("kube-apiserver-*"))
    assert "Starting control-plane" in (tmp_path / "logs" / "kind-create.log").read_text()
