"""Worlds are read from plain objects, never change, and answer about addresses."""

import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from labkit.policy import Flow, ObjectKey, PolicyError, World, WorldError, compile_policy, decide, load

from .worlds import OUTSIDE, ask, key, namespace, node, pod, policies, service, world

ROOT = Path(__file__).parents[2]
DENY = policies("name: x/deny\nspec: {podSelector: {}}")


def test_kinds_that_do_not_decide_traffic_are_passed_over():
    there = World.from_objects(
        [
            {"kind": "ConfigMap", "metadata": {"name": "x"}},
            {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "x"}},
            {
                "kind": "NetworkPolicy",
                "apiVersion": "projectcalico.org/v3",
                "metadata": {"name": "x"},
                "spec": {"order": 1},
            },
            {},
        ]
    )
    assert (dict(there.pods), dict(there.policies)) == ({}, {})


def test_replace_and_without_leave_the_first_world_as_it_was():
    first = world()
    second = first.replace(*DENY, pod("x/new", "10.244.0.70"))
    third = second.without(key("Pod", "x/new"), key("NetworkPolicy", "x/deny"))
    assert [len(w.pods) for w in (first, second, third)] == [4, 5, 4]
    assert [len(w.policies) for w in (first, second, third)] == [0, 1, 0]
    assert [ask(w, "y/a", "x/a") for w in (first, second, third)] == ["allow", "deny", "allow"]


def test_a_namespace_takes_its_objects_with_it():
    there = world(
        "name: x/deny\nspec: {podSelector: {}}", service("x/s", "10.96.0.9", {"pod": "a"}, (80, 80))
    )
    gone = there.without(ObjectKey("Namespace", "", "x"))
    assert set(gone.pods) == {"y/a", "y/b"}
    assert not gone.policies
    assert not gone.services
    assert set(gone.namespaces) == {"y"}


def test_a_namespace_that_nobody_wrote_has_its_name_as_its_only_label():
    there = World.from_objects([pod("z/a", "10.244.0.9")])
    assert there.namespaces["z"].implied
    assert there.labels_of_namespace("z") == {"kubernetes.io/metadata.name": "z"}
    assert not there.replace(namespace("z", team="red")).namespaces["z"].implied


def test_pods_without_status_are_imagined_running_with_an_address_of_their_own():
    there = world("", pod("y/one"), pod("y/two"))
    one, two = there.pods["y/one"], there.pods["y/two"]
    assert one.assumed
    assert one.on_network
    assert one.ips != two.ips
    taken = world("", pod("y/taken", str(one.ips[0])), pod("y/one"))
    assert taken.pods["y/one"].ips != taken.pods["y/taken"].ips
    assert there.replace(pod("y/three")).pods["y/one"].ips == one.ips


def test_a_status_without_address_is_a_pod_that_waits():
    waiting = World.from_objects([{**pod("x/w"), "status": {"phase": "Pending"}}]).pods["x/w"]
    assert not waiting.on_network
    assert waiting.phase == "Pending"


def test_readiness_comes_from_the_condition():
    obj = pod("x/w", "10.244.0.9")
    obj["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    assert not World.from_objects([obj]).pods["x/w"].ready


def test_addresses_lead_to_pods_services_and_nodes_but_not_to_ended_or_host_network_pods():
    there = world(
        "",
        service("x/s", "10.96.0.9", {"pod": "a"}, (80, 80)),
        node("one", "172.18.0.2"),
        pod("x/host", "172.18.0.2", host_network=True),
        pod("x/done", "10.244.0.80", phase="Succeeded"),
    )
    assert there.pod_at(ip_address("10.244.0.11")) == there.pods["x/a"]
    assert there.service_at(ip_address("10.96.0.9")) == there.services["x/s"]
    assert there.node_at(ip_address("172.18.0.2")) == there.nodes["one"]
    assert there.pod_at(ip_address("172.18.0.2")) is None
    assert there.pod_at(ip_address("10.244.0.80")) is None


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (Flow("x/nobody", "x/a", 80), "there is no pod x/nobody .there are x/a, x/b, y/a, y/b"),
        (Flow("x/a", "service:x/none", 80), "there is no Service x/none .there are none"),
        (Flow("service:x/s", "x/a", 80), "not at a Service"),
    ],
)
def test_a_flow_between_things_that_do_not_exist_is_refused_with_what_there_is(flow, message):
    with pytest.raises(WorldError, match=message):
        decide(world(), flow)


def test_what_cannot_be_read_names_the_object():
    with pytest.raises(WorldError, match=r"Pod x/p: status.podIPs: 'nonsense' is not an IP address"):
        World.from_objects([pod("x/p", "nonsense")])
    with pytest.raises(WorldError, match="a Pod has no metadata"):
        World.from_objects([{"kind": "Pod", "metadata": {}}])
    with pytest.raises(WorldError, match="'here' is not an IP address"):
        World.from_objects([], externals=["here"])


def test_a_refused_policy_names_every_problem_with_its_line():
    text = """\
kind: NetworkPolicy
apiVersion: networking.k8s.io/v1
metadata: {name: p, namespace: x}
spec:
  podSelectors: {}
  ingress:
    - from:
        - {}
      ports:
        - port: 0
        - port: "8080"
        - port: Web--
  policyTypes: [Ingres]
"""
    with pytest.raises(PolicyError) as error:
        World.from_objects(load(text))
    assert [(problem.path, problem.line) for problem in error.value.problems] == [
        ("spec.podSelectors", 5),
        ("spec.ingress[0].from[0]", 8),
        ("spec.ingress[0].ports[0].port", 10),
        ("spec.ingress[0].ports[1].port", 11),
        ("spec.ingress[0].ports[2].port", 12),
        ("spec.ingress[0].ports[2].port", 12),
        ("spec.ingress[0].ports[2].port", 12),
        ("spec.policyTypes[0]", 13),
    ]
    assert str(error.value).startswith("NetworkPolicy x/p is invalid: spec.podSelectors: unknown field")


@pytest.mark.parametrize(
    "spec",
    [
        "text",
        {"podSelector": []},
        {"ingress": {"from": []}},
        {"ingress": ["from"]},
        {"ingress": [{"from": {"podSelector": {}}}]},
        {"ingress": [{"ports": [{"port": True}]}]},
        {"ingress": [{"ports": [{"port": 1.5}]}]},
        {"ingress": [{"from": [{"ipBlock": {"cidr": 10}}]}]},
        {"ingress": [{"from": [{"ipBlock": "10.0.0.0/8"}]}]},
        {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/8"]}}]}]},
        {"policyTypes": "Ingress"},
    ],
)
def test_no_shape_of_yaml_makes_the_compiler_fall_over(spec):
    with pytest.raises(PolicyError):
        compile_policy({"kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": spec})


def test_the_world_keeps_externals_through_edits():
    there = world().with_externals("198.51.100.9", OUTSIDE)
    assert there.externals == (OUTSIDE, "198.51.100.9")
    assert there.replace(*DENY).externals == there.externals


def test_the_engine_imports_nothing_but_the_standard_library_and_starts_no_thread():
    script = (
        "import sys, labkit.policy, labkit.policy.lint, labkit.policy.generate, labkit.policy.difference\n"
        "bad = {'asyncio', 'socket', 'threading', 'subprocess', 'yaml', 'kubernetes', 'aiohttp'} & set(sys.modules)\n"
        "print(sorted(bad))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"
