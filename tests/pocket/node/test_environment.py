from __future__ import annotations

import base64
from typing import Any

import pytest

from labkit.pocket.node import environment
from labkit.pocket.node.environment import ConfigError

POD: dict[str, Any] = {
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "uid": "u-1",
        "labels": {"app": "web", "tier": "front"},
        "annotations": {},
    },
    "spec": {"nodeName": "pocket", "serviceAccountName": "default"},
}
OBJECTS = {
    ("configmaps", "settings"): {"kind": "ConfigMap", "data": {"a": "1", "b": "2"}},
    ("secrets", "key"): {"kind": "Secret", "data": {"word": base64.b64encode(b"sesame").decode()}},
}


def made(container: dict[str, Any], services: dict[str, str] | None = None) -> dict[str, str]:
    def lookup(resource: str, name: str) -> Any:
        return OBJECTS.get((resource, name))

    return environment.environment(container, POD, lookup, services or {}, "10.244.0.5", "172.18.0.2")


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"), ("x$(A)y$(B)", "x1y2"), ("$$(A)", "$(A)"), ("$(NOBODY)", "$(NOBODY)"), ("$A", "$A"),
        ("$$$$(A)", "$$(A)"), ("$$$(A)", "$1"), ("$(", "$("), ("$()", "$()"), ("100%$", "100%$"),
    ],
)  # fmt: skip
def test_references_expand_as_upstream_expands_them(text: str, expanded: str) -> None:
    assert environment.expand(text, {"A": "1", "B": "2"}) == expanded


def test_later_variables_may_use_earlier_ones_and_those_of_services() -> None:
    env = made(
        {"env": [{"name": "ONE", "value": "$(WEB_SERVICE_HOST)"}, {"name": "TWO", "value": "$(ONE):80"}]},
        {"WEB_SERVICE_HOST": "10.96.1.1"},
    )
    assert env["TWO"] == "10.96.1.1:80"


def test_env_wins_over_env_from_and_prefixes_are_put_before() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "key"}, "prefix": "S_"}],
        "env": [{"name": "a", "value": "own"}],
    }
    assert made(container) == {"a": "own", "b": "2", "S_word": "sesame"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "a"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "none", "key": "a"}}, 'secret "none" not found'),
        (
            {"configMapKeyRef": {"name": "settings", "key": "z"}},
            "couldn't find key z in ConfigMap shop/settings",
        ),
        ({"secretKeyRef": {"name": "key", "key": "z"}}, "couldn't find key z in Secret shop/key"),
    ],
)
def test_what_is_missing_is_named_unless_it_is_optional(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made({"env": [{"name": "X", "valueFrom": source}]})
    assert str(caught.value) == message

    optional = {kind: {**reference, "optional": True} for kind, reference in source.items()}
    assert made({"env": [{"name": "X", "valueFrom": optional}]}) == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"), ("metadata.uid", "u-1"), ("metadata.labels['tier']", "front"), ("spec.nodeName", "pocket"),
        ("status.podIP", "10.244.0.5"), ("status.hostIP", "172.18.0.2"), ("metadata.labels", 'app="web"\ntier="front"'),
    ],
)  # fmt: skip
def test_the_downward_api_knows_the_pod(path: str, value: str) -> None:
    assert made({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}]}) == {"X": value}


def test_resource_fields_are_rounded_up_to_the_divisor() -> None:
    container = {"resources": {"limits": {"memory": "100Mi", "cpu": "250m"}}}
    assert environment.resource_field(container, {"resource": "limits.memory", "divisor": "1Mi"}) == "100"
    assert environment.resource_field(container, {"resource": "limits.cpu", "divisor": "1"}) == "1"
    assert environment.resource_field(container, {"resource": "limits.cpu", "divisor": "1m"}) == "250"


def service(name: str, namespace: str, cluster_ip: str, *ports: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": cluster_ip, "ports": list(ports)},
    }


def test_services_of_the_namespace_are_variables_in_dockers_manner() -> None:
    services = [
        service("my-db", "shop", "10.96.1.1", {"name": "sql", "port": 3306}, {"name": "web-ui", "port": 80}),
        service("headless", "shop", "None", {"port": 1}),
        service("elsewhere", "other", "10.96.1.2", {"port": 1}),
        service("kubernetes", "default", "10.96.0.1", {"name": "https", "port": 443}),
    ]
    variables = environment.service_variables(services, "shop", links=True)
    assert variables["MY_DB_SERVICE_HOST"] == "10.96.1.1"
    assert variables["MY_DB_SERVICE_PORT_WEB_UI"] == "80"
    assert variables["MY_DB_PORT"] == "tcp://10.96.1.1:3306"
    assert variables["MY_DB_PORT_80_TCP_ADDR"] == "10.96.1.1"
    assert {name.split("_")[0] for name in variables} == {"MY", "KUBERNETES"}
    without = environment.service_variables(services, "shop", links=False)
    assert {name.split("_")[0] for name in without} == {"KUBERNETES"}


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({}, ("/entry", "arg")),
        ({"args": ["mine"]}, ("/entry", "mine")),
        ({"command": ["/own"]}, ("/own",)),
        ({"command": ["/own"], "args": ["$(A)"]}, ("/own", "1")),
    ],
)
def test_command_and_args_replace_entry_point_and_command(
    container: dict[str, Any], words: tuple[str, ...]
) -> None:
    assert environment.command_line(container, ("/entry",), ("arg",), {"A": "1"}) == words
