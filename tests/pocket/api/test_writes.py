"""Creating, changing and deleting through the in-process Api."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.pocket.api import Api, ApiError, Options, clone
from tests.pocket.api.conftest import deployment, pod


def refused(call: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value


def test_a_created_object_has_what_the_server_sets(api: Api) -> None:
    sent = deployment("web")
    created = api.create("deployments.apps", sent)
    assert {"uid", "resourceVersion", "creationTimestamp", "generation"} <= set(created["metadata"])
    assert created["spec"]["strategy"]["type"] == "RollingUpdate"
    assert "uid" not in sent["metadata"], "the caller's object is left alone"
    assert api.get("deployments.apps", "web", "shop") is created


def test_names_are_generated(api: Api) -> None:
    names = set()
    for _ in range(20):
        obj = {"metadata": {"generateName": "web-"}, "data": {"a": "b"}}
        names.add(api.create("configmaps", obj, "shop")["metadata"]["name"])
    assert len(names) == 20
    assert all(name.startswith("web-") and len(name) == 9 for name in names)


def test_what_exists_cannot_be_created_again(api: Api) -> None:
    api.create("pods", pod("a"))
    error = refused(lambda: api.create("pods", pod("a")))
    assert (error.code, error.reason, error.message) == (409, "AlreadyExists", 'pods "a" already exists')


def test_objects_need_a_namespace_that_lives(api: Api) -> None:
    assert (
        refused(lambda: api.create("pods", pod("a", "nowhere"))).message == 'namespaces "nowhere" not found'
    )
    api.delete("namespaces", "shop")
    error = refused(lambda: api.create("pods", pod("a")))
    assert error.code == 403
    assert error.message == (
        'pods "a" is forbidden: unable to create new content in namespace shop because it is being terminated'
    )


def test_a_pod_gets_its_service_account_and_its_token(api: Api) -> None:
    spec = api.create("pods", pod("a"))["spec"]
    assert spec["serviceAccountName"] == "default"
    (volume,) = spec["volumes"]
    assert spec["containers"][0]["volumeMounts"][0]["name"] == volume["name"]
    error = refused(
        lambda: api.create("pods", {**pod("b"), "spec": {**pod("b")["spec"], "serviceAccountName": "x"}})
    )
    assert error.message == (
        'pods "b" is forbidden: error looking up service account shop/x: serviceaccount "x" not found'
    )


def test_a_write_on_top_of_an_old_state_is_a_conflict(api: Api) -> None:
    first = api.create("configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}}, "shop")
    second = api.update("configmaps", {**clone(first), "data": {"a": "2"}})
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    error = refused(lambda: api.update("configmaps", {**clone(first), "data": {"a": "3"}}))
    assert error.message == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )


def test_a_write_that_changes_nothing_is_none(api: Api) -> None:
    first = api.create("deployments.apps", deployment("web"))
    assert api.update("deployments.apps", clone(first)) is first
    assert api.modify("deployments.apps", "web", "shop", lambda _obj: None) is first
    assert api.modify("deployments.apps", "web", "shop", lambda obj: obj) is first


def test_the_generation_counts_changes_of_the_spec_only(api: Api) -> None:
    api.create("deployments.apps", deployment("web"))

    def labelled(obj: dict[str, Any]) -> dict[str, Any]:
        obj["metadata"]["labels"] = {"x": "y"}
        return obj

    def scaled(obj: dict[str, Any]) -> dict[str, Any]:
        obj["spec"]["replicas"] = 5
        return obj

    def reported(obj: dict[str, Any]) -> dict[str, Any]:
        obj["status"]["replicas"] = 5
        obj["spec"]["replicas"] = 1
        return obj

    assert api.modify("deployments.apps", "web", "shop", labelled)["metadata"]["generation"] == 1
    assert api.modify("deployments.apps", "web", "shop", scaled)["metadata"]["generation"] == 2
    after = api.modify("deployments.apps", "web", "shop", reported, subresource="status")
    assert (after["metadata"]["generation"], after["spec"]["replicas"], after["status"]["replicas"]) == (
        2,
        5,
        5,
    )


def test_a_spec_cannot_bring_a_status(api: Api) -> None:
    created = api.create("pods", {**pod("a"), "status": {"phase": "Running"}})
    assert created["status"]["phase"] == "Pending"
    changed = {**clone(created), "status": {"phase": "Running"}}
    assert api.update("pods", changed)["status"]["phase"] == "Pending"
    assert api.update("pods", changed, subresource="status")["status"]["phase"] == "Running"


def test_a_dry_run_leaves_no_trace(api: Api) -> None:
    revision = api.store.revision
    created = api.create("pods", pod("a"), dry_run=True)
    assert created["spec"]["restartPolicy"] == "Always"
    assert api.find("pods", "a", "shop") is None
    kept = api.create("configmaps", {"metadata": {"name": "c"}}, "shop")
    api.update("configmaps", {**clone(kept), "data": {"a": "b"}}, options=Options(dry_run=True))
    api.delete("configmaps", "c", "shop", options=Options(dry_run=True))
    assert api.get("configmaps", "c", "shop") is kept
    assert api.store.revision == revision + 1, "the ConfigMap alone"


def test_a_pod_on_a_node_is_given_time_to_end(api: Api) -> None:
    api.create("pods", pod("a"))
    api.patch(
        "pods",
        "a",
        "shop",
        "application/merge-patch+json",
        {"spec": {"nodeName": "pocket"}},
        subresource="binding",
    )
    marked = api.delete("pods", "a", "shop")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    assert api.get("pods", "a", "shop")["metadata"]["generation"] == 2
    assert api.delete("pods", "a", "shop", grace_period=5)["metadata"]["deletionGracePeriodSeconds"] == 5
    api.delete("pods", "a", "shop", grace_period=0)
    assert api.find("pods", "a", "shop") is None


def test_a_pod_without_a_node_goes_at_once(api: Api) -> None:
    api.create("pods", pod("a"))
    api.delete("pods", "a", "shop")
    assert api.find("pods", "a", "shop") is None


def test_a_finalizer_holds_an_object_until_it_is_taken_away(api: Api) -> None:
    api.create("configmaps", {"metadata": {"name": "c", "finalizers": ["example.com/wait"]}}, "shop")
    api.delete("configmaps", "c", "shop")
    held = api.get("configmaps", "c", "shop")
    assert held["metadata"]["deletionTimestamp"]
    error = refused(
        lambda: api.modify(
            "configmaps",
            "c",
            "shop",
            lambda obj: {**obj, "metadata": {**obj["metadata"], "finalizers": ["a/b", "example.com/wait"]}},
        )
    )
    assert "no new finalizers can be added if the object is being deleted" in error.message
    api.modify(
        "configmaps", "c", "shop", lambda obj: {**obj, "metadata": {**obj["metadata"], "finalizers": []}}
    )
    assert api.find("configmaps", "c", "shop") is None


def test_deleting_in_the_foreground_waits_for_the_garbage_collector(api: Api) -> None:
    api.create("deployments.apps", deployment("web"))
    api.delete("deployments.apps", "web", "shop", propagation="Foreground")
    assert api.get("deployments.apps", "web", "shop")["metadata"]["finalizers"] == ["foregroundDeletion"]


def test_a_deletion_can_name_the_object_it_means(api: Api) -> None:
    created = api.create("configmaps", {"metadata": {"name": "c"}}, "shop")
    error = refused(lambda: api.delete("configmaps", "c", "shop", preconditions={"uid": "other"}))
    assert error.code == 409
    assert "the UID in the precondition (other) does not match the UID in record" in error.message
    api.delete("configmaps", "c", "shop", preconditions={"uid": created["metadata"]["uid"]})


def test_a_namespace_ends_when_its_finalizer_is_gone(api: Api) -> None:
    api.delete("namespaces", "shop")
    namespace = api.get("namespaces", "shop")
    assert namespace["status"]["phase"] == "Terminating"
    api.modify(
        "namespaces", "shop", None, lambda obj: {**obj, "spec": {"finalizers": []}}, subresource="finalize"
    )
    assert api.find("namespaces", "shop") is None
    assert refused(lambda: api.delete("namespaces", "default")).message == (
        'namespaces "default" is forbidden: this namespace may not be deleted'
    )


def test_services_get_addresses_that_nobody_has(api: Api) -> None:
    def service(name: str, **spec: Any) -> dict[str, Any]:
        body = {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}
        return api.create("services", body, "shop")

    addresses = {service(f"s{number}")["spec"]["clusterIP"] for number in range(50)}
    assert len(addresses) == 50
    assert all(address.startswith("10.96.") for address in addresses)
    fixed = service("fixed", clusterIP="10.96.0.10")
    assert fixed["spec"]["clusterIPs"] == ["10.96.0.10"]
    error = refused(lambda: service("taken", clusterIP="10.96.0.10"))
    assert error.message == (
        'Service "taken" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: '
        "provided IP is already allocated"
    )
    assert service("headless", clusterIP="None")["spec"]["clusterIPs"] == ["None"]
    node_port = service("outside", type="NodePort")["spec"]["ports"][0]["nodePort"]
    assert 30000 <= node_port <= 32767
    changed = api.patch(
        "services", "outside", "shop", "application/merge-patch+json", {"spec": {"selector": {"a": "b"}}}
    )
    assert changed["spec"]["ports"][0]["nodePort"] == node_port


def test_what_may_not_change_does_not(api: Api) -> None:
    api.create("deployments.apps", deployment("web"))
    api.create("pods", pod("a"))

    def patch(resource: str, name: str, spec: Any) -> str:
        body = {"spec": spec}
        return refused(
            lambda: api.patch(resource, name, "shop", "application/merge-patch+json", body)
        ).message

    selector = {
        "selector": {"matchLabels": {"app": "web", "x": "y"}},
        "template": {"metadata": {"labels": {"x": "y"}}},
    }
    assert "spec.selector: Invalid value" in patch("deployments.apps", "web", selector)
    assert "field is immutable" in patch("deployments.apps", "web", selector)
    assert patch("pods", "a", {"restartPolicy": "Never"}).startswith(
        'Pod "a" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`'
    )


def test_events_of_one_second_are_listed_in_their_order(api: Api) -> None:
    created = api.create("pods", pod("ordered"), "shop")
    reasons = ["Scheduled", "Pulled", "Created", "Started", "Killing"]
    for reason in reasons:
        api.record_event(created, "Normal", reason, "said", "kubelet")
    assert [event["reason"] for event in api.list("events", "shop")] == reasons


def test_repeated_events_are_counted(api: Api) -> None:
    created = api.create("pods", pod("a"))
    for _ in range(3):
        api.record_event(created, "Warning", "BackOff", "Back-off pulling image", "kubelet")
    (event,) = api.list("events", "shop")
    assert (event["count"], event["involvedObject"]["uid"]) == (3, created["metadata"]["uid"])
    (same,) = api.list("events.events.k8s.io", "shop")
    assert (same["deprecatedCount"], same["note"]) == (3, "Back-off pulling image")
    assert "message" not in same


async def test_a_watch_in_the_process_begins_with_what_there_is(api: Api) -> None:
    api.create("pods", pod("a"))
    api.create("pods", pod("b", "default"))
    watch = api.watch("pods", "shop")
    api.create("pods", pod("c", "default"))
    api.create("pods", pod("d"))
    api.delete("pods", "a", "shop")
    seen = [await anext(watch) for _ in range(4)]
    assert [(kind, obj["metadata"]["name"]) for kind, obj in seen] == [
        ("ADDED", "a"),
        ("ADDED", "d"),
        ("MODIFIED", "a"),  # its time is up
        ("DELETED", "a"),
    ]
    watch.close()


def test_selectors_choose(api: Api) -> None:
    api.create("pods", pod("a", app="web"))
    api.create("pods", pod("b", app="db"))
    api.patch(
        "pods",
        "b",
        "shop",
        "application/merge-patch+json",
        {"spec": {"nodeName": "pocket"}},
        subresource="binding",
    )

    def names(**selectors: str) -> list[str]:
        return [obj["metadata"]["name"] for obj in api.list("pods", "shop", **selectors)]

    assert names(label_selector="app in (web, x)") == ["a"]
    assert names(label_selector="app!=web") == ["b"]
    assert names(field_selector="spec.nodeName=pocket") == ["b"]
    assert names(field_selector="spec.nodeName!=pocket,metadata.namespace=shop") == ["a"]
    assert (
        refused(lambda: names(field_selector="spec.foo=x")).message == "field label not supported: spec.foo"
    )


def test_unknown_fields_are_refused_warned_of_or_dropped_as_asked(api: Api) -> None:
    body = {"metadata": {"name": "c"}, "data": {"a": "b"}, "dta": {}, "metadat": 1}
    strict = refused(lambda: api.create("configmaps", body, "shop", options=Options(validation="Strict")))
    assert strict.message == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dta", '
        'unknown field "metadat"'
    )
    warn = Options(validation="Warn")
    assert "dta" not in api.create("configmaps", body, "shop", options=warn)
    assert warn.warnings == ['unknown field "dta"', 'unknown field "metadat"']
