"""Remarks about a mesh: the analyzer's under its codes, and ours."""

import pytest

from labkit.policy.lint import lint
from tests.policy.mesh.meshes import mesh, pod, service


def codes(world):
    return {remark.code for remark in lint(world)}


def test_the_bare_mesh_is_told_about_its_namespace_outside():
    (remark,) = lint(mesh())
    assert (remark.code, remark.key.name) == ("IST0102", "legacy")


def test_network_policies_alone_get_no_remarks_about_a_mesh():
    from labkit.policy import World

    assert lint(World.from_objects([pod("a/x", "10.0.0.1", sidecar=False)])) == []


POLICY = "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: foo}\nspec: "


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (
            POLICY + "{selector: {matchLabels: {app: wbe}}, rules: [{}]}",
            "IST0127",
            "with the following labels: app=wbe",
        ),
        (
            POLICY + "{rules: [{from: [{source: {namespaces: [nowhere]}}]}]}",
            "IST0101",
            'namespace not found: "nowhere"',
        ),
        (
            POLICY + "{rules: [{from: [{source: {principals: ['spiffe://x/ns/a/sa/b']}}]}]}",
            "spiffe-written",
            "without spiffe",
        ),
        (
            POLICY + "{rules: [{from: [{source: {principals: [cluster.local/ns/bar/sa/x]}}]}]}",
            "no-such-principal",
            "no pod runs",
        ),
        (
            POLICY + "{rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}",
            "no-request-authentication",
            "no RequestAuth",
        ),
        (
            POLICY + "{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}]}",
            "webhook-warning",
            "deny all traffic",
        ),
        (
            POLICY + "{action: DENY, rules: [{from: [{source: {namespaces: [bar]}}]}]}",
            "deny-by-identity",
            "plaintext",
        ),
        (
            "kind: PeerAuthentication\nmetadata: {name: p, namespace: istio-system}\nspec: {selector: {matchLabels: {a: b}}}",
            "selector-in-root",
            "void",
        ),
        (
            (
                "kind: PeerAuthentication\nmetadata: {name: p, namespace: foo}\n"
                "spec: {selector: {matchLabels: {app: web}}, portLevelMtls: {8000: {mode: STRICT}}}"
            ),
            "service-port",
            "ports of the workload",
        ),
        (
            "kind: DestinationRule\nmetadata: {name: d, namespace: foo}\nspec: {host: nobody}",
            "IST0174",
            "host nobody",
        ),
        (
            (
                "kind: DestinationRule\nmetadata: {name: d, namespace: foo}\n"
                "spec: {host: web, subsets: [{name: v9, labels: {version: v9}}]}"
            ),
            "IST0173",
            "Subset v9",
        ),
        (
            "kind: RequestAuthentication\nmetadata: {name: r, namespace: foo}\nspec: {jwtRules: [{issuer: a}]}",
            "token-not-required",
            "requires none",
        ),
    ],
)
def test_a_mistake_gets_its_remark(text, code, words):
    (remark,) = [remark for remark in lint(mesh(text)) if remark.code == code]
    assert words in remark.message
    assert remark.line == 3


def test_a_port_without_a_protocol_and_a_pod_without_a_proxy():
    world = mesh("", service("foo/plain", ("web", 80, 80)), pod("foo/old", "10.0.0.9", sidecar=False))
    assert codes(world) == {"IST0102", "IST0103", "IST0118"}


def test_a_route_by_claims_needs_a_request_authentication_on_the_gateway():
    text = """
kind: Gateway
metadata: {name: gw, namespace: foo}
spec: {selector: {app: web}}
---
kind: VirtualService
metadata: {name: v, namespace: foo}
spec: {gateways: [gw], http: [{match: [{headers: {"@request.auth.claims.sub": {exact: a}}}]}]}
"""
    assert "IST0149" in codes(mesh(text))
    jwt = "\n---\nkind: RequestAuthentication\nmetadata: {name: r, namespace: foo}\nspec: {jwtRules: [{issuer: a}]}"
    assert "IST0149" not in codes(mesh(text + jwt))
