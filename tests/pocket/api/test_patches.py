"""The four kinds of patches."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.pocket.api import Api, ApiError, Options
from labkit.pocket.api.patch import go_text, merge
from labkit.pocket.api.schema import Schemas
from labkit.pocket.api.strategic import PatchMistake, strategic_merge
from tests.pocket.api.conftest import deployment

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


def strategic(current: dict[str, Any], patch: dict[str, Any], kind: str = "Pod") -> dict[str, Any]:
    node = Schemas.builtin().kind("apps" if kind == "Deployment" else "", "v1", kind)
    assert node is not None
    return strategic_merge(node, current, patch)


def containers(*items: dict[str, Any], **directives: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(items), **directives}}


def test_containers_merge_by_name() -> None:
    current = containers({"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"})
    patch = containers({"name": "b", "image": "3"}, {"name": "c", "image": "4"})
    assert strategic(current, patch) == containers(
        {"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "3"}, {"name": "c", "image": "4"}
    )
    assert current == containers({"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"})


def test_a_container_is_deleted_by_directive() -> None:
    current = containers({"name": "a", "image": "1"}, {"name": "b", "image": "2"})
    assert strategic(current, containers({"name": "a", "$patch": "delete"})) == containers(
        {"name": "b", "image": "2"}
    )


def test_the_order_that_the_patch_gives_is_kept() -> None:
    current = containers({"name": "a", "image": "1"}, {"name": "b", "image": "2"})
    order = {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}
    assert strategic(current, containers({"name": "b", "image": "3"}, **order)) == containers(
        {"name": "b", "image": "3"}, {"name": "a", "image": "1"}
    )


def test_a_list_without_a_merge_key_is_replaced() -> None:
    current = containers({"name": "a", "args": ["x", "y"]})
    assert strategic(current, containers({"name": "a", "args": ["z"]})) == containers(
        {"name": "a", "args": ["z"]}
    )


def test_null_removes_and_replace_replaces() -> None:
    current = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"nodeSelector": {"x": "y"}}}
    patch = {"metadata": {"labels": {"a": None}}, "spec": {"nodeSelector": {"$patch": "replace", "z": "w"}}}
    assert strategic(current, patch) == {
        "metadata": {"labels": {"b": "2"}},
        "spec": {"nodeSelector": {"z": "w"}},
    }


def test_only_retained_keys_stay() -> None:
    current = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic(current, patch, "Deployment") == {"spec": {"strategy": {"type": "Recreate"}}}


def test_primitive_lists_with_merge_strategy_are_sets() -> None:
    current = {"metadata": {"finalizers": ["a/a", "b/b"]}}
    assert strategic(current, {"metadata": {"finalizers": ["c/c"]}})["metadata"]["finalizers"] == [
        "c/c",
        "a/a",
        "b/b",
    ]
    gone = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/a"]}}
    assert strategic(current, gone)["metadata"]["finalizers"] == ["b/b"]


def test_service_ports_merge_by_port() -> None:
    current = {"spec": {"ports": [{"port": 80, "targetPort": 1}, {"port": 81, "targetPort": 2}]}}
    patch = {"spec": {"ports": [{"port": 81, "targetPort": 3}]}}
    assert strategic(current, patch, "Service")["spec"]["ports"] == [
        {"port": 80, "targetPort": 1},
        {"port": 81, "targetPort": 3},
    ]


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ({"$patch": "foo"}, r"unknown patch type: foo in map: map\[\$patch:foo\]"),
        (containers({"image": "x"}), r"map: map\[image:x\] does not contain declared merge key: name"),
    ],
)
def test_a_malformed_strategic_patch_is_refused(patch: dict[str, Any], words: str) -> None:
    with pytest.raises(PatchMistake, match=words):
        strategic({"spec": {}}, patch)


def test_a_merge_patch_is_rfc_7386() -> None:
    current = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge(current, {"a": {"b": None, "c": [3]}, "e": {"f": None, "g": 1}}) == {
        "a": {"c": [3]},
        "d": 1,
        "e": {"g": 1},
    }


def test_go_prints_maps_sorted() -> None:
    assert go_text({"b": [{"x": None}, True], "a": 1}) == "map[a:1 b:[map[x:<nil>] true]]"


def patched(api: Api, kind: str, body: Any, **more: Any) -> dict[str, Any]:
    return api.patch("deployments.apps", "web", "shop", kind, body, **more)


def refused(api: Api, kind: str, body: Any, **more: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        patched(api, kind, body, **more)
    return caught.value


def test_each_kind_of_patch_reaches_the_store(api: Api) -> None:
    api.create("deployments.apps", deployment("web"))
    assert patched(api, MERGE, {"spec": {"replicas": 2}})["spec"]["replicas"] == 2
    assert (
        patched(api, JSON, [{"op": "replace", "path": "/spec/replicas", "value": 3}])["spec"]["replicas"] == 3
    )
    body = {
        "spec": {
            "template": {"spec": {"containers": [{"name": "web", "env": [{"name": "A", "value": "b"}]}]}}
        }
    }
    (container,) = patched(api, STRATEGIC, body)["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["env"]) == ("nginx:1.27", [{"name": "A", "value": "b"}])
    assert patched(api, MERGE, {"spec": {"replicas": 3}})["metadata"]["generation"] == 4, (
        "no change, no write"
    )


def test_a_patch_that_makes_no_object_says_why(api: Api) -> None:
    api.create("deployments.apps", deployment("web"))
    error = refused(api, STRATEGIC, {"spec": {"replicas": "x"}})
    assert (error.code, error.message) == (
        422,
        ' "" is invalid: patch: Invalid value: "map[spec:map[replicas:x]]": unrecognized type: int32',
    )
    strict = Options(validation="Strict")
    error = refused(api, STRATEGIC, {"spec": {"replica": 1}}, options=strict)
    assert error.message.endswith('strict decoding error: unknown field "spec.replica"')
    assert refused(api, JSON, [{"op": "remove", "path": "/spec/none"}]).code == 422
    assert refused(api, JSON, {"a": 1}).message.startswith(
        "error decoding patch: json: cannot unmarshal object"
    )
    assert refused(api, MERGE, []).message.startswith("error decoding patch: json: cannot unmarshal array")
    assert refused(api, MERGE, {"metadata": {"name": "x"}}).message == (
        "the name of the object (x) does not match the name on the URL (web)"
    )


def apply(api: Api, manager: str, spec: dict[str, Any], *, force: bool = False) -> dict[str, Any]:
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    return api.patch(
        "deployments.apps", "web", "shop", APPLY, body, force=force, options=Options(manager=manager)
    )


def config(image: str = "nginx:1.27", **spec: Any) -> dict[str, Any]:
    base: dict[str, Any] = {**deployment("web")["spec"], **spec}
    base["template"]["spec"]["containers"][0]["image"] = image
    return base


def test_server_side_apply_creates_owns_and_removes(api: Api) -> None:
    created = apply(api, "me", config(minReadySeconds=3))
    (entry,) = created["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("me", "Apply")
    assert entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"] == {
        'k:{"name":"web"}': {".": {}, "f:image": {}, "f:name": {}}
    }
    again = apply(api, "me", config(minReadySeconds=3))
    assert again["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
    fewer = apply(api, "me", config())
    assert "minReadySeconds" not in fewer["spec"], "what the owner names no longer is removed"
    assert fewer["spec"]["revisionHistoryLimit"] == 10, "what nobody applied stays"


def test_two_appliers_conflict_over_a_value_and_share_an_equal_one(api: Api) -> None:
    apply(api, "me", config(replicas=2))
    shared = apply(api, "you", {"replicas": 2})
    assert {entry["manager"] for entry in shared["metadata"]["managedFields"]} == {"me", "you"}
    with pytest.raises(ApiError) as caught:
        apply(api, "you", {"replicas": 5})
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "me": .spec.replicas'
    assert caught.value.status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "me"', "field": ".spec.replicas"}
    ]
    forced = apply(api, "you", {"replicas": 5}, force=True)
    assert forced["spec"]["replicas"] == 5
    owners = {
        entry["manager"]
        for entry in forced["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }
    assert owners == {"you"}


def test_an_ordinary_write_takes_ownership_and_apply_meets_it(api: Api) -> None:
    apply(api, "me", config(replicas=2))
    api.patch(
        "deployments.apps",
        "web",
        "shop",
        MERGE,
        {"spec": {"replicas": 4}},
        options=Options(manager="kubectl-scale"),
    )
    with pytest.raises(ApiError) as caught:
        apply(api, "me", config(replicas=2))
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-scale" using apps/v1: .spec.replicas'
    )


def test_several_conflicts_are_listed(api: Api) -> None:
    apply(api, "me", config("nginx:1.27", replicas=2))
    with pytest.raises(ApiError) as caught:
        apply(api, "you", config("nginx:1.28", replicas=3))
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "me":\n- .spec.replicas\n'
        '- .spec.template.spec.containers[name="web"].image'
    )
