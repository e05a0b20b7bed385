"""After any storm of changes the cluster comes to rest in the state that its objects ask for."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from labkit.pocket.api.errors import ApiError
from labkit.pocket.controllers.pods import is_ready
from tests.pocket.controllers.lab_cluster import LabCluster, deployment, pod, service

APPS = ("red", "green", "blue")


def storm(cluster: LabCluster, chance: random.Random) -> None:
    """One change of one object; what cannot be done just now is not done."""
    api, app = cluster.api, chance.choice(APPS)
    choice = chance.randrange(11)
    try:
        if choice == 0:
            strategy = chance.choice(["RollingUpdate", "Recreate"])
            wanted = deployment(app, chance.randrange(5), strategy={"type": strategy})
            api.create("deployments.apps", wanted)
        elif choice == 1:
            cascade = chance.choice(["Background", "Foreground", "Orphan"])
            api.delete("deployments.apps", app, "default", propagation=cascade)
        elif choice in (2, 3):
            replicas = chance.randrange(4)
            cluster.change("deployments.apps", app, lambda d: d["spec"].update(replicas=replicas))
        elif choice in (4, 5):
            image = f"agnhost:{chance.randrange(4)}"
            cluster.change(
                "deployments.apps",
                app,
                lambda d: d["spec"]["template"]["spec"]["containers"][0].update(image=image),
            )
        elif choice == 6:
            api.create("services", service(app))
        elif choice == 7:
            api.delete("services", app, "default")
        elif choice == 8:
            api.create("pods", pod(f"own-{chance.randrange(9)}", {"app": chance.choice(APPS)}))
        else:
            found = chance.choice(cluster.pods() or [None])
            if found is not None and choice == 9:
                api.delete("pods", found["metadata"]["name"], "default")
            elif found is not None:
                label = chance.choice(APPS)
                cluster.change(
                    "pods", found["metadata"]["name"], lambda p: p["metadata"]["labels"].update(app=label)
                )
    except ApiError as error:
        if error.code not in (404, 409):
            raise


def check(cluster: LabCluster) -> None:
    api = cluster.api
    pods = cluster.pods()
    alive = {obj["metadata"]["uid"] for r in api.registry if r.is_stored for obj in api.list(r)}
    for resource in ("pods", "replicasets.apps", "endpointslices.discovery.k8s.io"):
        for obj in api.list(resource, "default"):
            for owner in obj["metadata"].get("ownerReferences") or ():
                assert owner["uid"] in alive, (resource, obj["metadata"]["name"])
    for wanted in api.list("deployments.apps", "default"):
        spec, status = wanted["spec"], wanted["status"]
        name, count = wanted["metadata"]["name"], spec["replicas"]
        owned = [
            rs
            for rs in api.list("replicasets.apps", "default")
            if any(o["uid"] == wanted["metadata"]["uid"] for o in rs["metadata"].get("ownerReferences") or ())
        ]
        mine = [
            p
            for p in pods
            if any(
                o["uid"] in {rs["metadata"]["uid"] for rs in owned}
                for o in p["metadata"].get("ownerReferences") or ()
            )
        ]
        image = spec["template"]["spec"]["containers"][0]["image"]
        assert [p["spec"]["containers"][0]["image"] for p in mine] == [image] * count, name
        assert status.get("availableReplicas", 0) == status.get("updatedReplicas", 0) == count
        assert status["observedGeneration"] == wanted["metadata"]["generation"]
    for front in api.list("services", "default"):
        name = front["metadata"]["name"]
        if not front["spec"].get("selector"):
            continue
        behind = {
            p["status"]["podIP"] for p in pods if p["metadata"]["labels"].get("app") == name and is_ready(p)
        }
        subsets = api.get("endpoints", name, "default").get("subsets") or ()
        assert {e["ip"] for s in subsets for e in s.get("addresses") or ()} == behind
        slices = api.list(
            "endpointslices.discovery.k8s.io", "default", label_selector=f"kubernetes.io/service-name={name}"
        )
        assert {a for s in slices for e in s.get("endpoints") or () for a in e["addresses"]} == behind


@pytest.mark.parametrize("seed", range(4))
async def test_after_a_storm_everything_is_as_the_objects_say(
    cluster: LabCluster, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)
    cluster.kubelet.grace = 0.01
    with caplog.at_level(logging.ERROR):
        for _ in range(200):
            storm(cluster, chance)
            if chance.random() < 0.4:
                await asyncio.sleep(chance.choice([0, 0, 0.001, 0.01]))
        await cluster.quiet()
    check(cluster)
    assert not caplog.records, caplog.text
