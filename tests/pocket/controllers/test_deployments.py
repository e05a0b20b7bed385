"""Deployments and ReplicaSets against the real API, with a pretended kubelet."""

from __future__ import annotations

import asyncio
import time

from labkit.pocket.api.store import clone
from labkit.pocket.controllers.pods import is_ready
from tests.pocket.controllers.lab_cluster import LabCluster, deployment, pod, template


def status(cluster: LabCluster, name: str = "web") -> dict:
    return cluster.api.get("deployments.apps", name, "default").get("status") or {}


def conditions(cluster: LabCluster, name: str = "web") -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status(cluster, name).get("conditions") or ()}


def rollout_done(cluster: LabCluster, replicas: int, name: str = "web") -> bool:
    """What `kubectl rollout status` waits for."""
    obj = cluster.api.get("deployments.apps", name, "default")
    said = obj.get("status") or {}
    return (
        said.get("observedGeneration", 0) >= obj["metadata"].get("generation", 1)
        and said.get("updatedReplicas", 0) == replicas
        and said.get("replicas", 0) == replicas
        and said.get("availableReplicas", 0) == replicas
    )


def set_image(cluster: LabCluster, image: str, name: str = "web") -> None:
    def change(obj: dict) -> None:
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = image

    cluster.change("deployments.apps", name, change)


async def test_twenty_pods_come_up_within_a_second(cluster: LabCluster) -> None:
    started = time.monotonic()
    cluster.api.create("deployments.apps", deployment("web", 20))
    await cluster.until(lambda: rollout_done(cluster, 20))
    # generous: a slow machine that runs other tests as well; here it takes a tenth of this
    assert time.monotonic() - started < 3
    assert len(cluster.ready_pods()) == 20


async def test_a_deployment_makes_a_replica_set_named_and_labelled_by_its_template(
    cluster: LabCluster,
) -> None:
    cluster.api.create("deployments.apps", deployment("web", 2))
    await cluster.until(lambda: rollout_done(cluster, 2))
    (replica_set,) = cluster.api.list("replicasets.apps", "default")
    label = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"web-{label}"
    assert replica_set["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": label}
    for found in cluster.pods():
        assert found["metadata"]["name"].startswith(f"web-{label}-")
        assert found["metadata"]["labels"] == {"app": "web", "pod-template-hash": label}
        (owner,) = found["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == (
            "ReplicaSet",
            replica_set["metadata"]["name"],
            True,
        )
    assert cluster.events("ScalingReplicaSet") == [f"Scaled up replica set web-{label} from 0 to 2"]
    created = {f"Created pod: {found['metadata']['name']}" for found in cluster.pods()}
    assert set(cluster.events("SuccessfulCreate")) == created
    assert conditions(cluster) == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }


async def test_a_rolling_update_never_has_too_few_or_too_many_pods(cluster: LabCluster) -> None:
    cluster.api.create("deployments.apps", deployment("web", 4))
    await cluster.until(lambda: rollout_done(cluster, 4))
    counts: list[tuple[int, int]] = []

    async def follow() -> None:
        """Every state that pods went through, from the watch."""
        pods: dict[str, dict] = {}
        async for kind, found in cluster.api.watch("pods", "default"):
            pods[found["metadata"]["name"]] = found
            if kind == "DELETED":
                del pods[found["metadata"]["name"]]
            active = [p for p in pods.values() if not p["metadata"].get("deletionTimestamp")]
            if len(pods) >= 4:
                counts.append((sum(is_ready(p) for p in active), len(active)))

    following = asyncio.create_task(follow())
    await cluster.quiet()
    counts.clear()
    set_image(cluster, "agnhost:3")
    await cluster.until(lambda: rollout_done(cluster, 4))
    await cluster.quiet()
    following.cancel()
    assert min(ready for ready, _ in counts) >= 3  # maxUnavailable 25%
    assert max(active for _, active in counts) <= 5  # maxSurge 25%
    assert {p["spec"]["containers"][0]["image"] for p in cluster.ready_pods()} == {"agnhost:3"}
    revisions = {
        rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: rs["spec"]["replicas"]
        for rs in cluster.api.list("replicasets.apps", "default")
    }
    assert revisions == {"1": 0, "2": 4}
    annotations = cluster.api.get("deployments.apps", "web", "default")["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "2"


async def test_an_update_that_never_gets_ready_keeps_the_old_pods(cluster: LabCluster) -> None:
    cluster.api.create("deployments.apps", deployment("web", 4))
    await cluster.until(lambda: rollout_done(cluster, 4))
    cluster.kubelet.makes_ready = lambda p: p["spec"]["containers"][0]["image"] == "agnhost:2"
    set_image(cluster, "agnhost:broken")
    await cluster.quiet()
    assert len(cluster.ready_pods()) == 3
    assert conditions(cluster)["Progressing"] == ("True", "ReplicaSetUpdated")
    # kubectl rollout undo: the old template again; the same ReplicaSet becomes the newest
    set_image(cluster, "agnhost:2")
    await cluster.until(lambda: rollout_done(cluster, 4))
    annotations = cluster.api.get("deployments.apps", "web", "default")["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "3"
    newest = [rs for rs in cluster.api.list("replicasets.apps", "default") if rs["spec"]["replicas"]]
    assert newest[0]["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"


async def test_a_rollout_that_stands_still_is_reported(cluster: LabCluster) -> None:
    cluster.kubelet.makes_ready = lambda p: False
    cluster.api.create("deployments.apps", deployment("web", 1, progressDeadlineSeconds=1, minReadySeconds=0))
    await cluster.until(
        lambda: conditions(cluster).get("Progressing") == ("False", "ProgressDeadlineExceeded"), 6
    )
    assert conditions(cluster)["Available"] == ("False", "MinimumReplicasUnavailable")


async def test_recreate_ends_all_old_pods_before_the_first_new_one(cluster: LabCluster) -> None:
    cluster.api.create("deployments.apps", deployment("web", 2, strategy={"type": "Recreate"}))
    await cluster.until(lambda: rollout_done(cluster, 2))
    cluster.kubelet.grace = 0.1
    mixed = []

    def look() -> bool:
        images = {p["spec"]["containers"][0]["image"] for p in cluster.pods()}
        mixed.append(len(images) > 1)
        return rollout_done(cluster, 2) and images == {"agnhost:3"}

    set_image(cluster, "agnhost:3")
    await cluster.until(look)
    assert not any(mixed)


async def test_scaling_is_not_a_rollout(cluster: LabCluster) -> None:
    cluster.api.create("deployments.apps", deployment("web", 2))
    await cluster.until(lambda: rollout_done(cluster, 2))
    for replicas in (5, 0, 1):
        cluster.change("deployments.apps", "web", lambda d, n=replicas: d["spec"].update(replicas=n))
        await cluster.until(lambda n=replicas: rollout_done(cluster, n) and len(cluster.pods()) == n)
    assert len(cluster.api.list("replicasets.apps", "default")) == 1
    name = cluster.api.list("replicasets.apps", "default")[0]["metadata"]["name"]
    assert f"Scaled down replica set {name} from 5 to 0" in cluster.events("ScalingReplicaSet")


async def test_a_paused_deployment_scales_but_does_not_roll(cluster: LabCluster) -> None:
    cluster.api.create("deployments.apps", deployment("web", 2))
    await cluster.until(lambda: rollout_done(cluster, 2))
    cluster.change("deployments.apps", "web", lambda d: d["spec"].update(paused=True))
    set_image(cluster, "agnhost:3")
    cluster.change("deployments.apps", "web", lambda d: d["spec"].update(replicas=3))
    await cluster.until(lambda: len(cluster.ready_pods()) == 3)
    await cluster.quiet()
    assert {p["spec"]["containers"][0]["image"] for p in cluster.pods()} == {"agnhost:2"}
    assert conditions(cluster)["Progressing"] == ("Unknown", "DeploymentPaused")
    cluster.change("deployments.apps", "web", lambda d: d["spec"].pop("paused"))
    await cluster.until(lambda: rollout_done(cluster, 3))
    assert {p["spec"]["containers"][0]["image"] for p in cluster.ready_pods()} == {"agnhost:3"}


async def test_old_revisions_beyond_the_limit_are_forgotten(cluster: LabCluster) -> None:
    cluster.api.create("deployments.apps", deployment("web", 1, revisionHistoryLimit=2))
    await cluster.until(lambda: rollout_done(cluster, 1))
    for number in range(3, 8):
        set_image(cluster, f"agnhost:{number}")
        await cluster.until(lambda: rollout_done(cluster, 1))
    await cluster.quiet()
    revisions = {
        rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
        for rs in cluster.api.list("replicasets.apps", "default")
    }
    assert revisions == {"4", "5", "6"}


async def test_a_deleted_pod_is_replaced_and_a_foreign_one_released(cluster: LabCluster) -> None:
    cluster.api.create("deployments.apps", deployment("web", 2))
    await cluster.until(lambda: rollout_done(cluster, 2))
    victim, other = (found["metadata"]["name"] for found in cluster.pods())
    cluster.api.delete("pods", victim, "default")
    await cluster.until(lambda: len(cluster.ready_pods()) == 2 and victim not in cluster.names("pods"))
    cluster.change("pods", other, lambda p: p["metadata"]["labels"].update(app="elsewhere"))
    await cluster.until(lambda: len(cluster.ready_pods("app=web")) == 2 and len(cluster.pods()) == 3)
    assert not cluster.api.get("pods", other, "default")["metadata"].get("ownerReferences")


async def test_a_replica_set_alone_adopts_matching_pods(cluster: LabCluster) -> None:
    cluster.api.create("pods", pod("mine", {"app": "solo"}))
    replica_set = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "solo", "namespace": "default"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "solo"}},
            "template": template("solo"),
        },
    }
    cluster.api.create("replicasets.apps", replica_set)
    await cluster.until(lambda: len(cluster.ready_pods("app=solo")) == 2)
    assert cluster.api.get("pods", "mine", "default")["metadata"]["ownerReferences"][0]["name"] == "solo"
    await cluster.quiet()
    said = cluster.api.get("replicasets.apps", "solo", "default")["status"]
    assert (said["replicas"], said["readyReplicas"], said["availableReplicas"]) == (2, 2, 2)


async def test_the_deployments_annotations_reach_its_replica_set_without_kubectls_own(
    cluster: LabCluster,
) -> None:
    obj = clone(deployment("web", 1))
    last_applied = "kubectl.kubernetes.io/last-applied-configuration"
    obj["metadata"]["annotations"] = {"kubernetes.io/change-cause": "first", last_applied: "{}"}
    cluster.api.create("deployments.apps", obj)
    await cluster.until(lambda: rollout_done(cluster, 1))
    annotations = cluster.api.list("replicasets.apps", "default")[0]["metadata"]["annotations"]
    assert annotations == {
        "kubernetes.io/change-cause": "first",
        "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "1",
        "deployment.kubernetes.io/max-replicas": "2",
    }


async def test_min_ready_seconds_delays_availability_without_a_further_event(cluster: LabCluster) -> None:
    cluster.api.create("deployments.apps", deployment("web", 1, minReadySeconds=1))
    await cluster.until(lambda: status(cluster).get("readyReplicas") == 1)
    assert not status(cluster).get("availableReplicas")
    await cluster.until(lambda: status(cluster).get("availableReplicas") == 1)
