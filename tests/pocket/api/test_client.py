"""The official Python client against the API."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.pocket.api.conftest import Served, deployment, pod

kubernetes = pytest.importorskip("kubernetes")


@pytest.fixture
def client(served: Served) -> Iterator[Any]:
    from kubernetes import client, config

    with config.new_client_from_config(config_file=str(served.kubeconfig)) as made:
        yield client.CoreV1Api(made)


def test_typed_calls_create_read_and_list(client: Any) -> None:
    made = client.create_namespaced_pod("shop", pod("typed", app="typed"))
    assert made.spec.restart_policy == "Always"
    assert client.read_namespaced_pod("typed", "shop").metadata.uid == made.metadata.uid
    names = [
        item.metadata.name for item in client.list_namespaced_pod("shop", label_selector="app=typed").items
    ]
    assert names == ["typed"]


def test_a_patch_with_a_dict_and_a_replace_with_a_model(served: Served, client: Any) -> None:
    from kubernetes.client import AppsV1Api

    apps = AppsV1Api(client.api_client)
    apps.create_namespaced_deployment("shop", deployment("modelled"))
    assert apps.patch_namespaced_deployment("modelled", "shop", {"spec": {"replicas": 3}}).spec.replicas == 3
    scale = apps.read_namespaced_deployment_scale("modelled", "shop")
    scale.spec.replicas = 2
    assert apps.replace_namespaced_deployment_scale("modelled", "shop", scale).spec.replicas == 2
    assert served.api.get("deployments.apps", "modelled", "shop")["spec"]["replicas"] == 2


def test_errors_carry_the_status(client: Any) -> None:
    from kubernetes.client.exceptions import ApiException

    with pytest.raises(ApiException) as caught:
        client.read_namespaced_pod("none", "shop")
    assert caught.value.status == 404
    assert 'pods \\"none\\" not found' in str(caught.value.body)


def test_the_dynamic_client_discovers_and_applies(served: Served, client: Any) -> None:
    from kubernetes.dynamic import DynamicClient

    dynamic = DynamicClient(client.api_client)
    policies = dynamic.resources.get(api_version="networking.k8s.io/v1", kind="NetworkPolicy")
    body = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "dynamic", "namespace": "shop"},
        "spec": {"podSelector": {}},
    }
    applied = policies.server_side_apply(body=body, name="dynamic", namespace="shop", field_manager="labkit")
    assert applied.spec.policyTypes == ["Ingress"]
    assert (
        served.api.get("networkpolicies.networking.k8s.io", "dynamic", "shop")["metadata"]["generation"] == 1
    )


def test_a_watch_streams(served: Served, client: Any) -> None:
    from kubernetes import watch

    def later() -> None:
        served.call(
            lambda: served.api.create("configmaps", {"metadata": {"name": "streamed"}}, "kube-system")
        )

    timer = threading.Timer(0.2, later)
    timer.start()
    stream = watch.Watch()
    events = stream.stream(client.list_namespaced_config_map, "kube-system", timeout_seconds=5)
    assert next(iter(events))["object"].metadata.name == "streamed"
    stream.stop()
    timer.join()
