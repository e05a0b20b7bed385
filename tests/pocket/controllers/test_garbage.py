"""Garbage collection by ownerReferences."""

from __future__ import annotations

from tests.pocket.controllers.lab_cluster import LabCluster, deployment


def config(name: str, *owners: dict, block: bool = True) -> dict:
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": block,
        }
        for owner in owners
    ]
    metadata = {"name": name, "namespace": "default", "ownerReferences": references}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


async def up(cluster: LabCluster) -> None:
    cluster.api.create("deployments.apps", deployment("web", 2))
    await cluster.until(lambda: len(cluster.ready_pods()) == 2)
    await cluster.quiet()


async def test_a_deleted_deployment_takes_its_replica_sets_and_pods_along(cluster: LabCluster) -> None:
    await up(cluster)
    cluster.api.delete("deployments.apps", "web", "default")
    assert cluster.api.find("deployments.apps", "web", "default") is None
    await cluster.until(lambda: not cluster.pods() and not cluster.api.list("replicasets.apps", "default"))


async def test_in_the_foreground_the_owner_goes_last(cluster: LabCluster) -> None:
    await up(cluster)
    cluster.kubelet.grace = 0.1
    cluster.api.delete("deployments.apps", "web", "default", propagation="Foreground")
    waiting = cluster.api.get("deployments.apps", "web", "default")
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    await cluster.until(lambda: all(p["metadata"].get("deletionTimestamp") for p in cluster.pods()))
    assert cluster.api.find("deployments.apps", "web", "default") is not None
    await cluster.until(lambda: cluster.api.find("deployments.apps", "web", "default") is None)
    assert not cluster.pods()
    assert not cluster.api.list("replicasets.apps", "default")


async def test_orphans_stay_and_forget_their_owner(cluster: LabCluster) -> None:
    await up(cluster)
    cluster.api.delete("deployments.apps", "web", "default", propagation="Orphan")
    await cluster.until(lambda: cluster.api.find("deployments.apps", "web", "default") is None)
    await cluster.quiet()
    (replica_set,) = cluster.api.list("replicasets.apps", "default")
    assert not replica_set["metadata"].get("ownerReferences")
    assert len(cluster.ready_pods()) == 2
    # a Deployment of the same name adopts them
    cluster.api.create("deployments.apps", deployment("web", 2))
    await cluster.until(
        lambda: cluster.api.list("replicasets.apps", "default")[0]["metadata"].get("ownerReferences")
    )
    assert len(cluster.api.list("replicasets.apps", "default")) == 1


async def test_an_object_with_two_owners_stays_with_the_one_that_is_left(cluster: LabCluster) -> None:
    one, two = (cluster.api.create("configmaps", config(name)) for name in ("one", "two"))
    cluster.api.create("configmaps", config("child", one, two))
    await cluster.quiet()
    cluster.api.delete("configmaps", "one", "default")
    await cluster.until(
        lambda: (
            [
                r["name"]
                for r in cluster.api.get("configmaps", "child", "default")["metadata"]["ownerReferences"]
            ]
            == ["two"]
        )
    )
    cluster.api.delete("configmaps", "two", "default")
    await cluster.until(lambda: cluster.api.find("configmaps", "child", "default") is None)


async def test_an_object_whose_owner_never_existed_or_was_another_goes(cluster: LabCluster) -> None:
    ghost = {"metadata": {"name": "kube-root-ca.crt", "uid": "00000000-0000-0000-0000-000000000000"}}
    cluster.api.create("configmaps", config("child", ghost))
    await cluster.until(lambda: cluster.api.find("configmaps", "child", "default") is None)


async def test_a_dependent_that_does_not_block_does_not_hold_its_owner(cluster: LabCluster) -> None:
    owner = cluster.api.create("configmaps", config("owner"))
    child = config("child", owner, block=False)
    child["metadata"]["finalizers"] = ["example.com/hold"]
    cluster.api.create("configmaps", child)
    await cluster.quiet()
    cluster.api.delete("configmaps", "owner", "default", propagation="Foreground")
    await cluster.until(lambda: cluster.api.find("configmaps", "owner", "default") is None)
    cluster.change("configmaps", "child", lambda c: c["metadata"].pop("finalizers"))
    await cluster.until(lambda: cluster.api.find("configmaps", "child", "default") is None)
