"""The scheduler, and what the cluster begins with."""

from __future__ import annotations

import pytest

from labkit.pocket.controllers.bootstrap import bootstrap
from labkit.pocket.controllers.cluster import ClusterFacts
from labkit.pocket.controllers.placement import explanation, objection
from tests.pocket.controllers.lab_cluster import LabCluster, pod


def scheduled(cluster: LabCluster, name: str) -> dict:
    status = cluster.api.get("pods", name, "default").get("status") or {}
    return next((c for c in status.get("conditions") or () if c["type"] == "PodScheduled"), {})


async def test_a_pod_is_bound_to_the_node_with_condition_and_event(cluster: LabCluster) -> None:
    cluster.api.create("pods", pod("a"))
    await cluster.until(lambda: cluster.api.get("pods", "a", "default")["spec"].get("nodeName") == "pocket")
    assert scheduled(cluster, "a")["status"] == "True"
    assert cluster.events("Scheduled") == ["Successfully assigned default/a to pocket"]


async def test_a_pod_that_fits_nowhere_waits_and_is_told_why_until_it_fits(cluster: LabCluster) -> None:
    cluster.api.create("pods", pod("a", nodeSelector={"disk": "ssd"}))
    await cluster.until(lambda: scheduled(cluster, "a").get("reason") == "Unschedulable")
    message = (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to "
        "deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    assert cluster.events("FailedScheduling") == [message]
    assert scheduled(cluster, "a")["message"] == message

    def label(copy: dict) -> dict:
        copy["metadata"]["labels"]["disk"] = "ssd"
        return copy

    cluster.api.modify("nodes", "pocket", None, label)
    await cluster.until(lambda: scheduled(cluster, "a").get("status") == "True")


async def test_a_pod_of_another_scheduler_is_left_to_it(cluster: LabCluster) -> None:
    cluster.api.create("pods", pod("a", schedulerName="mine"))
    await cluster.quiet()
    assert not cluster.api.get("pods", "a", "default")["spec"].get("nodeName")


NODE = {"metadata": {"name": "n", "labels": {"os": "linux", "size": "5"}}, "spec": {}}
TAINTED = {**NODE, "spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}
CORDONED = {**NODE, "spec": {"unschedulable": True}}


def wants(*expressions: dict, **spec: object) -> dict:
    required = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return {"spec": {"affinity": affinity, **spec}}


@pytest.mark.parametrize(
    ("wish", "node", "expected"),
    [
        ({"spec": {}}, NODE, None),
        ({"spec": {}}, CORDONED, "node(s) were unschedulable"),
        ({"spec": {}}, TAINTED, "node(s) had untolerated taint {k: v}"),
        ({"spec": {"tolerations": [{"operator": "Exists"}]}}, TAINTED, None),
        ({"spec": {"tolerations": [{"operator": "Exists"}]}}, CORDONED, None),
        ({"spec": {"tolerations": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}, TAINTED, None),
        (
            {"spec": {"tolerations": [{"key": "k", "value": "other"}]}},
            TAINTED,
            "node(s) had untolerated taint {k: v}",
        ),
        (wants({"key": "os", "operator": "In", "values": ["linux"]}), NODE, None),
        (wants({"key": "size", "operator": "Gt", "values": ["4"]}), NODE, None),
        (
            wants({"key": "size", "operator": "Lt", "values": ["4"]}),
            NODE,
            "node(s) didn't match Pod's node affinity/selector",
        ),
        (wants(), NODE, "node(s) didn't match Pod's node affinity/selector"),
    ],
)
def test_objections(wish: dict, node: dict, expected: str | None) -> None:
    assert objection(wish, node) == expected


def test_no_node_at_all_has_its_own_words() -> None:
    assert explanation([]) == "no nodes available to schedule pods"


async def test_the_cluster_begins_with_its_namespaces_and_services(cluster: LabCluster) -> None:
    api = cluster.api
    assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= cluster.names("namespaces", None)
    assert api.get("services", "kubernetes", "default")["spec"]["clusterIP"] == "10.96.0.1"
    endpoints = api.get("endpoints", "kubernetes", "default")["subsets"]
    assert endpoints[0]["addresses"] == [{"ip": "172.18.0.2"}]
    assert endpoints[0]["ports"] == [{"name": "https", "port": 6443, "protocol": "TCP"}]
    assert api.get("endpointslices.discovery.k8s.io", "kubernetes", "default")["endpoints"]
    assert api.get("services", "kube-dns", "kube-system")["spec"]["clusterIP"] == "10.96.0.10"
    await cluster.until(lambda: api.list("pods", "kube-system", label_selector="k8s-app=kube-dns"))
    corefile = api.get("configmaps", "coredns", "kube-system")["data"]["Corefile"]
    assert "kubernetes cluster.local in-addr.arpa" in corefile


async def test_a_second_start_keeps_edits_and_does_not_bring_dns_back(cluster: LabCluster) -> None:
    cluster.change("configmaps", "coredns", lambda c: c.update(data={"Corefile": "mine"}), "kube-system")
    cluster.api.delete("services", "kube-dns", "kube-system")
    cluster.change("endpoints", "kubernetes", lambda e: e.update(subsets=[]))
    bootstrap(cluster.api, ClusterFacts())
    assert cluster.api.get("configmaps", "coredns", "kube-system")["data"] == {"Corefile": "mine"}
    assert cluster.api.find("services", "kube-dns", "kube-system") is None
    assert cluster.api.get("endpoints", "kubernetes", "default")["subsets"]
