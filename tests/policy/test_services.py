"""A flow to a Service is a flow to each pod behind it, after translation."""

import pytest

from labkit.policy import Family, Flow, Verdict, decide

from .worlds import OUTSIDE, ask, node, pod, service, world

WEB = service("x/web", "10.96.0.20", {"role": "web"}, (8080, "web"))
ONE = pod("x/one", "10.244.0.61", labels={"role": "web"}, ports=[(80, "TCP", "web")])
TWO = pod("x/two", "10.244.0.62", labels={"role": "web"}, ports=[(81, "TCP", "web")])


def test_a_named_target_port_is_looked_up_on_each_pod():
    decision = decide(world("", WEB, ONE, TWO), Flow("y/a", "service:x/web", 8080))
    assert [(d.flow.destination, d.flow.port) for d in decision.endpoints] == [("x/one", 80), ("x/two", 81)]
    nameless = pod("x/three", "10.244.0.63", labels={"role": "web"})
    decision = decide(world("", WEB, ONE, nameless), Flow("y/a", "service:x/web", 8080))
    assert [d.flow.destination for d in decision.endpoints] == ["x/one"]


def test_all_endpoints_alike_is_a_plain_answer_and_a_mixture_is_none():
    closed = "name: x/p\nspec: {podSelector: {matchLabels: {role: web}}, ingress: [{ports: [{port: %s}]}]}"
    assert ask(world(closed % 1, WEB, ONE, TWO), "y/a", "service:x/web", 8080) == "deny"
    assert ask(world(closed % "web", WEB, ONE, TWO), "y/a", "service:x/web", 8080) == "allow"
    mixed = decide(world(closed % 80, WEB, ONE, TWO), Flow("y/a", "service:x/web", 8080))
    assert not mixed.defined
    assert [d.allowed for d in mixed.endpoints] == [True, False]
    assert "1 of 2 endpoints can be reached (not x/two)" in mixed.note


def test_without_ready_pods_the_connection_is_refused():
    unready = pod("x/one", "10.244.0.61", labels={"role": "web"}, ports=[(80, "TCP", "web")])
    unready["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    for there in (world("", WEB), world("", WEB, unready)):
        decision = decide(there, Flow("y/a", "service:x/web", 8080))
        assert (decision.verdict, decision.defined) == (Verdict.REFUSED, True)
        assert "no ready pod" in decision.note
    published = {**WEB, "spec": {**WEB["spec"], "publishNotReadyAddresses": True}}
    assert ask(world("", published, unready), "y/a", "service:x/web", 8080) == "allow"


def test_a_port_that_the_service_does_not_have_is_left_open():
    decision = decide(world("", WEB, ONE), Flow("y/a", "service:x/web", 80))
    assert not decision.defined
    assert "has no port 80/TCP (its ports: 8080/TCP)" in decision.note
    assert ask(world("", WEB, ONE), "y/a", "service:x/web", 8080, "UDP") == "undefined"


def test_a_headless_service_is_its_pods_with_their_own_ports():
    headless = service("x/web", "None", {"role": "web"}, (8080, "web"))
    there = world("name: x/p\nspec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}", headless, ONE)
    assert ask(there, "y/a", "service:x/web", 80) == "allow"
    assert ask(there, "y/a", "service:x/web", 8080) == "deny", "nothing translates the port"
    assert ask(there, "x/one", "service:x/web", 8080) == "allow", "the pod's own address: no hairpin"
    empty = decide(world("", headless), Flow("y/a", "service:x/web", 80))
    assert empty.verdict is Verdict.DNS


def test_a_service_without_selector_or_with_another_name_is_not_for_the_model():
    by_hand = service("x/web", "10.96.0.20", None, (80, 80))
    alias = service("x/alias", "", None, type="ExternalName", externalName="example.com")
    there = world("", by_hand, alias)
    assert ask(there, "y/a", "service:x/web") == "undefined"
    assert "example.com" in decide(there, Flow("y/a", "service:x/alias", 80)).note


def test_a_cluster_ip_cannot_be_reached_from_outside():
    assert ask(world("", WEB, ONE), OUTSIDE, "service:x/web", 8080) == "undefined"
    assert ask(world("", WEB, ONE, node("one", "172.18.0.2")), "172.18.0.2", "10.96.0.20", 8080) == "allow"


def test_a_two_family_service_is_judged_in_the_family_of_its_address():
    both = {**WEB, "spec": {**WEB["spec"], "clusterIPs": ["10.96.0.20", "fd00:96::20"]}}
    pods = [
        pod("x/one", ips=["10.244.0.61", "fd00::61"], labels={"role": "web"}, ports=[(80, "TCP", "web")]),
        pod("y/c", ips=["10.244.0.64", "fd00::64"]),
    ]
    there = world(
        "name: x/p\nspec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 'fd00::/16'}}]}]}", both, *pods
    )
    assert ask(there, "y/c", "10.96.0.20", 8080) == "deny"
    assert ask(there, "y/c", "fd00:96::20", 8080) == "allow"
    assert ask(there, "y/c", "service:x/web", 8080, family=Family.IPV6) == "allow"
    assert ask(there, "y/c", "service:x/web", 8080) == "deny", "the Service's first address"


def test_a_load_balancer_may_hide_the_client_too():
    balanced = service("x/web", "10.96.0.20", {"role": "web"}, (80, 80), type="LoadBalancer")
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": "198.51.100.50"}]}}
    rule = (
        f"name: x/p\nspec: {{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{cidr: {OUTSIDE}/32}}}}]}}]}}"
    )
    nodes = [node("one", "172.18.0.2"), node("two", "172.18.0.3")]
    placed = {**ONE, "spec": {**ONE["spec"], "nodeName": "two"}}
    assert ask(world(rule, balanced, placed, *nodes), OUTSIDE, "198.51.100.50") == "undefined"
    assert ask(world("", balanced, placed, *nodes), OUTSIDE, "198.51.100.50") == "allow"


@pytest.mark.parametrize("port", [30080, 31000])
def test_a_node_port_without_pods_refuses_and_another_port_is_the_nodes_own(port):
    web = service("x/web", "10.96.0.20", {"role": "none"}, type="NodePort")
    web["spec"]["ports"] = [{"port": 80, "nodePort": 30080}]
    decision = decide(world("", web, node("one", "172.18.0.2")), Flow("x/a", "172.18.0.2", port))
    assert decision.verdict is (Verdict.REFUSED if port == 30080 else Verdict.OK)


def test_traffic_that_stays_on_the_node_is_dropped_where_no_pod_is():
    web = service("x/web", "10.96.0.20", {"role": "web"}, type="NodePort", externalTrafficPolicy="Local")
    web["spec"]["ports"] = [{"port": 80, "targetPort": 80, "nodePort": 30080}]
    placed = {**ONE, "spec": {**ONE["spec"], "nodeName": "two"}}
    there = world("", web, placed, node("one", "172.18.0.2"), node("two", "172.18.0.3"))
    assert decide(there, Flow(OUTSIDE, "172.18.0.2", 30080)).verdict is Verdict.TIMEOUT
    assert decide(there, Flow(OUTSIDE, "172.18.0.3", 30080)).verdict is Verdict.OK


def test_the_api_servers_service_leads_to_its_node_as_its_endpoint_slice_says():
    api = service("default/kubernetes", "10.96.0.1", None)
    api["spec"]["ports"] = [{"name": "https", "port": 443, "targetPort": 6443}]
    piece = {
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "endpoints": [
            {"addresses": ["172.18.0.2"]},
            {"addresses": ["172.18.0.9"], "conditions": {"ready": False}},
        ],
        "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
    }
    two = [node("one", "172.18.0.2"), node("two", "172.18.0.3"), api, piece]
    here = pod("x/a", "10.244.0.11", node="two")
    egress = "name: x/p\nspec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{%s}], ports: [{port: %s}]}]}"
    assert ask(world("", here, *two), "x/a", "service:default/kubernetes", 443) == "allow"
    by_selector = world(egress % ("namespaceSelector: {}", 6443), here, *two)
    assert ask(by_selector, "x/a", "service:default/kubernetes", 443) == "deny", "a node is no pod"
    wide = "ipBlock: {cidr: 0.0.0.0/0}"
    assert ask(world(egress % (wide, 6443), here, *two), "x/a", "service:default/kubernetes", 443) == "allow"
    assert ask(world(egress % (wide, 443), here, *two), "x/a", "service:default/kubernetes", 443) == "deny"
