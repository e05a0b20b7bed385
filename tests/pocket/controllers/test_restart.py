"""What a restart of the whole control plane does to a cluster that is in order: nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from labkit.pocket.api.api import Api
from labkit.pocket.api.store import Store
from labkit.pocket.controllers import ClusterFacts, run_all
from tests.pocket.controllers.lab_cluster import FakeKubelet, LabCluster, deployment, service

NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "pocket", "labels": {"kubernetes.io/os": "linux"}},
}


async def test_a_restart_changes_nothing_that_is_in_order(tmp_path: Path) -> None:
    seen: list[dict[str, str]] = []
    for start in range(2):
        store = Store(tmp_path / "state.db")
        api = Api(store)
        if start == 0:
            api.create("nodes", NODE)
        lab = LabCluster(api, FakeKubelet(api))
        tasks = [
            asyncio.create_task(run_all(api, ClusterFacts(ca_certificate="PEM"))),
            asyncio.create_task(lab.kubelet.run()),
        ]
        await lab.until(lambda: api.find("serviceaccounts", "default", "default"))  # noqa: B023
        if start == 0:
            api.create("services", service("web"))
            api.create("deployments.apps", deployment("web", 3))
            await lab.until(lambda: len(lab.ready_pods()) == 3)  # noqa: B023
        await lab.quiet()
        seen.append(
            {
                f"{resource.qualified} {obj['metadata'].get('namespace')}/{obj['metadata']['name']}": obj[
                    "metadata"
                ]["resourceVersion"]
                for resource in api.registry
                if resource.is_stored
                for obj in api.list(resource)
            }
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        store.close()
    assert seen[0] == seen[1]
