"""Remarks about legal policies: each says what is likely wrong, where, and nothing when all is well."""

import pytest

from labkit.policy import ObjectKey, World, load
from labkit.policy.lint import Level, lint

from .worlds import OUTSIDE, PODS, namespace, pod, service, world

WEB = service("y/web", "10.96.0.20", {"pod": "a"}, (8080, 80))


BLUE, SHOP = "namespaceSelector: {matchLabels: {team: blue}}", "podSelector: {matchLabels: {app: shop}}"


def remarks(spec, *more):
    return lint(world(f"name: x/p\nspec: {spec}", *more))


@pytest.mark.parametrize(
    ("spec", "code", "path", "words"),
    [
        (
            "{podSelector: {matchLabels: {pod: c}}}",
            "selects-nothing",
            "spec.podSelector",
            "no pod of namespace x has pod=c",
        ),
        (
            "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: shop}}}]}]}",
            "peer-matches-nothing",
            "spec.ingress[0].from[0]",
            "Such pods are in z; without a namespaceSelector a peer looks only in the policy's own namespace",
        ),
        (
            "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {name: y}}}]}]}",
            "peer-matches-nothing",
            "spec.ingress[0].from[0]",
            "use the label kubernetes.io/metadata.name: y",
        ),
        (
            f"{{podSelector: {{}}, ingress: [{{from: [{{{BLUE}, {SHOP}}}]}}]}}",
            "peer-matches-nothing",
            "spec.ingress[0].from[0]",
            "no pod of namespace y has app=shop",
        ),
        (
            "{podSelector: {}, egress: [{to: [{podSelector: {}}]}]}",
            "types-defaulted",
            "spec",
            "all ingress is closed as well",
        ),
        (
            "{podSelector: {}, policyTypes: [Egress], ingress: [{}]}",
            "rules-ignored",
            "spec.ingress",
            "policyTypes does not contain Ingress",
        ),
        (
            "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}, {podSelector: {}}]}]}",
            "two-dashes",
            "spec.ingress[0]",
            "either of them is enough",
        ),
        (
            "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}, {ports: [{port: 80}]}]}",
            "rule-split",
            "spec.ingress[1]",
            'the rule with "from" opens every port',
        ),
        (
            "{podSelector: {}, ingress: [{}, {from: [{podSelector: {}}]}]}",
            "allows-everything",
            "spec.ingress[0]",
            "the other ingress rules add nothing",
        ),
        (
            "{podSelector: {}, ingress: [{ports: [{port: http}]}]}",
            "port-name-unknown",
            "spec.ingress[0].ports[0].port",
            'no pod here has a TCP port named "http", so this entry matches nothing (there are web)',
        ),
        (
            "{podSelector: {}, ingress: [{ports: [{port: dns}]}]}",
            "port-name-unknown",
            "spec.ingress[0].ports[0].port",
            "there is one for UDP",
        ),
        (
            "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: web}]}]}",
            "port-name-unknown",
            "spec.egress[0].ports[0].port",
            "with ipBlock it never matches",
        ),
        (
            "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: 8080}]}]}",
            "service-port",
            "spec.egress[0].ports[0].port",
            "8080 is the port of Service y/web; policy sees the pod's port, which is 80",
        ),
        (
            "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.244.0.21/32}}]}]}",
            "address-of-a-pod",
            "spec.ingress[0].from[0].ipBlock.cidr",
            "the address of pod y/a now",
        ),
        (
            "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.96.0.20/32}}]}]}",
            "address-of-a-service",
            "spec.egress[0].to[0].ipBlock.cidr",
            "the address of Service y/web",
        ),
        (
            "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8}}]}]}",
            "cidr-bits",
            "spec.ingress[0].from[0].ipBlock.cidr",
            "it is read as 10.0.0.0/8",
        ),
    ],
)
def test_a_likely_mistake_is_pointed_out(spec, code, path, words):
    shop = pod("z/shop", "10.244.0.31", labels={"app": "shop"})
    (remark,) = remarks(spec, WEB, shop, namespace("z", team="green"))
    assert (remark.code, remark.path) == (code, path)
    assert words in remark.message
    assert remark.key == ObjectKey("NetworkPolicy", "x", "p")


@pytest.mark.parametrize(
    "spec",
    [
        "{podSelector: {}}",
        "{podSelector: {}, policyTypes: [Ingress, Egress]}",
        "{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}",
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {}}]}]}",
        "{podSelector: {}, ingress: [{}]}",
        "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]}",
        "{podSelector: {}, ingress: [{ports: [{port: web}, {port: 443}]}]}",
    ],
)
def test_a_sound_policy_gets_no_remark(spec):
    assert remarks(spec, WEB) == []


def test_a_remark_has_the_line_of_the_yaml_and_a_duplicate_key_is_one():
    text = """\
kind: NetworkPolicy
apiVersion: networking.k8s.io/v1
metadata: {name: p, namespace: x}
spec:
  podSelector: {}
  podSelector:
    matchLabels: {pod: c}
  egress: []
"""
    there = World.from_objects([*PODS, *load(text, "lesson.yaml")])
    found = lint(there)
    assert [(r.code, r.line) for r in found] == [
        ("duplicate-key", 6),
        ("selects-nothing", 6),
        ("types-defaulted", 8),
    ]
    assert str(found[1]).startswith("x/p, line 6: no pod of namespace x has pod=c")
    assert "closes ingress, not egress" in found[2].message


def test_a_policy_in_a_namespace_that_does_not_exist_is_pointed_out():
    (remark,) = lint(world("name: nowhere/p\nspec: {podSelector: {}}"))
    assert "namespace nowhere does not exist" in remark.message


def test_labels_that_are_elsewhere_are_mentioned():
    (remark,) = lint(
        world(
            "name: x/p\nspec: {podSelector: {matchLabels: {only: here}}}",
            pod("y/z", "10.244.0.9", labels={"only": "here"}),
        )
    )
    assert "(namespace y has such pods; a policy acts only in its own namespace)" in remark.message


def test_a_policy_on_host_network_pods_is_a_note():
    (remark,) = remarks("{podSelector: {}}", pod("x/host", "172.18.0.2", host_network=True))
    assert (remark.code, remark.level) == ("host-network", Level.NOTE)


def test_one_policy_can_be_asked_about_alone():
    there = world(
        "name: x/p\nspec: {podSelector: {a: b}}".replace("{a: b}", "{matchLabels: {a: b}}")
        + "\n---\nname: y/p\nspec: {podSelector: {matchLabels: {a: b}}}"
    )
    assert [r.key.path for r in lint(there)] == ["x/p", "y/p"]
    assert [r.key.path for r in lint(there, [ObjectKey("NetworkPolicy", "y", "p")])] == ["y/p"]


def test_addresses_outside_are_no_pods():
    assert remarks(f"{{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{cidr: {OUTSIDE}/32}}}}]}}]}}") == []
