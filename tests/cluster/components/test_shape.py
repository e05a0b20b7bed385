"""Components by name, and how they are asked for."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path

import pytest

from labkit.cluster import components
from labkit.cluster.components import ComponentError, Missing, Options
from labkit.cluster.components.applying import in_order
from labkit.cluster.paper import PaperCluster


@pytest.mark.parametrize("name", components.names())
def test_every_component_has_the_shape(name: str) -> None:
    component = components.get(name)
    assert component.name == name
    assert component.title
    for method in ("needs", "install", "wait", "verify", "version", "uninstall", "embedded", "remarks"):
        assert callable(getattr(component, method))


def test_an_unknown_component_names_those_there_are() -> None:
    with pytest.raises(ComponentError, match='no component "consul"; there are: calico, cert-manager'):
        components.get("consul")


def test_optional_parts_stand_behind_a_plus() -> None:
    assert components.split("istio+ambient+ingress") == ("istio", frozenset({"ambient", "ingress"}))
    assert components.title_of("istio+ambient") == "Istio"


def test_a_cluster_on_paper_says_what_is_missing() -> None:
    with pytest.raises(Missing, match=r"needs Istio, cert-manager, .* no engine here"):
        components.ensure(PaperCluster("There is no engine here."), ["istio", "cert-manager"])


def test_the_environment_says_how_to_install() -> None:
    said = {
        "LABKIT_CERT_MANAGER_HUB": "registry.example/quay",
        "LABKIT_ISTIO_OVERLAY": os.pathsep.join(["/a.yaml", "/b.yaml"]),
        "LABKIT_ISTIO_WITH": "ambient, ingress",
    }
    assert Options.of_environment("cert-manager", said).hub == "registry.example/quay"
    istio = Options.of_environment("istio", said)
    assert istio.overlays == (Path("/a.yaml"), Path("/b.yaml"))
    assert istio.extras == {"ambient", "ingress"}
    assert Options.of_environment("linkerd", said) == Options()


def test_a_chapter_can_require_every_component_and_no_other() -> None:
    schema = json.loads(resources.files("labkit.course").joinpath("schema.json").read_text(encoding="utf-8"))
    pattern = schema["properties"]["requires"]["items"]["pattern"]
    assert pattern == f"^({'|'.join(components.names())})(\\+[a-z]+)*$"


def obj(kind: str, api_version: str = "v1") -> dict:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": kind.lower()}}


def test_objects_come_in_an_order_that_works() -> None:
    given = [
        obj("MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1"),
        obj("Installation", "operator.tigera.io/v1"),
        obj("Deployment", "apps/v1"),
        obj("ConfigMap"),
        obj("ClusterRole", "rbac.authorization.k8s.io/v1"),
        obj("CustomResourceDefinition", "apiextensions.k8s.io/v1"),
        obj("Namespace"),
    ]
    assert [one["kind"] for one in in_order(given)] == [
        "Namespace",
        "CustomResourceDefinition",
        "ClusterRole",
        "Deployment",
        "ConfigMap",
        "Installation",
        "MutatingWebhookConfiguration",
    ]
