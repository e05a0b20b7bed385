"""A pod whose image has no shell and no tools is tried from an ephemeral container; what policies select stays what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.cluster import Cluster
from labkit.policy import Flow, Verdict, World, truth_table
from labkit.traffic import probe

from .bareimage import REFERENCE, bare_image
from .conftest import KindCluster
from .test_a_cluster import AGNHOST

PORT = 8080


def pod(name: str, namespace: str, **container: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "imagePullPolicy": "IfNotPresent", **container}],
        },
    }


@pytest.fixture(scope="module")
def bare(kind_cluster: KindCluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with one program and nothing else, on every node."""
    kind_cluster.load(bare_image(tmp_path_factory.mktemp("bare")))
    return REFERENCE


@pytest.fixture
def ends(kind_cluster: KindCluster, room: str, bare: str) -> Flow:
    """From a pod without tools to a server."""
    ports = [{"name": "http", "containerPort": PORT}]
    server = pod("server", room, image=AGNHOST, args=["netexec", f"--http-port={PORT}"], ports=ports)
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "door", "namespace": room},
        "spec": {
            "podSelector": {"matchLabels": {"app": "server"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "bare"}}}], "ports": [{"port": "http"}]}],
        },
    }  # fmt: skip
    objects = [pod("bare", room, image=bare), server, policy]
    kind_cluster.cluster.apply(objects)
    kind_cluster.cluster.wait_ready(objects[:2], timeout=120)
    return Flow(f"{room}/bare", f"{room}/server", PORT)


def what_policies_see(world: World, room: str) -> tuple[Any, ...]:
    """Labels, addresses and ports of the pods of a namespace, whom each policy selects, and what they decide together."""
    pods = {key: (dict(p.labels), p.ips, p.ports) for key, p in world.pods.items() if p.namespace == room}
    selected = {
        key: sorted(one for one in pods if policy.selects(world.pods[one]))
        for key, policy in world.policies.items()
    }
    table = truth_table(world, [(PORT, "TCP")], sorted(pods), sorted(pods))
    return pods, selected, dict(world.namespaces[room].labels), table.to_text(PORT)


def test_it_is_tried_from_an_ephemeral_container_which_is_used_again(
    kind_cluster: KindCluster, room: str, ends: Flow
) -> None:
    cluster = kind_cluster.cluster
    before = what_policies_see(cluster.snapshot(), room)
    closed = Flow(ends.source, ends.destination, 9999)
    for _ in range(2):
        found = probe(cluster, [ends, closed])
        assert found[ends].verdict is Verdict.OK, found
        assert found[ends].evidence["through"] == "ephemeral container labkit-probe"
        assert found[closed].verdict in (Verdict.REFUSED, Verdict.TIMEOUT)  # as the network enforces or not
    found_pod = cluster.get("pods", "bare", room)
    assert found_pod is not None
    assert [one["name"] for one in found_pod["spec"]["ephemeralContainers"]] == ["labkit-probe"]
    assert what_policies_see(cluster.snapshot(), room) == before


def test_one_that_has_ended_gets_a_successor(kind_cluster: KindCluster, room: str, ends: Flow) -> None:
    cluster = kind_cluster.cluster
    assert probe(cluster, [ends])[ends].verdict is Verdict.OK
    cluster.exec(room, "bare", ["sh", "-c", "kill 1"], container="labkit-probe")
    cluster.wait("pods", "bare", namespace=room, condition=has_ended, timeout=30)
    seen = probe(cluster, [ends])[ends]
    assert (seen.verdict, seen.evidence["through"]) == (Verdict.OK, "ephemeral container labkit-probe-2")


def has_ended(found: Mapping[str, Any]) -> bool:
    statuses = found["status"].get("ephemeralContainerStatuses", [])
    return any("terminated" in one["state"] for one in statuses)


@pytest.fixture
def without_the_right(kind_cluster: KindCluster, room: str, tmp_path: Path) -> Iterator[Cluster]:
    """The same cluster as somebody who may look at pods and run commands in them, and no more."""
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"]},
    ]
    name = f"looker-{room}"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subjects = [{"kind": "ServiceAccount", "name": "looker", "namespace": room}]
    version = "rbac.authorization.k8s.io/v1"
    objects = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "looker", "namespace": room}},
        {"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {"apiVersion": version, "kind": "ClusterRoleBinding", "metadata": {"name": name}, "roleRef": role, "subjects": subjects},
    ]  # fmt: skip
    kind_cluster.cluster.apply(objects)
    token = kind_cluster.kubectl("create", "token", "looker", "-n", room).stdout
    config = yaml.safe_load(kind_cluster.kubeconfig.read_text())
    context = next(one for one in config["contexts"] if one["name"] == kind_cluster.context)
    context["context"]["user"] = "looker"
    config["users"] = [{"name": "looker", "user": {"token": token}}]
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    yield Cluster.connect(path, kind_cluster.context)
    kind_cluster.cluster.delete_objects(objects[1:])


def test_where_that_is_not_allowed_it_says_so(without_the_right: Cluster, ends: Flow) -> None:
    seen = probe(without_the_right, [ends])[ends]
    assert seen.verdict is None
    assert "to try anything with" in seen.reason
    assert "the lab may not put an ephemeral container beside it" in seen.reason
    assert "ephemeralcontainers" in seen.reason


def test_a_namespace_that_admits_only_restricted_pods_admits_it(
    kind_cluster: KindCluster, room: str, bare: str
) -> None:
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    kind_cluster.cluster.patch("namespaces", room, label)
    restricted = {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    source = pod("bare", room, image=bare, securityContext=restricted)
    kind_cluster.cluster.apply([source])
    kind_cluster.cluster.wait_ready([source], timeout=60)
    dns = next(
        p for p in kind_cluster.cluster.snapshot().pods.values() if p.labels.get("k8s-app") == "kube-dns"
    )
    flow = Flow(f"{room}/bare", dns.key, 53, "UDP")
    assert probe(kind_cluster.cluster, [flow])[flow].verdict is Verdict.OK
