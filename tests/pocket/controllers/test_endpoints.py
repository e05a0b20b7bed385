"""Endpoints and EndpointSlices of Services."""

from __future__ import annotations

from tests.pocket.controllers.lab_cluster import LabCluster, deployment, pod, service

SLICES = "endpointslices.discovery.k8s.io"


def addresses(cluster: LabCluster, name: str, kind: str = "addresses") -> set[str]:
    found = cluster.api.find("endpoints", name, "default") or {}
    return {entry["ip"] for subset in found.get("subsets") or () for entry in subset.get(kind) or ()}


def slices(cluster: LabCluster, name: str) -> list[dict]:
    return cluster.api.list(SLICES, "default", label_selector=f"kubernetes.io/service-name={name}")


def endpoints_by_pod(cluster: LabCluster, name: str) -> dict[str, dict]:
    return {e["targetRef"]["name"]: e for s in slices(cluster, name) for e in s.get("endpoints") or ()}


async def test_ready_pods_of_the_selector_stand_behind_a_service(cluster: LabCluster) -> None:
    cluster.api.create("services", service("web"))
    cluster.api.create("deployments.apps", deployment("web", 3))
    await cluster.until(lambda: len(addresses(cluster, "web")) == 3)
    await cluster.quiet()
    assert addresses(cluster, "web") == {p["status"]["podIP"] for p in cluster.pods()}
    (found,) = slices(cluster, "web")
    assert found["ports"] == [{"name": "", "port": 80, "protocol": "TCP"}]
    assert found["addressType"] == "IPv4"
    assert (
        found["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]
        == "endpointslice-controller.k8s.io"
    )
    assert all(
        e["conditions"] == {"ready": True, "serving": True, "terminating": False}
        and e["nodeName"] == "pocket"
        for e in found["endpoints"]
    )


async def test_a_pod_that_is_not_ready_is_kept_apart(cluster: LabCluster) -> None:
    cluster.kubelet.makes_ready = lambda p: p["metadata"]["name"] == "a"
    cluster.api.create("services", service("web"))
    for name in ("a", "b"):
        cluster.api.create("pods", pod(name, {"app": "web"}))
    await cluster.until(lambda: addresses(cluster, "web") and addresses(cluster, "web", "notReadyAddresses"))
    await cluster.quiet()
    ready = {n: e["conditions"]["ready"] for n, e in endpoints_by_pod(cluster, "web").items()}
    assert ready == {"a": True, "b": False}
    cluster.kubelet.makes_ready = lambda p: True
    cluster.kubelet.look_again()
    await cluster.until(lambda: len(addresses(cluster, "web")) == 2)


async def test_a_service_may_publish_pods_that_are_not_ready(cluster: LabCluster) -> None:
    cluster.kubelet.makes_ready = lambda p: False
    cluster.api.create("services", service("web", publishNotReadyAddresses=True))
    cluster.api.create("pods", pod("a", {"app": "web"}))
    await cluster.until(lambda: addresses(cluster, "web"))
    await cluster.quiet()
    conditions = endpoints_by_pod(cluster, "web")["a"]["conditions"]
    assert conditions == {"ready": True, "serving": False, "terminating": False}


async def test_a_pod_that_ends_leaves_endpoints_at_once_and_is_terminating_in_slices(
    cluster: LabCluster,
) -> None:
    cluster.api.create("services", service("web"))
    cluster.api.create("pods", pod("a", {"app": "web"}))
    await cluster.until(lambda: addresses(cluster, "web"))
    cluster.kubelet.grace = 0.2
    cluster.api.delete("pods", "a", "default")
    await cluster.until(lambda: not addresses(cluster, "web"))
    conditions = endpoints_by_pod(cluster, "web")["a"]["conditions"]
    assert conditions == {"ready": False, "serving": True, "terminating": True}
    await cluster.until(lambda: not endpoints_by_pod(cluster, "web"))


async def test_a_pod_that_has_ended_for_good_is_behind_no_service(cluster: LabCluster) -> None:
    cluster.api.create("services", service("web"))
    cluster.api.create("pods", pod("a", {"app": "web"}))
    await cluster.until(lambda: addresses(cluster, "web"))

    def finish(copy: dict) -> dict:
        copy["status"]["phase"] = "Succeeded"
        return copy

    cluster.api.modify("pods", "a", "default", finish, subresource="status")
    await cluster.until(lambda: not addresses(cluster, "web") and not endpoints_by_pod(cluster, "web"))


async def test_a_named_target_port_is_each_pods_own(cluster: LabCluster) -> None:
    cluster.api.create("services", service("web", [{"name": "http", "port": 80, "targetPort": "http"}]))
    for name, port in (("old", 8080), ("new", 9090), ("none", None)):
        spec = {"containers": [{"name": "app", "image": "x"}]}
        if port:
            spec["containers"][0]["ports"] = [{"name": "http", "containerPort": port, "protocol": "TCP"}]
        cluster.api.create("pods", pod(name, {"app": "web"}, **spec))
    await cluster.until(lambda: len(addresses(cluster, "web")) == 2)
    await cluster.quiet()
    by_port = {
        s["ports"][0]["port"] if s["ports"] else None: [e["targetRef"]["name"] for e in s["endpoints"]]
        for s in slices(cluster, "web")
    }
    assert by_port == {8080: ["old"], 9090: ["new"], None: ["none"]}
    subsets = cluster.api.get("endpoints", "web", "default")["subsets"]
    assert sorted(s["ports"][0]["port"] for s in subsets) == [8080, 9090]


async def test_relabelling_moves_a_pod_from_one_service_to_the_other(cluster: LabCluster) -> None:
    cluster.api.create("services", service("blue"))
    cluster.api.create("services", service("green"))
    cluster.api.create("pods", pod("a", {"app": "blue"}))
    await cluster.until(lambda: addresses(cluster, "blue"))
    cluster.change("pods", "a", lambda p: p["metadata"]["labels"].update(app="green"))
    await cluster.until(lambda: addresses(cluster, "green") and not addresses(cluster, "blue"))


async def test_a_headless_service_is_labelled_and_tells_host_names(cluster: LabCluster) -> None:
    cluster.api.create("services", service("db", clusterIP="None"))
    cluster.api.create("pods", pod("a", {"app": "db"}, hostname="first", subdomain="db"))
    await cluster.until(lambda: addresses(cluster, "db"))
    await cluster.quiet()
    assert endpoints_by_pod(cluster, "db")["a"]["hostname"] == "first"
    for found in (cluster.api.get("endpoints", "db", "default"), *slices(cluster, "db")):
        assert found["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


async def test_a_service_without_a_selector_is_left_alone(cluster: LabCluster) -> None:
    cluster.api.create("services", service("outside", selector=None))
    mine = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "outside", "namespace": "default"},
        "subsets": [{"addresses": [{"ip": "203.0.113.7"}], "ports": [{"port": 80, "protocol": "TCP"}]}],
    }
    cluster.api.create("endpoints", mine)
    cluster.api.create("pods", pod("a", {"app": "outside"}))
    await cluster.quiet()
    assert addresses(cluster, "outside") == {"203.0.113.7"}
    (found,) = slices(cluster, "outside")  # mirrored, for those who read slices only
    assert found["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"].startswith(
        "endpointslicemirroring"
    )
    assert found["endpoints"] == [{"addresses": ["203.0.113.7"], "conditions": {"ready": True}}]
    cluster.api.delete("endpoints", "outside", "default")
    await cluster.until(lambda: not slices(cluster, "outside"))


async def test_slices_written_by_hand_are_left_alone(cluster: LabCluster) -> None:
    cluster.api.create("services", service("outside", selector=None))
    mine = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "mine",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "outside"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["203.0.113.7"]}],
        "ports": [{"port": 80}],
    }
    written = cluster.api.create(SLICES, mine)
    cluster.change("services", "outside", lambda s: s["metadata"].update(labels={"a": "b"}))
    await cluster.quiet()
    assert slices(cluster, "outside") == [written]


async def test_edits_of_what_we_write_are_put_right(cluster: LabCluster) -> None:
    cluster.api.create("services", service("web"))
    cluster.api.create("pods", pod("a", {"app": "web"}))
    await cluster.until(lambda: addresses(cluster, "web"))
    cluster.change("endpoints", "web", lambda e: e.update(subsets=[]))
    await cluster.until(lambda: addresses(cluster, "web"))
    (found,) = slices(cluster, "web")
    cluster.api.delete(SLICES, found["metadata"]["name"], "default")
    await cluster.until(lambda: endpoints_by_pod(cluster, "web"))


async def test_what_belongs_to_a_deleted_service_goes(cluster: LabCluster) -> None:
    cluster.api.create("services", service("web"))
    await cluster.until(lambda: slices(cluster, "web") and cluster.api.find("endpoints", "web", "default"))
    cluster.api.delete("services", "web", "default")
    await cluster.until(
        lambda: not slices(cluster, "web") and cluster.api.find("endpoints", "web", "default") is None
    )


async def test_more_than_a_hundred_pods_fill_several_slices(cluster: LabCluster) -> None:
    cluster.api.create("services", service("web"))
    cluster.api.create("deployments.apps", deployment("web", 130))
    await cluster.until(lambda: len(endpoints_by_pod(cluster, "web")) == 130, 20)
    await cluster.until(lambda: sorted(len(s["endpoints"]) for s in slices(cluster, "web")) == [30, 100], 20)
