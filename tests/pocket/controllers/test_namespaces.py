"""The life and end of namespaces, and what each of them has."""

from __future__ import annotations

from tests.pocket.controllers.lab_cluster import LabCluster, deployment, service


def namespace(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


async def test_a_new_namespace_gets_its_service_account_and_the_clusters_ca(cluster: LabCluster) -> None:
    cluster.api.create("namespaces", namespace("shop"))
    await cluster.until(lambda: cluster.api.find("serviceaccounts", "default", "shop"))
    found = await cluster.until(lambda: cluster.api.find("configmaps", "kube-root-ca.crt", "shop"))
    assert found["data"] == {"ca.crt": "PEM"}


async def test_both_come_back_when_somebody_deletes_or_changes_them(cluster: LabCluster) -> None:
    cluster.api.delete("serviceaccounts", "default", "default")
    cluster.change("configmaps", "kube-root-ca.crt", lambda c: c.update(data={"ca.crt": "wrong"}))
    await cluster.until(lambda: cluster.api.find("serviceaccounts", "default", "default"))
    await cluster.until(
        lambda: cluster.api.get("configmaps", "kube-root-ca.crt", "default")["data"] == {"ca.crt": "PEM"}
    )


async def test_a_deleted_namespace_goes_with_everything_in_it(cluster: LabCluster) -> None:
    cluster.api.create("namespaces", namespace("shop"))
    web = deployment("web", 3)
    web["metadata"]["namespace"] = "shop"
    web["metadata"]["name"] = "web"
    cluster.api.create("deployments.apps", web, "shop")
    front = service("web")
    front["metadata"]["namespace"] = "shop"
    cluster.api.create("services", front, "shop")
    await cluster.until(lambda: len(cluster.pods("shop")) == 3)
    await cluster.until(lambda: cluster.api.find("endpoints", "web", "shop"))
    await cluster.quiet()
    cluster.kubelet.grace = 0.05
    cluster.api.delete("namespaces", "shop")
    waiting = cluster.api.get("namespaces", "shop")
    assert waiting["status"]["phase"] == "Terminating"
    said = await cluster.until(
        lambda: {
            c["type"]: c for c in cluster.api.get("namespaces", "shop")["status"].get("conditions") or ()
        }
    )
    remain = said["NamespaceContentRemaining"]
    assert (remain["status"], remain["reason"]) == ("True", "SomeResourcesRemain")
    assert remain["message"] == "Some resources are remaining: pods. has 3 resource instances"
    await cluster.until(lambda: cluster.api.find("namespaces", "shop") is None)
    await cluster.quiet()
    for resource in cluster.api.registry:
        if resource.is_stored and resource.namespaced:
            assert cluster.api.list(resource, "shop") == [], resource.plural


async def test_a_finalizer_in_a_namespace_is_named_in_its_conditions(cluster: LabCluster) -> None:
    cluster.api.create("namespaces", namespace("shop"))
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": "shop", "finalizers": ["example.com/hold"]},
    }
    cluster.api.create("configmaps", config)
    await cluster.quiet()
    cluster.api.delete("namespaces", "shop")

    def message() -> str:
        conditions = cluster.api.get("namespaces", "shop")["status"].get("conditions") or ()
        return next((c["message"] for c in conditions if c["type"] == "NamespaceFinalizersRemaining"), "")

    await cluster.until(lambda: "example.com/hold in 1 resource instances" in message())
    cluster.change("configmaps", "held", lambda c: c["metadata"].pop("finalizers"), "shop")
    await cluster.until(lambda: cluster.api.find("namespaces", "shop") is None)
