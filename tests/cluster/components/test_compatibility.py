"""What is refused, what is only warned of, and that every rule says where it is known from."""

from __future__ import annotations

import pytest

from labkit.cluster.components import compatibility, names
from labkit.cluster.components.compatibility import KUBERNETES, RULES, SUPPORT, Severity, objections
from labkit.cluster.components.versions import Range, numbers


def refusals(component: str, version: str, there: dict[str, str], *extras: str) -> list[str]:
    found = objections(component, version, there, extras)
    return [one.message for one in found if one.severity is Severity.REFUSE]


def warnings(component: str, version: str, there: dict[str, str]) -> list[str]:
    return [one.message for one in objections(component, version, there) if one.severity is Severity.WARN]


@pytest.mark.parametrize("version", ["3.30.0", "3.30.7", "3.31.0", "v3.31.7"])
def test_application_layer_policy_is_refused_where_calico_answers_403_to_everything(version: str) -> None:
    [why] = refusals("calico", version, {KUBERNETES: "v1.34.3"}, "alp")
    assert "every HTTP request gets 403" in why
    assert "3.32.0 or later" in why
    assert "calico#11857" in why


@pytest.mark.parametrize("version", ["3.29.7", "3.32.0", "3.32.1"])
def test_application_layer_policy_is_taken_before_and_after(version: str) -> None:
    assert refusals("calico", version, {KUBERNETES: "v1.34.3"}, "alp") == []


def test_the_same_calico_without_application_layer_policy_is_taken() -> None:
    assert refusals("calico", "3.31.7", {KUBERNETES: "v1.34.3"}) == []


def test_application_layer_policy_needs_an_istio_with_native_sidecars() -> None:
    assert "1.22 or later" in refusals("calico", "3.32.1", {KUBERNETES: "1.34", "istio": "1.21.6"}, "alp")[0]
    assert refusals("calico", "3.32.1", {KUBERNETES: "1.34", "istio": "1.30.4"}, "alp") == []


def test_a_kind_whose_network_enforces_nothing_is_refused() -> None:
    assert refusals("kind", "0.23.0", {})
    assert refusals("kind", "v0.24.0", {}) == []


@pytest.mark.parametrize(
    ("component", "version", "kubernetes"),
    [("istio", "1.30.4", "v1.31.9"), ("linkerd", "edge-26.6.3", "v1.30.1"), ("calico", "3.32.1", "v1.33.2")],
)
def test_a_kubernetes_older_than_upstream_supports_is_refused(
    component: str, version: str, kubernetes: str
) -> None:
    [why] = refusals(component, version, {KUBERNETES: kubernetes})
    assert kubernetes.removeprefix("v") in why
    assert "supports Kubernetes" in why


def test_a_kubernetes_newer_than_upstream_has_tried_is_only_a_warning() -> None:
    assert refusals("istio", "1.30.4", {KUBERNETES: "v1.38.0"}) == []
    [line] = warnings("istio", "1.30.4", {KUBERNETES: "v1.38.0"})
    assert "newer than was tried" in line


@pytest.mark.parametrize(("version", "fits"), [("1.1.1", False), ("1.2.1", True), ("1.5.1", True)])
def test_linkerd_needs_a_gateway_api_of_its_time(version: str, fits: bool) -> None:
    there = {KUBERNETES: "v1.34.3", "gateway-api": version}
    assert (refusals("linkerd", "edge-26.6.3", there) == []) is fits


def test_a_rule_holds_whichever_of_the_two_comes_second() -> None:
    there = {KUBERNETES: "v1.34.3", "linkerd": "edge-26.6.3"}
    assert (
        "Linkerd edge-26.6.3 supports Gateway API 1.2.1 to 1.5.1"
        in refusals("gateway-api", "1.0.0", there)[0]
    )


def test_an_unknown_version_is_no_reason_to_refuse() -> None:
    assert objections("istio", "latest", {KUBERNETES: "v1.20.0"}) == []
    assert objections("linkerd", "edge-26.6.3", {KUBERNETES: "v1.34.3", "gateway-api": "unknown"}) == []


def test_every_rule_has_a_source_and_is_about_something_that_there_is() -> None:
    known = {*names(), KUBERNETES, "kind"}
    for rule in RULES:
        assert rule.source
        assert rule.remedy.endswith(".")
        assert {rule.component, rule.other or KUBERNETES} <= known
    for support in SUPPORT:
        assert support.source
        assert {support.component, support.other} <= known


def test_the_versions_of_the_table_go_together() -> None:
    """What the lab installs by default must not be refused, on the Kubernetes that it starts by default."""
    from labkit.cluster import tools

    table = tools.read()
    there = {
        KUBERNETES: table.node.tag,
        "istio": table.tools["istioctl"].version,
        "linkerd": table.tools["linkerd"].version,
        **{name: table.manifests[name].version for name in ("calico", "cert-manager", "gateway-api")},
    }
    for name, version in there.items():
        others = {other: value for other, value in there.items() if other != name}
        assert compatibility.objections(name, version, others, {"alp"} if name == "calico" else ()) == []


@pytest.mark.parametrize(
    ("version", "expected"),
    [("v1.31.4", (1, 31, 4)), ("edge-25.10.7", (25, 10, 7)), ("1.32.0-rc.1", (1, 32, 0)), ("latest", ())],
)
def test_numbers_of_versions_as_they_are_written(version: str, expected: tuple[int, ...]) -> None:
    assert numbers(version) == expected


def test_a_range_includes_all_patches_of_its_high_end() -> None:
    assert "3.31.7" in Range("3.30.0", "3.31")
    assert "3.32.0" not in Range("3.30.0", "3.31")
    assert "3.29.9" not in Range("3.30.0", "3.31")
    assert "anything" not in Range()
