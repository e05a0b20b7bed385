"""The patch that `kubectl apply` would send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from labkit.cluster.threeway import ANNOTATION, annotated, last_applied, patch


def deployment(image: str = "a:1", **container: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "c", "image": image, **container}]}
    return {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": {"spec": pod}}}


def containers(change: dict[str, Any]) -> Any:
    return change["spec"]["template"]["spec"]["containers"]


def test_the_annotation_is_written_as_kubectl_writes_it() -> None:
    obj = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"a": "<&>"},
    }
    text = annotated(obj)["metadata"]["annotations"][ANNOTATION]
    assert text == (
        '{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{},"name":"p","namespace":"default"},'
        '"spec":{"a":"\\u003c\\u0026\\u003e"}}\n'
    )
    assert last_applied({"metadata": {"annotations": {ANNOTATION: text}}})["spec"] == {"a": "<&>"}


def test_an_annotation_broken_by_hand_is_as_none() -> None:
    assert last_applied({"metadata": {"annotations": {ANNOTATION: "{"}}}) is None
    assert last_applied({"metadata": {}}) is None


def test_defaults_of_the_server_and_labels_of_others_are_kept() -> None:
    live = deployment(imagePullPolicy="IfNotPresent")
    live["metadata"]["labels"] = {"somebody": "else"}
    live["spec"]["replicas"] = 3
    assert patch(deployment(), deployment(), live, strategic=True) == {}


def test_a_changed_field_of_a_list_item_is_sent_with_its_key() -> None:
    change = patch(deployment(), deployment("a:2"), deployment(), strategic=True)
    assert containers(change) == [{"name": "c", "image": "a:2"}]


def test_what_the_manifest_no_longer_has_is_removed_and_only_that() -> None:
    before = deployment(args=["x"], workingDir="/a")
    live = deployment(args=["x"], workingDir="/a", stdin=True)
    change = patch(before, deployment(workingDir="/a"), live, strategic=True)
    assert containers(change) == [{"name": "c", "args": None}]


def test_an_item_that_was_taken_out_is_deleted_by_its_key() -> None:
    before, now = deployment(), deployment()
    sidecar = {"name": "side", "image": "s"}
    before["spec"]["template"]["spec"]["containers"].append(sidecar)
    live = json.loads(json.dumps(before))
    live["spec"]["template"]["spec"]["containers"].append({"name": "injected", "image": "i"})
    assert containers(patch(before, now, live, strategic=True)) == [{"$patch": "delete", "name": "side"}]


def policy(*rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "NetworkPolicy",
        "metadata": {"name": "p"},
        "spec": {"podSelector": {}, "ingress": list(rules)},
    }


def test_rules_of_a_policy_are_replaced_as_a_whole() -> None:
    narrow = {
        "from": [{"podSelector": {"matchLabels": {"a": "b"}}}],
        "ports": [{"port": 80, "protocol": "TCP"}],
    }
    change = patch(policy(narrow), policy({}), policy(narrow), strategic=True)
    assert change == {"spec": {"ingress": [{}]}}
    assert patch(policy(narrow), policy(narrow), policy(narrow), strategic=True) == {}


def test_what_somebody_added_to_a_rule_by_hand_is_undone() -> None:
    mine = {"from": [{"podSelector": {}}]}
    edited = {"from": [{"podSelector": {}, "namespaceSelector": {}}]}
    assert patch(policy(mine), policy(mine), policy(edited), strategic=True) == {"spec": {"ingress": [mine]}}


def test_ports_without_one_key_each_replace_the_list() -> None:
    def service(*ports: dict[str, Any]) -> dict[str, Any]:
        return {"kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": list(ports)}}

    tcp, udp = {"port": 53, "protocol": "TCP", "name": "t"}, {"port": 53, "protocol": "UDP", "name": "u"}
    change = patch(service(tcp), service(tcp, udp), service(tcp), strategic=True)
    assert change == {"spec": {"ports": [{"$patch": "replace"}, tcp, udp]}}


def test_a_volume_changes_its_source() -> None:
    def pod(volume: dict[str, Any]) -> dict[str, Any]:
        return {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"volumes": [{"name": "v", **volume}]}}

    change = patch(
        pod({"emptyDir": {}}), pod({"configMap": {"name": "c"}}), pod({"emptyDir": {}}), strategic=True
    )
    assert change["spec"]["volumes"] == [{"name": "v", "configMap": {"name": "c"}, "emptyDir": None}]


def test_lists_of_custom_resources_are_replaced() -> None:
    def thing(*hosts: str) -> dict[str, Any]:
        return {
            "kind": "Thing",
            "metadata": {"name": "t"},
            "spec": {"env": [{"name": host} for host in hosts]},
        }

    change = patch(thing("a"), thing("a", "b"), thing("a"), strategic=False)
    assert change == {"spec": {"env": [{"name": "a"}, {"name": "b"}]}}


@pytest.mark.parametrize("empty", [{}, [], None])
def test_an_empty_field_that_the_server_dropped_is_no_change(empty: Any) -> None:
    mine = {"kind": "X", "metadata": {"name": "x"}, "spec": {"a": empty, "b": 1}}
    assert patch(mine, mine, {"metadata": {"name": "x"}, "kind": "X", "spec": {"b": 1}}, strategic=True) == {}
