"""A real kind cluster from the outside: listed, asked, worked with as any other."""

from __future__ import annotations

import json

from .conftest import KindCluster

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.56"


def test_it_answers_as_real_kubernetes(kind_cluster: KindCluster) -> None:
    assert kind_cluster.cluster.version().startswith("v1.")
    nodes = json.loads(kind_cluster.kubectl("get", "nodes", "-o", "json").stdout)["items"]
    assert [node["metadata"]["name"] for node in nodes] == [f"{kind_cluster.kind_name}-control-plane"]
