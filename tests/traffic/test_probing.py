"""Probes on a pocket cluster: what they say is what the packets did, and what the engine says they would do."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from labkit.cluster import Cluster
from labkit.policy import Flow, Verdict, decide
from labkit.traffic import HttpRequest, Observation, observe_table, probe, probing

pytestmark = pytest.mark.cluster

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.56"


def pod(namespace: str, name: str, image: str = AGNHOST, **labels: str):
    env = [{"name": key, "value": name} for key in ("SERVE_PORT_80", "SERVE_PORT_81", "SERVE_UDP_PORT_80")]
    container = {"name": "c", "image": image, "args": ["porter"], "env": env}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }  # fmt: skip


def policy(namespace: str, name: str, **spec: object):
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"namespace": namespace, "name": name},
        "spec": {"podSelector": {}, **spec},
    }  # fmt: skip


@pytest.fixture(scope="module")
def demo(cluster: Cluster) -> Iterator[Cluster]:
    """Pods a, b, c in namespace one and d in two; a Service for b."""
    names = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("one", "two")]
    pods = [
        pod("one", "a", app="a"),
        pod("one", "b", app="b"),
        pod("one", "c", app="c"),
        pod("two", "d", app="d"),
    ]
    service = {"selector": {"app": "b"}, "ports": [{"port": 8080, "targetPort": 80}]}
    cluster.apply([*names, *pods, {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "one", "name": "b"},
                                   "spec": service}])  # fmt: skip
    cluster.wait_until_ready(["one", "two", "kube-system"])
    yield cluster
    cluster.delete_objects(names, wait=None)


@pytest.fixture
def policies(demo: Cluster) -> Iterator[Cluster]:
    """The cluster, with every policy taken away afterwards."""
    yield demo
    for item in demo.list("networkpolicies"):
        demo.delete("networkpolicies", item["metadata"]["name"], item["metadata"]["namespace"])


def one(cluster: Cluster, *flow: object, **options: object) -> Observation:
    asked = Flow(*flow)  # type: ignore[arg-type]
    return probe(cluster, [asked], **options)[asked]  # type: ignore[arg-type]


def test_open_closed_and_unserved(demo: Cluster) -> None:
    opened = one(demo, "one/a", "one/b", 80)
    assert (opened.verdict, opened.stable, len(opened.readings)) == (Verdict.OK, True, 2)
    assert opened.evidence["tool"] == "labkit-probe"
    assert opened.evidence["seconds"] < 1
    refused = one(demo, "one/a", "one/b", 9)
    assert (refused.verdict, refused.allowed) == (Verdict.REFUSED, False)
    assert "refused" in str(refused)
    assert one(demo, "one/a", "one/b", 80, "UDP").verdict == Verdict.OK


def test_a_service_is_reached_by_its_name_and_its_port(demo: Cluster) -> None:
    found = one(demo, "two/d", "service:one/b", 8080, http=HttpRequest("GET", "/"))
    assert found.verdict == Verdict.OK
    assert (found.evidence["status"], found.evidence["body"]) == (200, "b")
    assert one(demo, "two/d", "service:one/nobody", 80).verdict == Verdict.DNS


def test_a_table_is_what_the_engine_says(policies: Cluster) -> None:
    friend = {"podSelector": {"matchLabels": {"app": "a"}}}
    policies.apply([
        policy("one", "door", ingress=[{"from": [friend], "ports": [{"port": 80}]}]),
        policy("two", "shut", policyTypes=["Ingress"]),
    ])  # fmt: skip
    pods = ["one/a", "one/b", "one/c", "two/d"]
    table = observe_table(policies, pods, [(80, "TCP"), (81, "TCP"), (80, "UDP")])
    world = policies.snapshot()
    assert len(table) == 4 * 3 * 3
    assert {flow: found.allowed for flow, found in table.items()} == {
        flow: decide(world, flow).allowed for flow in table
    }
    assert {found.verdict for found in table.values()} == {Verdict.OK, Verdict.TIMEOUT}


def test_a_policy_that_forgets_dns_is_seen_as_dns_and_not_as_a_closed_door(policies: Cluster) -> None:
    to_b = {"to": [{"podSelector": {"matchLabels": {"app": "b"}}}]}
    policies.apply(policy("one", "no-names", policyTypes=["Egress"], egress=[to_b]))
    began = time.monotonic()
    by_name = one(policies, "one/a", "service:one/b", 8080)
    assert by_name.verdict == Verdict.DNS
    assert time.monotonic() - began < 8  # the resolver itself would go on for 20 s
    assert "name server" in by_name.evidence["error"]
    assert one(policies, "one/a", "one/b", 80).verdict == Verdict.OK


def test_a_change_is_seen_by_the_next_probe(policies: Cluster) -> None:
    assert one(policies, "one/a", "one/b", 80).allowed
    policies.apply(policy("one", "shut", policyTypes=["Ingress"]))
    assert one(policies, "one/a", "one/b", 80).verdict == Verdict.TIMEOUT
    policies.delete("networkpolicies", "shut", "one")
    assert one(policies, "one/a", "one/b", 80).allowed


def test_without_labkit_probe_the_answer_is_the_same(
    policies: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "_MISSING", {(policies.client.server, AGNHOST)})
    policies.apply(policy("two", "shut", policyTypes=["Ingress"]))
    table = observe_table(policies, ["one/a", "one/b", "two/d"], [(80, "TCP")])
    world = policies.snapshot()
    assert {flow: found.allowed for flow, found in table.items()} == {
        flow: decide(world, flow).allowed for flow in table
    }
    assert {found.evidence["tool"] for found in table.values()} <= {"curl", "agnhost"}
    assert all(len(found.readings) == 2 for found in table.values())


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        ("192.0.2.1", "one/b", "192.0.2.1 is an address outside the cluster"),
        ("one/nobody", "one/b", "one/nobody is not a pod of this cluster"),
        ("one/a", "one/nobody", "there is no pod one/nobody"),
    ],
)
def test_what_cannot_be_tried_says_why(demo: Cluster, source: str, destination: str, reason: str) -> None:
    found = one(demo, source, destination, 80)
    assert (found.verdict, found.allowed) == (None, None)
    assert reason in found.reason


def test_a_pod_that_does_not_run_says_why(demo: Cluster) -> None:
    demo.apply(pod("two", "sick", image="example.com/unknown:1"))
    assert "two/sick is not running (Pending)" in one(demo, "two/sick", "one/b", 80).reason
    demo.delete("pods", "sick", "two")


def test_progress_is_told_pod_by_pod(demo: Cluster) -> None:
    said: list[tuple[int, int]] = []
    flows = [Flow(source, "one/b", 80) for source in ("one/a", "one/c", "two/d")]
    probe(demo, flows, progress=lambda done, total: said.append((done, total)))
    assert said == [(1, 3), (2, 3), (3, 3)]


def test_flows_keep_their_order_and_are_tried_once_each(demo: Cluster) -> None:
    flows = [Flow("one/a", "one/b", 80), Flow("two/d", "one/b", 80), Flow("one/a", "one/b", 80)]
    assert list(probe(demo, flows)) == flows[:2]
