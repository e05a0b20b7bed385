"""Which events touch which table."""

from __future__ import annotations

from typing import Any

from labkit.pocket.node.network.clusterview import POLICIES, SLICES, ClusterView, Touched


def obj(name: str, version: int, namespace: str | None = "x", **rest: Any) -> dict[str, Any]:
    metadata = {
        "name": name,
        "resourceVersion": str(version),
        "uid": f"uid-{name}",
        **rest.pop("metadata", {}),
    }
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata, **rest}


def pod(
    version: int, phase: str = "Running", labels: dict[str, str] | None = None, uid: str = "u"
) -> dict[str, Any]:
    metadata = {"labels": labels or {}, "uid": uid}
    return obj(
        "p", version, metadata=metadata, spec={"containers": []}, status={"phase": phase, "podIP": "10.0.0.1"}
    )


def test_a_pods_status_touches_nothing_unless_it_ends() -> None:
    view = ClusterView()
    assert view.update("pods", "ADDED", pod(1)) is Touched.POLICY
    ready = pod(2)
    ready["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    assert view.update("pods", "MODIFIED", ready) is Touched.NOTHING
    assert view.update("pods", "MODIFIED", pod(3, labels={"a": "b"})) is Touched.POLICY
    assert view.update("pods", "MODIFIED", pod(4, "Succeeded", {"a": "b"})) is Touched.POLICY


def test_an_object_seen_already_is_not_read_again() -> None:
    view = ClusterView()
    policy = obj("n", 5, spec={"podSelector": {}})
    assert view.update(POLICIES, "ADDED", policy) is Touched.POLICY
    assert view.update(POLICIES, "ADDED", policy) is Touched.NOTHING


def test_an_annotation_on_a_policy_touches_nothing() -> None:
    view = ClusterView()
    view.update(POLICIES, "ADDED", obj("n", 5, spec={"podSelector": {}}))
    annotated = obj("n", 6, spec={"podSelector": {}}, metadata={"annotations": {"a": "b"}})
    assert view.update(POLICIES, "MODIFIED", annotated) is Touched.NOTHING
    assert (
        view.update(POLICIES, "MODIFIED", obj("n", 7, spec={"podSelector": {}, "ingress": [{}]}))
        is Touched.POLICY
    )


def test_the_end_of_a_pod_does_not_take_its_successor_along() -> None:
    view = ClusterView()
    view.update("pods", "ADDED", pod(1, uid="old"))
    view.update("pods", "ADDED", pod(3, uid="new"))
    view.update("pods", "DELETED", pod(2, uid="old"))
    assert view.uids["x", "p"] == "new"
    view.update("pods", "DELETED", pod(4, uid="new"))
    assert ("x", "p") not in view.pods


def test_services_and_their_slices_touch_the_other_table() -> None:
    view = ClusterView()
    service = obj("s", 1, spec={"clusterIP": "10.96.0.9"})
    assert view.update("services", "ADDED", service) is Touched.SERVICES
    status = obj("s", 2, spec={"clusterIP": "10.96.0.9"}, status={"loadBalancer": {}})
    assert view.update("services", "MODIFIED", status) is Touched.NOTHING
    assert view.update(SLICES, "ADDED", obj("s-1", 3, endpoints=[])) is Touched.SERVICES
    assert view.update(SLICES, "DELETED", obj("s-1", 4)) is Touched.SERVICES


def test_reading_everything_again_forgets_what_is_gone() -> None:
    view = ClusterView()
    view.update("namespaces", "ADDED", obj("a", 1, None))
    view.update("namespaces", "ADDED", obj("b", 2, None))
    assert view.refresh("namespaces", [obj("b", 2, None)]) is Touched.POLICY
    assert list(view.namespaces) == ["b"]
    assert view.namespaces["b"] == {"kubernetes.io/metadata.name": "b"}


def test_a_policy_that_cannot_be_read_leaves_the_old_one_in_force() -> None:
    view = ClusterView()
    view.update(POLICIES, "ADDED", obj("n", 1, spec={"podSelector": {}}))
    before = view.policies["x", "n"]
    assert (
        view.update(POLICIES, "MODIFIED", obj("n", 2, spec={"ingress": [{"from": [{}]}]})) is Touched.NOTHING
    )
    assert view.policies["x", "n"] is before
