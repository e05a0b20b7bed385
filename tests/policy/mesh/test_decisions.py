"""Decisions through the proxies: what they name, what they explain, and how they stand with NetworkPolicy."""

import pytest

from labkit.policy import (
    Facts,
    Flow,
    HttpRequest,
    LayerName,
    PolicyError,
    Verdict,
    World,
    decide,
    decide_mesh,
    truth_table,
)
from tests.policy.mesh.meshes import BASE, OBJECTS, ask, load, mesh, pod, service

VIEWER = """
kind: AuthorizationPolicy
metadata: {name: viewer, namespace: foo}
spec:
  rules:
  - from:
    - source:
        principals: [cluster.local/ns/bar/sa/curl]
    to:
    - operation:
        methods: [GET]
"""


def test_the_rule_is_named_as_envoy_names_it_with_its_line():
    decision = ask(mesh(VIEWER))
    assert decision.allowed
    assert decision.matched_policy == "ns[foo]-policy[viewer]-rule[0]"
    assert (decision.mesh.decided_by.path, decision.mesh.path, decision.mesh.line) == (
        "foo/viewer",
        "spec.rules[0]",
        6,
    )


def test_a_refusal_tells_which_condition_failed_and_where_it_stands():
    decision = ask(mesh(VIEWER), method="POST")
    assert (decision.verdict, decision.status, decision.body) == (
        Verdict.FORBIDDEN,
        403,
        "RBAC: access denied",
    )
    assert decision.matched_policy == "none"
    (reason,) = [r for r in decision.mesh.layers[-1].reasons if r.matched is False]
    assert reason.text.endswith("the method is POST, and methods asks for GET")
    assert (reason.path, reason.line) == ("spec.rules[0].to[0].operation.methods", 11)


def test_the_explanation_goes_layer_by_layer():
    text = ask(mesh(VIEWER), source="legacy/curl").explain()
    order = [
        "The client sees HTTP 403",
        "Leaving legacy/curl",
        "Entering foo/web",
        "client: passed. legacy/curl has no sidecar",
        "mutual TLS: passed.",
        "authorization: stopped here.",
        "the client shows no certificate, and principals asks for cluster.local/ns/bar/sa/curl (line 8)",
        "Watch out (foo/viewer, line 8)",
    ]
    places = [text.find(part) for part in order]
    assert -1 not in places
    assert places == sorted(places)


def test_layers_are_in_the_order_of_the_filters():
    world = mesh(
        VIEWER
        + """
---
kind: RequestAuthentication
metadata: {name: jwt, namespace: foo}
spec: {jwtRules: [{issuer: lab, jwks: '{"keys": []}'}]}
"""
    )
    assert [layer.name for layer in ask(world).mesh.layers] == list(LayerName)


def test_network_policy_comes_first():
    closed = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "foo", "name": "closed"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    decision = ask(mesh(VIEWER, closed))
    assert decision.verdict is Verdict.TIMEOUT
    assert decision.mesh is None
    assert "the client's own proxy gives up connecting" in decision.note


def test_network_policy_sees_the_port_of_the_application_not_the_proxy():
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "foo", "name": "web"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"ports": [{"port": 8080}]}]},
    }
    assert ask(mesh("", policy)).allowed
    policy["spec"]["ingress"][0]["ports"][0]["port"] = 15006
    assert ask(mesh("", policy)).verdict is Verdict.TIMEOUT


def test_a_world_without_a_mesh_is_as_it_was():
    world = World.from_objects([pod("a/x", "10.0.0.1", sidecar=False), pod("a/y", "10.0.0.2", sidecar=False)])
    decision = decide(world, Flow("a/x", "a/y", 80, request=HttpRequest()))
    assert decision.allowed
    assert decision.mesh is None
    assert not world.mesh.active


def test_a_flow_without_a_request_is_a_get_where_the_port_is_http():
    decision = decide(mesh(VIEWER), Flow("bar/curl", "service:foo/web", 8000))
    assert decision.allowed
    assert "GET / was assumed" in decision.note


def test_custom_leaves_the_decision_open():
    world = mesh(
        """
kind: AuthorizationPolicy
metadata: {name: opa, namespace: foo}
spec: {action: CUSTOM, provider: {name: opa}, rules: [{}]}
"""
    )
    decision = ask(world)
    assert not decision.defined
    assert "foo/opa hands the decision to an external authorizer (CUSTOM)" in decision.note
    assert decide_mesh(world, decision.flow).open


def test_an_invalid_policy_is_refused_with_its_line():
    with pytest.raises(PolicyError) as error:
        mesh(VIEWER.replace("principals:", "principal:"))
    assert 'unknown field "spec.rules[0].from[0].source.principal"' in str(error.value)
    assert error.value.problems[0].line == 8


def test_tables_go_through_the_proxies():
    table = truth_table(mesh(VIEWER), [(8080, "TCP")], request=HttpRequest("GET", "/"))
    # By a pod's own address a meshed client shows no certificate either.
    assert table.cell("bar/curl", "foo/web", 8080).verdict is Verdict.FORBIDDEN
    assert table.cell("foo/web", "bar/curl", 8080).allowed
    assert table.count(8080) == sum(cell.allowed for _, cell in table.cells())


def test_a_service_in_a_table():
    world = mesh(VIEWER)
    table = truth_table(
        world, [(8000, "TCP")], destinations=["service:foo/web"], request=HttpRequest("GET", "/")
    )
    found = {
        source: table.cell(source, "service:foo/web", 8000).verdict
        for source in ("bar/curl", "foo/curl", "legacy/curl")
    }
    assert found == {"bar/curl": Verdict.OK, "foo/curl": Verdict.FORBIDDEN, "legacy/curl": Verdict.FORBIDDEN}


def test_the_quick_answer_is_the_explained_one():
    world = mesh(VIEWER)
    for source in ("bar/curl", "foo/curl", "legacy/curl"):
        for method in ("GET", "POST"):
            flow = Flow(source, "service:foo/web", 8000, request=HttpRequest(method, "/x"))
            quick, full = decide_mesh(world, flow, Facts(now=0)), decide(world, flow)
            assert (quick.verdict, quick.status, quick.body, quick.matched) == (
                full.verdict,
                full.status,
                full.body,
                full.matched_policy,
            )


@pytest.mark.parametrize(
    ("labels", "asked", "proxied"),
    [
        ({"istio-injection": "enabled"}, {}, True),
        ({"istio-injection": "disabled"}, {}, False),
        ({"istio.io/rev": "canary"}, {}, True),
        ({}, {}, False),
        ({}, {"sidecar.istio.io/inject": "true"}, True),
        ({"istio-injection": "enabled"}, {"sidecar.istio.io/inject": "false"}, False),
        ({"istio-injection": "disabled"}, {"sidecar.istio.io/inject": "true"}, False),
    ],
)
def test_a_pod_that_is_imagined_is_injected_as_the_webhook_would(labels, asked, proxied):
    namespace = {"kind": "Namespace", "metadata": {"name": "new", "labels": labels}}
    imagined = {
        "kind": "Pod",
        "metadata": {"namespace": "new", "name": "p", "labels": asked},
        "spec": {"containers": [{}]},
    }
    world = World.from_objects([namespace, imagined])
    assert world.mesh.meshed(world.pods["new/p"]) is proxied


def test_a_pod_that_runs_without_a_proxy_stays_without():
    world = World.from_objects([*load(BASE), pod("foo/old", "10.0.0.9", sidecar=False)])
    assert not world.mesh.meshed(world.pods["foo/old"])


def test_two_pods_of_which_one_is_strict_make_a_matter_of_chance():
    strict = """
kind: PeerAuthentication
metadata: {name: v2, namespace: foo}
spec: {selector: {matchLabels: {version: v2}}, mtls: {mode: STRICT}}
"""
    second = pod("foo/web-2", "10.244.0.20", ports=[8080], labels={"app": "web", "version": "v2"})
    decision = ask(mesh(strict, second), source="legacy/curl")
    assert not decision.defined
    assert {inner.verdict for inner in decision.endpoints} == {Verdict.OK, Verdict.RESET}


def test_the_source_of_a_mesh_config_is_read():
    config = {
        "kind": "ConfigMap",
        "metadata": {"namespace": "istio-system", "name": "istio"},
        "data": {
            "mesh": "rootNamespace: mesh-root\ntrustDomain: lab\npathNormalization: {normalization: MERGE_SLASHES}\n"
        },
    }
    world = World.from_objects([*OBJECTS, config, service("foo/other", ("http", 80, 80))])
    assert world.mesh.config.root_namespace == "mesh-root"
    assert world.mesh.identity(world.pods["foo/web"]) == "spiffe://lab/ns/foo/sa/web"
