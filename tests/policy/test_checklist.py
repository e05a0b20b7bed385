"""The semantics of NetworkPolicy, line by line: the number in each name is the line of the checklist that it proves."""

import re
import sys

import pytest

from labkit.policy import CILIUM, Family, Flow, PolicyError, World, compile_policy, decide
from labkit.policy.lint import lint

from .worlds import OUTSIDE, PODS, ask, key, namespace, node, pod, policies, service, world

DENY_IN = "name: x/deny\nspec: {podSelector: {}, policyTypes: [Ingress]}"
DENY_OUT = "name: x/deny-out\nspec: {podSelector: {}, policyTypes: [Egress]}"


def ingress(rules, name="x/p", selector="{}"):
    return f"name: {name}\nspec: {{podSelector: {selector}, policyTypes: [Ingress], ingress: {rules}}}"


def egress(rules, name="x/p", selector="{}"):
    return f"name: {name}\nspec: {{podSelector: {selector}, policyTypes: [Egress], egress: {rules}}}"


def refused(text):
    with pytest.raises(PolicyError) as error:
        [compile_policy(policy) for policy in policies(text)]
    return str(error.value)


# Selection and isolation


def test_01_an_unselected_pod_is_open_and_isolation_is_per_direction():
    assert ask(world(), OUTSIDE, "x/a") == "allow"
    closed = world(DENY_IN)
    assert ask(closed, "y/a", "x/a") == "deny"
    assert ask(closed, "x/a", "y/a") == "allow"


def test_02_a_policy_never_selects_pods_of_another_namespace():
    closed = world(DENY_IN)
    assert ask(closed, "x/a", "y/a") == "allow"
    assert ask(closed, "y/b", "y/a") == "allow"


@pytest.mark.parametrize("spec", ["{podSelector: {}}", "{}", "null", "{podSelector: null}"])
def test_03_an_empty_or_missing_pod_selector_means_all_pods_of_the_namespace(spec):
    closed = world(f"name: x/p\nspec: {spec}")
    assert [ask(closed, "y/a", to) for to in ("x/a", "x/b", "y/b")] == ["deny", "deny", "allow"]


def test_03_a_missing_namespace_is_the_one_of_apply_time():
    policy = {"kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": {"podSelector": {}}}
    assert compile_policy(policy).namespace == "default"
    assert World.from_objects([*PODS, policy], default_namespace="x").policies.keys() == {"x/p"}


@pytest.mark.parametrize(
    ("fields", "inside", "outside"),
    [
        ("", "deny", "allow"),
        ("policyTypes: []", "deny", "allow"),
        ("egress: []", "deny", "allow"),
        ("egress: [{to: [{podSelector: {}}]}]", "deny", "deny"),
        ("policyTypes: [Egress]", "allow", "deny"),
        ("policyTypes: [Egress], ingress: [{}]", "allow", "deny"),
        ("policyTypes: [Ingress], egress: [{to: [{podSelector: {}}]}]", "deny", "allow"),
    ],
)
def test_04_policy_types_that_are_missing_mean_ingress_and_egress_only_with_egress_rules(
    fields, inside, outside
):
    there = world(f"name: x/p\nspec: {{podSelector: {{}}, {fields}}}")
    assert (ask(there, "y/a", "x/a"), ask(there, "x/a", "y/a")) == (inside, outside)


@pytest.mark.parametrize("fields", ["", ", ingress: null", ", ingress: []"])
def test_05_no_ingress_rules_let_nothing_in(fields):
    assert (
        ask(world(f"name: x/p\nspec: {{podSelector: {{}}, policyTypes: [Ingress]{fields}}}"), "x/b", "x/a")
        == "deny"
    )


def test_05_one_empty_rule_lets_everything_in():
    there = world(ingress("[{}]"))
    assert ask(there, OUTSIDE, "x/a") == ask(there, "y/a", "x/a", 9, "UDP") == "allow"


def test_06_policies_add_up_whatever_their_names_and_order():
    allow = ingress("[{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]", name="x/{}")
    for name in ("aaa", "zzz"):
        for texts in ([DENY_IN, allow], [allow, DENY_IN]):
            there = world("\n---\n".join(texts).replace("x/{}", f"x/{name}"))
            assert (ask(there, "y/a", "x/a"), ask(there, "x/b", "x/a")) == ("allow", "deny")


def test_07_both_ends_must_agree_and_an_outside_end_has_no_say():
    both = world(
        egress("[{to: [{podSelector: {}}]}]", "x/out", "{matchLabels: {pod: a}}") + "\n---\n" + DENY_IN
    )
    decision = decide(both, Flow("x/a", "x/b", 80))
    assert (decision.egress.allowed, decision.ingress.allowed, decision.allowed) == (True, False, False)
    opened = world(DENY_OUT)
    assert ask(opened, "x/a", "y/a") == "deny"
    assert ask(opened, OUTSIDE, "x/a") == "allow"


def test_08_only_the_first_packet_is_judged_so_a_reply_needs_no_rule():
    there = world(egress("[{to: [{namespaceSelector: {}}]}]") + "\n---\n" + DENY_IN.replace("x/deny", "x/in"))
    assert ask(there, "x/a", "y/a") == "allow"
    assert ask(there, "y/a", "x/a") == "deny"


# Peers


def test_09_rules_and_peers_are_alternatives_and_a_rule_needs_peer_and_port():
    there = world(
        ingress(
            "[{from: [{podSelector: {matchLabels: {pod: b}}}], ports: [{port: 80}]},"
            " {from: [{namespaceSelector: {matchLabels: {team: blue}}}], ports: [{port: 81}]}]"
        )
    )
    cells = {(s, p): ask(there, s, "x/a", p) for s in ("x/b", "y/a") for p in (80, 81)}
    assert cells == {("x/b", 80): "allow", ("x/b", 81): "deny", ("y/a", 80): "deny", ("y/a", 81): "allow"}


BLUE_AND_A = "{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {pod: a}}}"
BLUE_OR_A = "{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {pod: a}}}"


def test_10_two_selectors_in_one_peer_are_an_and():
    there = world(ingress(f"[{{from: [{BLUE_AND_A}]}}]", selector="{matchLabels: {pod: b}}"))
    assert [ask(there, s, "x/b") for s in ("y/a", "y/b", "x/a")] == ["allow", "deny", "deny"]


def test_10_two_peers_are_an_or_and_the_pod_selector_looks_at_its_own_namespace():
    there = world(ingress(f"[{{from: [{BLUE_OR_A}]}}]", selector="{matchLabels: {pod: b}}"))
    assert [ask(there, s, "x/b") for s in ("y/a", "y/b", "x/a")] == ["allow", "allow", "allow"]
    green = world(
        ingress(f"[{{from: [{BLUE_OR_A.replace('blue', 'green')}]}}]", selector="{matchLabels: {pod: b}}")
    )
    assert [ask(green, s, "x/b") for s in ("y/a", "x/a")] == ["deny", "allow"]


def test_10_a_dash_before_ports_makes_two_rules():
    one = world(ingress("[{from: [{podSelector: {}}], ports: [{port: 80}]}]"))
    two = world(ingress("[{from: [{podSelector: {}}]}, {ports: [{port: 80}]}]"))
    assert [ask(one, "x/b", "x/a", 81), ask(one, "y/a", "x/a", 80)] == ["deny", "deny"]
    assert [ask(two, "x/b", "x/a", 81), ask(two, "y/a", "x/a", 80)] == ["allow", "allow"]


@pytest.mark.parametrize(
    ("peer", "own", "other", "outside"),
    [
        ("{podSelector: {}}", "allow", "deny", "deny"),
        ("{podSelector: {matchLabels: {pod: b}}}", "allow", "deny", "deny"),
        ("{namespaceSelector: {matchLabels: {team: blue}}}", "deny", "allow", "deny"),
        ("{namespaceSelector: {}}", "allow", "allow", "deny"),
        ("{namespaceSelector: {}, podSelector: {}}", "allow", "allow", "deny"),
    ],
)
def test_11_what_each_kind_of_selector_peer_means(peer, own, other, outside):
    there = world(ingress(f"[{{from: [{peer}]}}]"))
    assert (ask(there, "x/b", "x/a"), ask(there, "y/b", "x/a"), ask(there, OUTSIDE, "x/a")) == (
        own,
        other,
        outside,
    )


@pytest.mark.parametrize("rule", ["{}", "{from: null}", "{from: []}", "{ports: [{port: 80}]}"])
def test_12_a_rule_without_from_means_every_source_also_outside(rule):
    there = world(ingress(f"[{rule}]"))
    assert ask(there, OUTSIDE, "x/a") == ask(there, "y/a", "x/a") == "allow"


def test_12_an_empty_peer_is_refused():
    assert "spec.ingress[0].from[0]: Required value: must specify a peer" in refused(
        ingress("[{from: [{}]}]")
    )


@pytest.mark.parametrize(
    "selector", ["{}", "{matchLabels: {}}", "{matchExpressions: []}", "{matchLabels: null}"]
)
def test_13_an_empty_selector_matches_all_in_every_spelling(selector):
    there = world(ingress(f"[{{from: [{{namespaceSelector: {selector}}}]}}]"))
    assert ask(there, "y/a", "x/a") == "allow"


def test_13_a_null_selector_is_an_absent_field():
    there = world(ingress("[{from: [{podSelector: {matchLabels: {pod: b}}, namespaceSelector: null}]}]"))
    assert [ask(there, "x/b", "x/a"), ask(there, "y/b", "x/a")] == ["allow", "deny"]


def test_14_labels_are_live_and_every_namespace_has_its_name_as_a_label():
    by_name = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: y}}}"
    there = world(ingress(f"[{{from: [{by_name}, {{podSelector: {{matchLabels: {{role: ok}}}}}}]}}]"))
    assert ask(there, "y/a", "x/a") == "allow"
    assert ask(there, "x/b", "x/a") == "deny"
    relabelled = there.replace(pod("x/b", "10.244.0.12", labels={"role": "ok"}))
    assert ask(relabelled, "x/b", "x/a") == "allow"
    teams = world(ingress("[{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]"))
    assert ask(teams.replace(namespace("y", team="red")), "y/a", "x/a") == "deny"


def test_15_ended_pods_and_pods_without_address_are_no_peers_and_no_ends():
    done = pod("x/done", "10.244.0.31", phase="Succeeded")
    waiting = pod("x/waiting", ips=[], phase="Pending")
    there = world(ingress("[{from: [{podSelector: {}}]}]"), done, waiting)
    assert [ask(there, s, "x/a") for s in ("x/done", "x/waiting")] == ["undefined", "undefined"]
    assert ask(there, "10.244.0.31", "x/a") == "deny", "its address is an address like any other now"


# Label selectors


@pytest.mark.parametrize(
    ("selector", "matching"),
    [
        ("{matchLabels: {app: web, tier: front}}", {"full"}),
        ("{matchExpressions: [{key: app, operator: In, values: [web, db]}]}", {"full", "bare"}),
        ("{matchExpressions: [{key: tier, operator: NotIn, values: [front]}]}", {"bare", "none", "empty"}),
        ("{matchExpressions: [{key: tier, operator: Exists}]}", {"full", "empty"}),
        ("{matchExpressions: [{key: tier, operator: DoesNotExist}]}", {"bare", "none"}),
        ('{matchLabels: {tier: ""}}', {"empty"}),
        ("{matchLabels: {app: web}, matchExpressions: [{key: tier, operator: DoesNotExist}]}", {"bare"}),
    ],
)
def test_16_selectors_match_as_the_api_machinery_does(selector, matching):
    labels = {
        "full": {"app": "web", "tier": "front"},
        "bare": {"app": "web"},
        "none": {"x": "1"},
        "empty": {"tier": ""},
    }
    pods = [
        pod(f"x/{name}", f"10.244.1.{i + 1}", labels=item) for i, (name, item) in enumerate(labels.items())
    ]
    there = world(
        ingress(f"[{{from: [{{podSelector: {selector}}}]}}]", selector="{matchLabels: {pod: a}}"), *pods
    )
    assert {name for name in labels if ask(there, f"x/{name}", "x/a") == "allow"} == matching


def test_16_values_that_an_operator_cannot_have_are_refused():
    assert "must be specified when `operator` is 'In' or 'NotIn'" in refused(
        ingress("[]", selector="{matchExpressions: [{key: a, operator: In}]}")
    )
    assert "may not be specified when `operator` is 'Exists' or 'DoesNotExist'" in refused(
        ingress("[]", selector="{matchExpressions: [{key: a, operator: Exists, values: [b]}]}")
    )


# Ports and protocols


@pytest.mark.parametrize(
    ("ports", "open_for"),
    [
        ("null", {"TCP 80", "TCP 81", "UDP 80"}),
        ("[]", {"TCP 80", "TCP 81", "UDP 80"}),
        ("[{port: 80}]", {"TCP 80"}),
        ("[{protocol: UDP}]", {"UDP 80"}),
        ("[{protocol: TCP}]", {"TCP 80", "TCP 81"}),
        ("[{port: 80, protocol: UDP}]", {"UDP 80"}),
    ],
)
def test_17_missing_ports_mean_all_and_a_missing_protocol_means_tcp(ports, open_for):
    there = world(ingress(f"[{{ports: {ports}}}]"))
    tried = [(80, "TCP"), (81, "TCP"), (80, "UDP")]
    assert {f"{p} {n}" for n, p in tried if ask(there, "y/a", "x/a", n, p) == "allow"} == open_for


def test_18_a_numeric_port_is_the_pods_port_after_service_translation():
    web = service("x/web", "10.96.0.20", {"pod": "a"}, (8080, 80))
    assert ask(world(ingress("[{ports: [{port: 80}]}]"), web), "y/a", "service:x/web", 8080) == "allow"
    assert ask(world(ingress("[{ports: [{port: 8080}]}]"), web), "y/a", "service:x/web", 8080) == "deny"
    outgoing = egress("[{to: [{podSelector: {}}], ports: [{port: 80}]}]")
    assert ask(world(outgoing, web), "x/b", "service:x/web", 8080) == "allow"


def test_19_a_named_port_is_looked_up_on_each_destination_pod():
    there = world(ingress("[{ports: [{port: web}]}]"))
    assert [ask(there, "y/a", "x/a", 80), ask(there, "y/a", "x/a", 81)] == ["allow", "deny"]
    assert [ask(there, "y/a", "x/b", 80), ask(there, "y/a", "x/b", 81)] == ["deny", "allow"]


def test_19_name_and_protocol_must_both_be_the_pods():
    there = world(ingress("[{ports: [{port: dns}]}]"))
    assert ask(there, "y/a", "x/a", 53, "UDP") == "deny", "an entry without protocol means TCP"
    there = world(ingress("[{ports: [{port: dns, protocol: UDP}]}]"))
    assert ask(there, "y/a", "x/a", 53, "UDP") == "allow"


def test_19_on_egress_a_name_needs_a_pod_and_not_an_address():
    everyone = world(egress("[{ports: [{port: http}]}]"))
    assert [ask(everyone, "x/a", "y/a", 80), ask(everyone, "x/a", "y/b", 80)] == ["allow", "deny"]
    assert ask(everyone, "x/a", OUTSIDE, 80) == "deny"
    block = world(egress("[{to: [{ipBlock: {cidr: 10.244.0.0/16}}], ports: [{port: http}]}]"))
    assert ask(block, "x/a", "y/a", 80) == "deny"
    source = world(ingress("[{from: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: web}]}]"))
    assert ask(source, OUTSIDE, "x/a", 80) == "allow", "on ingress the destination is the selected pod"


def test_19_the_ports_of_an_init_container_do_not_count():
    init = pod("x/i", "10.244.0.41", init_ports=[(80, "TCP", "web")])
    assert ask(world(ingress("[{ports: [{port: web}]}]"), init), "y/a", "x/i", 80) == "deny"


def test_20_a_range_includes_both_ends_and_needs_a_number_below():
    there = world(ingress("[{ports: [{port: 80, endPort: 82}]}]"))
    assert [ask(there, "y/a", "x/a", n) for n in (79, 80, 82, 83)] == ["deny", "allow", "allow", "deny"]
    assert ask(world(ingress("[{ports: [{port: 80, endPort: 80}]}]")), "y/a", "x/a", 80) == "allow"
    assert "greater than or equal" in refused(ingress("[{ports: [{port: 80, endPort: 79}]}]"))
    assert "non-numeric" in refused(ingress("[{ports: [{port: web, endPort: 90}]}]"))
    assert "is not specified" in refused(ingress("[{ports: [{endPort: 90}]}]"))


def test_21_protocols_do_not_open_each_other_and_icmp_is_left_open():
    there = world(ingress("[{ports: [{port: 80, protocol: SCTP}]}]"))
    assert ask(there, "y/a", "x/a", 80, "SCTP") == "allow"
    assert ask(there, "y/a", "x/a", 80, "TCP") == "deny", "an SCTP rule isolates TCP as well"
    assert ask(there, "y/a", "x/a", 0, "ICMP") == "undefined"
    assert ask(world(), "y/a", "x/a", 0, "ICMP") == "allow"
    assert "Unsupported value" in refused(ingress("[{ports: [{protocol: ICMP}]}]"))


def test_22_a_node_port_may_hide_the_client_so_an_ip_block_is_left_open():
    nodes = [node("one", "172.18.0.2"), node("two", "172.18.0.3")]
    web = service("x/web", "10.96.0.20", {"pod": "c"}, type="NodePort")
    web["spec"]["ports"] = [{"port": 80, "nodePort": 30080}]
    subject = pod("x/c", "10.244.0.13", node="two")
    client = world(ingress(f"[{{from: [{{ipBlock: {{cidr: {OUTSIDE}/32}}}}]}}]"), subject, web, *nodes)
    assert ask(client, OUTSIDE, "172.18.0.2", 30080) == "undefined"
    assert ask(world("", subject, web, *nodes), OUTSIDE, "172.18.0.2", 30080) == "allow"
    closed = world(DENY_IN, subject, web, *nodes)
    assert ask(closed, OUTSIDE, "172.18.0.2", 30080) == "deny", "with either address nothing is let in"
    web["spec"]["externalTrafficPolicy"] = "Local"
    local = world(ingress(f"[{{from: [{{ipBlock: {{cidr: {OUTSIDE}/32}}}}]}}]"), subject, web, *nodes)
    assert ask(local, OUTSIDE, "172.18.0.3", 30080) == "allow", "Local keeps the client's address"


def test_22_so_may_a_host_port():
    subject = pod("x/c", "10.244.0.13", node="one")
    subject["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 8080}]
    rule = ingress(f"[{{from: [{{ipBlock: {{cidr: {OUTSIDE}/32}}}}], ports: [{{port: 80}}]}}]")
    other = world(rule.replace(OUTSIDE, "198.51.100.1"), subject, node("one", "172.18.0.2"))
    assert ask(other, OUTSIDE, "172.18.0.2", 8080) == "undefined"


# ipBlock


def test_23_an_exception_is_a_hole_that_another_rule_may_fill():
    hole = "{ipBlock: {cidr: 10.244.0.0/24, except: [10.244.0.21/32]}}"
    assert ask(world(ingress(f"[{{from: [{hole}]}}]")), "y/a", "x/a") == "deny"
    assert ask(world(ingress(f"[{{from: [{hole}]}}]")), "y/b", "x/a") == "allow"
    filled = ingress(f"[{{from: [{hole}]}}, {{from: [{{ipBlock: {{cidr: 10.244.0.21/32}}}}]}}]")
    assert ask(world(filled), "y/a", "x/a") == "allow"
    assert "must be a strict subset of `cidr`" in refused(
        ingress("[{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]")
    )


def test_24_families_do_not_match_each_other_and_may_differ_for_one_pair():
    both = ["10.244.0.51", "fd00:10:244::51"]
    there = world(
        ingress("[{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]"),
        pod("x/d", ips=both),
        pod("y/d", ips=both[1:] + both[:1]),
    )
    there = there.replace(pod("y/d", ips=["10.244.0.52", "fd00:10:244::52"]))
    assert ask(there, "y/d", "x/d", family=Family.IPV4) == "allow"
    assert ask(there, "y/d", "x/d", family=Family.IPV6) == "deny"
    decision = decide(there, Flow("y/d", "x/d", 80))
    assert decision.allowed
    assert "allowed over IPv4, denied over IPv6" in decision.note
    lonely = there.replace(pod("y/six", ips=["fd00:10:244::53"]))
    assert ask(lonely, "y/six", "x/a") == "undefined", "no family in common"


def test_25_an_ip_block_stands_alone_and_whether_it_means_pods_is_a_profile():
    assert "may not specify both ipBlock and another peer" in refused(
        ingress("[{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]")
    )
    there = world(ingress("[{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]"))
    assert ask(there, "y/a", "x/a") == "allow"
    assert ask(there, "y/a", "x/a", profile=CILIUM) == "deny"
    assert ask(there, OUTSIDE, "x/a", profile=CILIUM) == "allow"


def test_26_whether_an_ip_block_sees_the_cluster_ip_is_left_open():
    web = service("y/web", "10.96.0.20", {"pod": "a"}, (80, 80))
    by_pod = world(egress("[{to: [{ipBlock: {cidr: 10.244.0.0/16}}]}]"), web)
    by_service = world(egress("[{to: [{ipBlock: {cidr: 10.96.0.20/32}}]}]"), web)
    by_both = world(egress("[{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]"), web)
    answers = [ask(where, "x/a", "service:y/web") for where in (by_pod, by_service, by_both)]
    assert answers == ["undefined", "undefined", "allow"]
    assert ask(by_pod, "x/a", "10.96.0.20") == "undefined", "the address stands for the Service"
    first = decide(by_pod, Flow("x/a", "service:y/web", 80))
    assert first.allowed, "the first reading is kindnet's: after the translation"


# Node, self, host network


def test_27_a_node_always_reaches_its_own_pods_and_only_those():
    nodes = [node("one", "172.18.0.2"), node("two", "172.18.0.3")]
    there = world(DENY_IN, pod("x/a", "10.244.0.11", node="one"), *nodes)
    assert ask(there, "172.18.0.2", "x/a") == "allow"
    assert ask(there, "172.18.0.3", "x/a") == "deny"
    assert ask(there, "172.18.0.2", "x/b") == "undefined", "where x/b runs is not known"
    assert ask(world(DENY_IN, nodes[0]), "172.18.0.2", "x/b") == "allow", "there is but one node"


def test_28_a_pod_always_reaches_its_own_address():
    there = world(DENY_IN + "\n---\n" + DENY_OUT)
    assert ask(there, "x/a", "x/a") == ask(there, "x/a", "10.244.0.11") == "allow"


def test_28_through_a_cluster_ip_it_is_left_open():
    web = service("x/web", "10.96.0.20", {"pod": "a"}, (80, 80))
    assert ask(world(DENY_IN, web), "x/a", "service:x/web") == "undefined"
    assert ask(world(ingress("[{}]"), web), "x/a", "service:x/web") == "undefined"
    assert ask(world("", web), "x/a", "service:x/web") == "allow"


def test_29_host_network_pods_are_left_open_where_the_two_readings_differ():
    nodes = [node("one", "172.18.0.2"), node("two", "172.18.0.3")]
    host = pod("x/host", "172.18.0.2", node="one", host_network=True)
    from_pods = ingress("[{from: [{podSelector: {}}]}]", selector="{matchLabels: {pod: a}}")
    there = world(from_pods, host, pod("x/a", "10.244.0.11", node="two"), *nodes)
    assert ask(there, "x/host", "x/a") == "undefined", "a selector may see it or not"
    assert ask(world(DENY_IN, host, *nodes), "y/a", "x/host") == "undefined", "it may be isolated or not"
    assert ask(world("", host, *nodes), "y/a", "x/host") == "allow", "both readings agree"
    closed = world(DENY_IN, host, pod("x/a", "10.244.0.11", node="two"), *nodes)
    assert ask(closed, "x/host", "x/a") == "deny", "both readings agree"
    decision = decide(there, Flow("x/host", "x/a", 80))
    assert not decision.allowed
    assert "host network" in decision.note


def test_30_pods_of_one_node_are_policed_and_a_node_is_no_pod():
    nodes = [node("one", "172.18.0.2"), node("two", "172.18.0.3")]
    here = [pod("x/a", "10.244.0.11", node="one"), pod("x/b", "10.244.0.12", node="one")]
    assert ask(world(DENY_IN, *here, *nodes), "x/b", "x/a") == "deny"
    outgoing = world(egress("[{to: [{namespaceSelector: {}}]}]"), *here, *nodes)
    assert ask(outgoing, "x/a", "172.18.0.3", 6443) == "deny", "a selector finds no node"
    assert ask(outgoing, "x/a", "172.18.0.2", 6443) == "undefined", "its own node may be exempt"
    by_address = world(egress("[{to: [{ipBlock: {cidr: 172.18.0.0/16}}]}]"), *here, *nodes)
    assert ask(by_address, "x/a", "172.18.0.3", 6443) == "allow"


# Traps


DNS = [
    namespace("kube-system"),
    pod("kube-system/dns", "10.244.0.99", labels={"k8s-app": "kube-dns"}),
    service("kube-system/kube-dns", "10.96.0.10", {"k8s-app": "kube-dns"}, (53, 5353)),
]
DNS[-1]["spec"]["ports"] = [
    {"port": 53, "targetPort": 5353, "protocol": "UDP"},
    {"port": 53, "targetPort": 5353, "protocol": "TCP"},
]
TO_DNS = "{to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [%s]}"


@pytest.mark.parametrize(
    ("ports", "codes"),
    [
        ("{port: 53, protocol: UDP}, {port: 53}", {"no-dns", "service-port"}),
        ("{port: 5353, protocol: UDP}", {"dns-without-tcp"}),
        ("{port: 5353, protocol: UDP}, {port: 5353}", set()),
    ],
)
def test_31_names_need_udp_and_tcp_to_the_port_of_the_dns_pods(ports, codes):
    there = world(egress(f"[{{to: [{{podSelector: {{}}}}]}}, {TO_DNS % ports}]"), *DNS)
    assert {warning.code for warning in lint(there)} == codes


def test_31_a_blocked_name_is_told_apart_from_a_blocked_connection():
    there = world(egress("[{to: [{namespaceSelector: {}}], ports: [{port: 80}]}]"), *DNS)
    assert ask(there, "x/a", "y/a", 80) == "allow"
    assert ask(there, "x/a", "service:kube-system/kube-dns", 53, "UDP") == "deny"


def test_32_a_policy_or_a_rule_that_means_no_pod_is_pointed_out():
    nobody = lint(
        world(
            ingress("[{from: [{podSelector: {matchLabels: {pod: c}}}]}]", selector="{matchLabels: {pod: d}}")
        )
    )
    assert {warning.code for warning in nobody} == {"selects-nothing", "peer-matches-nothing"}
    assert not lint(world(ingress("[{from: [{podSelector: {matchLabels: {pod: b}}}]}]")))


def test_33_the_model_answers_for_a_settled_cluster_and_a_new_pod_is_isolated_at_once():
    before = world(DENY_IN)
    after = before.replace(pod("x/new", "10.244.0.77"))
    assert ask(after, "y/a", "x/new") == "deny"
    assert "x/new" not in before.pods
    assert ask(after.without(key("NetworkPolicy", "x/deny")), "y/a", "x/new") == "allow"


def test_every_line_of_the_checklist_has_a_test():
    numbers = {int(m[1]) for name in dir(sys.modules[__name__]) if (m := re.match(r"test_(\d+)_", name))}
    assert numbers == set(range(1, 34))
