"""Reading by schema: what is kept, what is left out, what is refused and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.pocket.api import ApiError, Options
from labkit.pocket.api.kinds.quantity import canonical
from labkit.pocket.api.schema import Schemas


def read(kind: str, obj: dict[str, Any], group: str = "", validation: str = "Strict") -> dict[str, Any]:
    return Schemas.builtin().decode(group, "v1", kind, obj, Options(validation=validation))


def refusal(kind: str, obj: dict[str, Any], group: str = "") -> str:
    with pytest.raises(ApiError) as caught:
        read(kind, obj, group)
    return caught.value.message.partition(f"cannot be handled as a {kind}: ")[2]


def policy(**spec: Any) -> dict[str, Any]:
    return {"spec": spec}


def test_reading_copies() -> None:
    sent = {"data": {"a": "b"}}
    got = read("ConfigMap", sent)
    got["data"]["a"] = "c"
    assert sent == {"data": {"a": "b"}}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"ingress": []}, {}),
        ({"ingress": None}, {}),
        ({"ingress": [{}]}, {"ingress": [{}]}),
        ({"ingress": [{"from": [], "ports": None}]}, {"ingress": [{}]}),
        ({"podSelector": {}}, {"podSelector": {}}),
        ({"podSelector": {"matchLabels": {}}}, {"podSelector": {}}),
        ({"podSelector": {"matchLabels": {"a": ""}}}, {"podSelector": {"matchLabels": {"a": ""}}}),
        (
            {"ingress": [{"from": [{"namespaceSelector": {}}]}]},
            {"ingress": [{"from": [{"namespaceSelector": {}}]}]},
        ),
        ({"ingress": [{"from": [{"namespaceSelector": None}]}]}, {"ingress": [{"from": [{}]}]}),
    ],
)
def test_a_policy_keeps_what_means_something(sent: dict[str, Any], kept: dict[str, Any]) -> None:
    # An empty selector selects everything; an empty list is no list.
    assert read("NetworkPolicy", policy(**sent), "networking.k8s.io") == policy(**kept)


def test_plain_fields_are_left_out_when_empty_and_pointers_are_kept() -> None:
    spec = {
        "hostNetwork": False,
        "automountServiceAccountToken": False,
        "nodeName": "",
        "containers": [{"name": "a", "image": "b", "tty": False, "env": [{"name": "A", "value": ""}]}],
    }
    assert read("Pod", {"spec": spec})["spec"] == {
        "automountServiceAccountToken": False,
        "containers": [{"name": "a", "image": "b", "env": [{"name": "A"}]}],
    }


@pytest.mark.parametrize(
    ("kind", "group", "obj", "words"),
    [
        (
            "Pod",
            "",
            {"spec": {"containers": [{"ports": [{"containerPort": "80"}]}]}},
            "json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            "NetworkPolicy",
            "networking.k8s.io",
            policy(ingress={}),
            (
                "json: cannot unmarshal object into Go struct field NetworkPolicySpec.spec.ingress of type "
                "[]v1.NetworkPolicyIngressRule"
            ),
        ),
        (
            "NetworkPolicy",
            "networking.k8s.io",
            policy(policyTypes="Ingress"),
            (
                "json: cannot unmarshal string into Go struct field NetworkPolicySpec.spec.policyTypes of type "
                "[]v1.PolicyType"
            ),
        ),
        (
            "ConfigMap",
            "",
            {"metadata": {"labels": {"a": 5}}},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        ("Secret", "", {"data": {"a": "not base64!"}}, "illegal base64 data at input byte 3"),
        (
            "Pod",
            "",
            {"spec": {"containers": [{"resources": {"limits": {"cpu": "much"}}}]}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "NetworkPolicy",
            "networking.k8s.io",
            policy(podSelecter={}, ingress=[{"form": []}]),
            'strict decoding error: unknown field "spec.podSelecter", unknown field "spec.ingress[0].form"',
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_gos_words(
    kind: str, group: str, obj: dict[str, Any], words: str
) -> None:
    assert refusal(kind, obj, group) == words


@pytest.mark.parametrize(
    ("given", "stored"),
    [("0.5", "500m"), ("1000m", "1"), ("1024Ki", "1Mi"), ("1000000000", "1G"), ("64Mi", "64Mi"), ("0", "0"), ("x", None)],
)  # fmt: skip
def test_quantities_are_stored_in_their_usual_form(given: str, stored: str | None) -> None:
    assert canonical(given) == stored


def test_every_schema_can_be_walked() -> None:
    schemas = Schemas.builtin()
    for name in schemas.definitions:
        assert schemas.node(name).shape
