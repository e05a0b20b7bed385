"""The cluster client against a pocket cluster, beside the real kubectl."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from labkit.cluster import (
    ApplyError,
    Cluster,
    ClusterUnreachable,
    ExecError,
    Invalid,
    NoSuchContext,
    NotFound,
    WaitTimeout,
)
from labkit.policy import ObjectKey, YamlError

pytestmark = pytest.mark.cluster

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: registry.k8s.io/e2e-test-images/agnhost:2.56
    args: [netexec]
  - name: other
    image: registry.k8s.io/e2e-test-images/agnhost:2.56
    command: [sleep, "600"]
    env: [{name: WHO, value: the other one}]
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: closed
spec:
  podSelector:
    matchLabels: {app: web}
  ingress:
  - from:
    - podSelector:
        matchLabels: {role: friend}
"""


def actions(done: list[Any]) -> list[str]:
    return [action for _, action in done]


@pytest.fixture
def kubectl(kubeconfig: Path, room: str):
    binary = Path(sys.executable).parent / "kubectl"
    if not binary.exists():
        pytest.skip("no kubectl beside this Python")

    def act(*words: str, stdin: str = "") -> str:
        command = [str(binary), "--kubeconfig", str(kubeconfig), "-n", room, *words]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout

    return act


@pytest.fixture
def pod(cluster: Cluster, room: str) -> str:
    cluster.apply(POD, namespace=room)
    cluster.wait("pod", "web", namespace=room)
    return room


class TestApply:
    def test_created_then_unchanged_then_configured(self, cluster: Cluster, room: str) -> None:
        assert actions(cluster.apply(POLICY, namespace=room)) == ["created"]
        assert actions(cluster.apply(POLICY, namespace=room)) == ["unchanged"]
        assert actions(cluster.apply(POLICY.replace("friend", "foe"), namespace=room)) == ["configured"]
        live = cluster.get("NetworkPolicy", "closed", room)
        assert live is not None
        assert live["spec"]["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"role": "foe"}}}]

    def test_kubectl_goes_on_where_it_left_off_and_the_other_way_round(
        self, cluster: Cluster, room: str, kubectl
    ) -> None:
        cluster.apply(POLICY, namespace=room)
        assert kubectl("apply", "-f", "-", stdin=POLICY).strip().endswith("unchanged")
        without = POLICY[: POLICY.index("  ingress:")] + "  policyTypes: [Ingress]\n"
        assert kubectl("apply", "-f", "-", stdin=without).strip().endswith("configured")
        live = cluster.get("netpol", "closed", room)
        assert live is not None
        assert "ingress" not in live["spec"]
        assert actions(cluster.apply(without, namespace=room)) == ["unchanged"]
        assert actions(cluster.apply(POLICY, namespace=room)) == ["configured"]

    def test_labels_that_others_set_survive_an_apply_and_not_a_replace(
        self, cluster: Cluster, room: str
    ) -> None:
        cluster.apply(POLICY, namespace=room)
        cluster.patch("networkpolicies", "closed", {"metadata": {"labels": {"by": "hand"}}}, namespace=room)
        cluster.apply(POLICY.replace("friend", "foe"), namespace=room)
        assert cluster.get("netpol", "closed", room)["metadata"]["labels"] == {"by": "hand"}  # type: ignore[index]
        assert actions(cluster.replace(POLICY, namespace=room)) == ["configured"]
        assert "labels" not in cluster.get("netpol", "closed", room)["metadata"]  # type: ignore[index]

    def test_a_service_keeps_its_address_when_it_is_replaced(self, cluster: Cluster, room: str) -> None:
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s"},
            "spec": {"ports": [{"port": 80}]},
        }
        before = cluster.apply(service, namespace=room)[0].object["spec"]["clusterIP"]
        service["spec"] = {"ports": [{"port": 81}]}
        assert cluster.replace(service, namespace=room)[0].object["spec"]["clusterIP"] == before

    def test_an_unknown_field_is_refused_and_its_line_shown(self, cluster: Cluster, room: str) -> None:
        with pytest.raises(ApplyError) as refused:
            cluster.apply(
                POLICY.replace("podSelector:\n    match", "podSelectr:\n    match"),
                "mine.yaml",
                namespace=room,
            )
        assert 'unknown field "spec.podSelectr"' in str(refused.value)
        assert "mine.yaml, line 7: podSelectr:" in str(refused.value)

    def test_an_invalid_peer_is_refused_in_the_servers_words(self, cluster: Cluster, room: str) -> None:
        bad = POLICY[: POLICY.index("    - podSelector:\n        match")] + "    - {}\n"
        with pytest.raises(ApplyError) as refused:
            cluster.apply(bad, namespace=room)
        problem = refused.value.failures[0][1]
        assert isinstance(problem, Invalid)
        assert "spec.ingress[0].from[0]: Required value: must specify a peer" in str(problem)

    def test_the_good_objects_of_a_bad_file_are_there_as_with_kubectl(
        self, cluster: Cluster, room: str
    ) -> None:
        with pytest.raises(ApplyError) as refused:
            cluster.apply(POLICY + "---" + POLICY.replace("closed", "Not A Name"), namespace=room)
        assert [str(done.key.name) for done in refused.value.applied] == ["closed"]
        assert cluster.get("netpol", "closed", room) is not None

    def test_a_kind_that_is_elsewhere_is_named(self, cluster: Cluster, room: str) -> None:
        with pytest.raises(NotFound, match=r"NetworkPolicy is in networking\.k8s\.io/v1"):
            cluster.apply(POLICY.replace("networking.k8s.io/v1", "extensions/v1beta1"), namespace=room)

    def test_text_that_is_no_yaml_is_a_learners_error(self, cluster: Cluster) -> None:
        with pytest.raises(YamlError):
            cluster.apply("kind: [")


class TestRead:
    def test_kinds_have_many_names(self, cluster: Cluster) -> None:
        names = (
            "netpol",
            "networkpolicy",
            "NetworkPolicy",
            "networkpolicies",
            "networkpolicies.networking.k8s.io",
        )
        assert len({cluster.kinds.named(name) for name in names}) == 1
        with pytest.raises(NotFound, match='the server doesn\'t have a resource type "gizmos"'):
            cluster.list("gizmos")

    def test_what_is_not_there_is_none(self, cluster: Cluster, room: str) -> None:
        assert cluster.get("pods", "nobody", room) is None
        assert cluster.delete("pods", "nobody", room) is False

    def test_lists_take_selectors_and_carry_their_kind(self, cluster: Cluster, pod: str) -> None:
        assert [item["kind"] for item in cluster.list("pods", pod, label_selector="app=web")] == ["Pod"]
        assert cluster.list("pods", pod, label_selector="app!=web") == []

    def test_a_long_list_comes_in_pages(
        self, cluster: Cluster, room: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("labkit.cluster.cluster._PAGE", 3)
        maps = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"m{n}"}} for n in range(8)]
        cluster.apply(maps, namespace=room)
        names = {item["metadata"]["name"] for item in cluster.list("configmaps", room)}
        assert {f"m{n}" for n in range(8)} <= names

    def test_events_and_logs_of_a_pod(self, cluster: Cluster, pod: str) -> None:
        reasons = [event["reason"] for event in cluster.events(about=ObjectKey("Pod", pod, "web"))]
        assert "Started" in reasons
        assert "Started HTTP server on port 8080" in cluster.logs(pod, "web", container="main")


class TestWait:
    def test_it_sees_what_happens_later_without_asking_again(self, cluster: Cluster, room: str) -> None:
        requests = []
        real = cluster.client.request

        def counting(method: str, path: str, **rest: Any) -> Any:
            requests.append(path)
            return real(method, path, **rest)

        cluster.client.request = counting  # type: ignore[method-assign]
        try:
            threading.Timer(0.5, lambda: Cluster(cluster.client).apply(POD, namespace=room)).start()
            found = cluster.wait("pods", "web", namespace=room, timeout=20)
        finally:
            cluster.client.request = real  # type: ignore[method-assign]
        assert found[0]["metadata"]["name"] == "web"
        assert requests.count(f"/api/v1/namespaces/{room}/pods") <= 3  # one list, and the apply's own

    def test_a_pod_whose_image_is_unknown_says_so(self, cluster: Cluster, room: str) -> None:
        cluster.apply(POD.replace("agnhost:2.56", "nothing:2.56"), namespace=room)
        with pytest.raises(
            WaitTimeout, match=r"(?s)not ready after 3 s.*(ErrImagePull|ImagePullBackOff|ContainerCreating)"
        ):
            cluster.wait("pods", "web", namespace=room, timeout=3)

    def test_any_condition_can_be_waited_for(self, cluster: Cluster, pod: str) -> None:
        cluster.wait("pods", label_selector="app=web", namespace=pod, condition="PodScheduled", timeout=5)
        cluster.wait(
            "pods", "web", namespace=pod, condition=lambda obj: obj["status"]["phase"] == "Running", timeout=5
        )
        with pytest.raises(WaitTimeout):
            cluster.wait("pods", "web", namespace=pod, condition="Sleeping", timeout=0.5)

    def test_a_deleted_object_is_gone_when_delete_returns(self, cluster: Cluster, pod: str) -> None:
        assert cluster.delete("pods", "web", pod) is True
        assert cluster.get("pods", "web", pod) is None

    def test_everything_in_a_namespace(self, cluster: Cluster, pod: str) -> None:
        cluster.wait_until_ready([pod], timeout=10)
        cluster.wait_until_ready(["no-such-namespace"], timeout=1)  # nothing there is nothing to wait for


class TestExec:
    def test_output_errors_and_exit_code_come_apart(self, cluster: Cluster, pod: str) -> None:
        done = cluster.exec(pod, "web", ["sh", "-c", "echo out; echo err >&2; exit 7"])
        assert (done.stdout, done.stderr, done.exit_code, done.ok) == ("out\n", "err\n", 7, False)

    def test_input_ends(self, cluster: Cluster, pod: str) -> None:
        text = "line\n" * 50_000
        assert cluster.exec(pod, "web", ["cat"], stdin=text).stdout == text

    def test_the_container_can_be_chosen(self, cluster: Cluster, pod: str) -> None:
        command = ["sh", "-c", "echo $WHO"]
        assert cluster.exec(pod, "web", command, container="other").stdout == "the other one\n"
        assert cluster.exec(pod, "web", command).stdout == "\n"  # the first, as with kubectl

    def test_a_command_that_is_not_there(self, cluster: Cluster, pod: str) -> None:
        with pytest.raises(ExecError, match="executable file not found"):
            cluster.exec(pod, "web", ["no-such-command"])

    def test_a_pod_that_is_not_there(self, cluster: Cluster, room: str) -> None:
        with pytest.raises(NotFound, match='pods "nobody" not found'):
            cluster.exec(room, "nobody", ["true"])

    def test_a_command_without_an_end_is_left(self, cluster: Cluster, pod: str) -> None:
        began = time.monotonic()
        with pytest.raises(WaitTimeout, match=r"did not end within 0\.5 s"):
            cluster.exec(pod, "web", ["sleep", "60"], timeout=0.5)
        assert time.monotonic() - began < 5

    def test_many_at_once(self, cluster: Cluster, pod: str) -> None:
        results: list[str] = []
        threads = [
            threading.Thread(
                target=lambda n=n: results.append(cluster.exec(pod, "web", ["echo", str(n)]).stdout)
            )
            for n in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(int, results)) == list(range(12))


class TestSnapshot:
    def test_it_is_the_world_of_the_engine_with_the_lines_of_the_text(
        self, cluster: Cluster, pod: str
    ) -> None:
        cluster.apply(POLICY, "policy.yaml", namespace=pod)
        world = cluster.snapshot()
        assert f"{pod}/web" in world.pods
        compiled = world.policies[f"{pod}/closed"]
        assert compiled.source is not None
        assert (compiled.source.name, compiled.source.line("spec.ingress[0].from[0].podSelector")) == (
            "policy.yaml",
            11,
        )

    def test_lines_are_forgotten_when_somebody_else_changed_the_object(
        self, cluster: Cluster, pod: str, kubectl
    ) -> None:
        cluster.apply(POLICY, "policy.yaml", namespace=pod)
        change = json.dumps({"spec": {"ingress": []}})
        kubectl("patch", "networkpolicy", "closed", "--type=merge", "-p", change)
        assert ObjectKey("NetworkPolicy", pod, "closed") not in cluster.sources(
            cluster.list("networkpolicies", pod)
        )


class TestConnect:
    def test_a_context_that_is_not_there_names_those_that_are(self, kubeconfig: Path) -> None:
        name = Cluster.connect(kubeconfig).client.context.name
        with pytest.raises(NoSuchContext, match=f'no context "other"; it has: {name}'):
            Cluster.connect(kubeconfig, "other")

    def test_a_server_that_is_not_there_is_unreachable_and_the_message_says_where(
        self, kubeconfig: Path, tmp_path: Path
    ) -> None:
        server = Cluster.connect(kubeconfig).client.server
        moved = tmp_path / "config"
        moved.write_text(kubeconfig.read_text().replace(server, "https://127.0.0.1:1"))
        with pytest.raises(ClusterUnreachable, match=r"at https://127\.0\.0\.1:1: connection refused"):
            Cluster.connect(moved).version()

    def test_a_kubeconfig_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(NoSuchContext, match="cannot read the kubeconfig"):
            Cluster.connect(tmp_path / "none")
