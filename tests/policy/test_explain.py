"""A decision says who decided, where, and which mistake it smells of."""

import json
import textwrap

import pytest

from labkit.policy import Flow, Why, World, decide, load

from .worlds import OUTSIDE, PODS, node, pod, service, world

LESSON = textwrap.dedent("""\
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: web, namespace: x}
    spec:
      podSelector:
        matchLabels: {pod: a}
      policyTypes: [Ingress]
      ingress:
        - from:
            - namespaceSelector:
                matchLabels: {team: blue}
              podSelector:
                matchLabels: {pod: b}
            - podSelector:
                matchLabels: {pod: a}
          ports:
            - port: 80
            - port: 90
              endPort: 99
    ---
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: other, namespace: x}
    spec: {podSelector: {matchLabels: {pod: b}}}
    """)


@pytest.fixture(scope="module")
def lesson():
    return World.from_objects([*PODS, *load(LESSON, "lesson.yaml")], externals=[OUTSIDE])


def test_an_allowed_flow_names_policy_rule_peer_and_line(lesson):
    decision = decide(lesson, Flow("y/b", "x/a", 80))
    (rule,) = decision.ingress.admitted_by
    assert (rule.rule, rule.path, rule.line) == ("spec.ingress[0]", "spec.ingress[0].from[0]", 10)
    assert [step.matched for step in rule.peers] == [True, False]
    text = decision.explain()
    assert text.startswith("y/b → x/a, TCP 80 is allowed.")
    assert "spec.ingress[0] admits the flow (line 10)" in text
    assert "pods with pod=b in namespaces with team=blue, and y/b is one" in text
    assert "x/web applies (line 5): its podSelector pod=a matches x/a" in text


def test_a_denied_flow_says_of_every_peer_why_it_is_not_meant(lesson):
    decision = decide(lesson, Flow("y/a", "x/a", 80))
    (step,) = decision.ingress.policies
    (rule,) = step.rules
    assert [peer.why for peer in rule.peers] == [Why.POD_LABELS, Why.OTHER_NAMESPACE]
    assert [peer.line for peer in rule.peers] == [10, 14]
    text = decision.explain()
    assert "y/a → x/a, TCP 80 is denied" in text
    assert "its podSelector asks for pod=b, and y/a has pod=a" in text
    assert (
        "this peer has no namespaceSelector, so it looks only in namespace x, and y/a is in namespace y"
        in text
    )
    assert "(its own labels would match)" in text


def test_a_port_that_is_not_open_is_named_apart_from_the_peers(lesson):
    decision = decide(lesson, Flow("y/b", "x/a", 81))
    (rule,) = decision.ingress.policies[0].rules
    assert (rule.peers_matched, rule.ports_matched, rule.matched) == (True, False, False)
    assert "its peers match, but TCP 81 is not among its ports (TCP 80, TCP 90-99)" in decision.explain()


def test_a_policy_that_does_not_select_the_pod_is_mentioned_with_the_reason(lesson):
    (silent,) = decide(lesson, Flow("y/b", "x/a", 80)).ingress.unselected
    assert (silent.key.path, silent.path, silent.line) == ("x/other", "spec.podSelector.matchLabels.pod", 24)
    assert silent.reason == "its podSelector asks for pod=b, and x/a has pod=a"


def test_a_pod_without_policies_is_explained_as_open(lesson):
    text = decide(lesson, Flow("x/a", "y/a", 80)).explain()
    assert "No policy selects y/a for Ingress, so everything is allowed." in text


def test_each_side_is_explained_by_itself():
    both = world(
        """
        name: x/out
        spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}
        ---
        name: y/in
        spec: {podSelector: {}, policyTypes: [Ingress]}
        """
    )
    decision = decide(both, Flow("x/a", "y/a", 80))
    assert [half.allowed for half in decision.halves] == [False, False]
    text = decision.explain()
    assert "Leaving x/a (egress): denied" in text
    assert "Entering y/a (ingress): denied" in text
    assert "It has no ingress rules, so it admits nothing." in text


def test_an_address_outside_has_no_policy_of_its_own_and_no_labels():
    there = world("name: x/p\nspec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}")
    text = decide(there, Flow(OUTSIDE, "x/a", 80)).explain()
    assert "203.0.113.7 is outside the cluster, so no NetworkPolicy applies to it" in text
    assert "203.0.113.7 is outside the cluster, and selectors find only pods" in text


BLUE, POD_A = "namespaceSelector: {matchLabels: {team: blue}}", "podSelector: {matchLabels: {pod: a}}"


@pytest.mark.parametrize(
    ("spec", "flow", "code"),
    [
        (
            f"{{podSelector: {{}}, ingress: [{{from: [{{{BLUE}}}, {{{POD_A}}}]}}]}}",
            Flow("y/b", "x/b", 80),
            "two-dashes",
        ),
        (
            f"{{podSelector: {{}}, ingress: [{{from: [{{{BLUE}, {POD_A}}}]}}]}}",
            Flow("y/b", "x/b", 80),
            "one-dash",
        ),
        (
            "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}",
            Flow("y/b", "x/a", 80),
            "own-namespace",
        ),
        (
            "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}, {ports: [{port: 80}]}]}",
            Flow("y/b", "x/a", 80),
            "rule-split",
        ),
        ("{podSelector: {}, egress: [{to: [{podSelector: {}}]}]}", Flow("y/b", "x/a", 80), "types-defaulted"),
        (
            "{podSelector: {}, ingress: [{ports: [{port: 53}]}]}",
            Flow("y/b", "x/a", 53, "UDP"),
            "protocol",
        ),
    ],
)
def test_a_classic_mistake_is_recognised_where_it_decides(spec, flow, code):
    decision = decide(world(f"name: x/p\nspec: {spec}"), flow)
    assert [trap.code for _, trap in decision.traps] == [code]
    assert "Watch out (x/p" in decision.explain()


@pytest.mark.parametrize(
    ("spec", "flow"),
    [
        ("{podSelector: {}}", Flow("y/b", "x/a", 80)),
        (
            "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {}}]}]}",
            Flow("x/b", "x/a", 80),
        ),
        (
            "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: c}}}]}]}",
            Flow("y/b", "x/a", 80),
        ),
    ],
)
def test_what_is_no_mistake_is_not_called_one(spec, flow):
    codes = {trap.code for _, trap in decide(world(f"name: x/p\nspec: {spec}"), flow).traps}
    assert codes <= {"two-dashes"}
    if flow.source == "y/b":
        assert not codes


def test_a_mistake_in_one_policy_is_not_held_up_when_another_policy_admits():
    there = world(
        """
        name: x/wrong
        spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}
        ---
        name: x/right
        spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}
        """
    )
    decision = decide(there, Flow("y/b", "x/a", 80))
    assert decision.allowed
    assert decision.traps == ()
    assert "but another policy does, and one is enough" in decision.explain()


def test_an_open_question_is_never_told_as_a_plain_answer():
    there = world("name: x/p\nspec: {podSelector: {}}", service("x/s", "10.96.0.9", {"pod": "a"}, (80, 80)))
    text = decide(there, Flow("x/a", "service:x/s", 80)).explain()
    assert "x/a → service:x/s, TCP 80 has no defined answer." in text
    assert " is allowed." not in text.split("\n")[0]
    assert "do not build on it" in text


def test_a_service_is_explained_pod_by_pod():
    there = world(
        "name: x/p\nspec: {podSelector: {matchLabels: {pod: a}}}",
        service("x/s", "10.96.0.9", {"role": "s"}, (80, 8080)),
        pod("x/one", "10.244.0.61", labels={"role": "s"}),
        pod("x/two", "10.244.0.62", labels={"role": "s", "pod": "a"}),
    )
    decision = decide(there, Flow("y/a", "service:x/s", 80))
    assert not decision.defined
    assert [inner.flow.port for inner in decision.endpoints] == [8080, 8080]
    assert "1 of 2 endpoints can be reached (not x/two)" in decision.note
    text = decision.explain()
    assert "2 pods stand behind service:x/s" in text
    assert "y/a → x/one, TCP 8080 is allowed." in text
    assert "y/a → x/two, TCP 8080 is denied" in text


def test_an_assumed_address_is_admitted_when_an_ip_block_looked_at_it():
    imagined = pod("y/new")
    there = world(
        "name: x/p\nspec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}", imagined
    )
    assert there.pods["y/new"].assumed
    assert "was assumed, and an ipBlock looked at it" in decide(there, Flow("y/new", "x/a", 80)).note
    labels = world(
        "name: x/p\nspec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}", imagined
    )
    assert decide(labels, Flow("y/new", "x/a", 80)).note == ""


def test_a_node_is_explained_as_what_it_is():
    there = world("name: x/p\nspec: {podSelector: {}}", node("one", "172.18.0.2"))
    text = decide(there, Flow("172.18.0.2", "x/a", 80)).explain()
    assert "a node always reaches its pods (for probes)" in text


@pytest.mark.parametrize(
    "flow", [Flow("y/a", "x/a", 80), Flow("x/a", "service:x/s", 80), Flow(OUTSIDE, "x/a", 80)]
)
def test_a_decision_is_plain_data_for_json(flow):
    there = world("name: x/p\nspec: {podSelector: {}}", service("x/s", "10.96.0.9", {"pod": "b"}, (80, 80)))
    decision = decide(there, flow)
    data = json.loads(json.dumps(decision.to_dict()))
    assert data["verdict"] == decision.verdict
    assert data["allowed"] is decision.allowed
    assert data["flow"]["source"] == flow.source
    assert data["ingress"]["direction"] == "Ingress"
