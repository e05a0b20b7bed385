"""What a real installation shows of itself: the namespace cert-manager and its three Deployments.

The pods do nothing (their image is a stand-in that waits): the work is done inside the cluster's daemon. They are there
so that what a lesson looks at is there: `kubectl get pods -n cert-manager`, their service accounts, the webhook's Service.
"""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]

VERSION = "v1.21.1"
NAMESPACE = "cert-manager"
_NOTE = {"pocket.labkit.dev/stands-in": "the embedded cert-manager works inside the cluster; this pod waits"}


def _labels(name: str, part: str) -> dict[str, str]:
    return {
        "app": name,
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": "cert-manager",
        "app.kubernetes.io/component": part,
    }


def _metadata(name: str, part: str) -> Obj:
    labels = {**_labels(name, part), "app.kubernetes.io/version": VERSION}
    return {"name": name, "namespace": NAMESPACE, "labels": labels}


def _account(name: str, part: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(name, part)}


def _deployment(name: str, part: str, image: str, ports: list[Obj]) -> Obj:
    container: Obj = {
        "name": f"{name}-{part}" if name == "cert-manager" else name,
        "image": f"quay.io/jetstack/{image}:{VERSION}",
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
    }
    if ports:
        container["ports"] = ports
    labels = _labels(name, part)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(name, part),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {key: value for key, value in labels.items() if key != "app"}},
            "template": {
                "metadata": {"labels": labels, "annotations": _NOTE},
                "spec": {
                    "serviceAccountName": name,
                    "enableServiceLinks": False,
                    "containers": [container],
                },
            },
        },
    }


def _service(name: str, part: str, ports: list[Obj]) -> Obj:
    selector = {key: value for key, value in _labels(name, part).items() if key != "app"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(name, part),
        "spec": {"type": "ClusterIP", "selector": selector, "ports": ports},
    }


_METRICS = {"name": "http-metrics", "containerPort": 9402, "protocol": "TCP"}

OBJECTS: tuple[Obj, ...] = (
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    _account("cert-manager", "controller"),
    _account("cert-manager-cainjector", "cainjector"),
    _account("cert-manager-webhook", "webhook"),
    _deployment(
        "cert-manager",
        "controller",
        "cert-manager-controller",
        [_METRICS, {"name": "http-healthz", "containerPort": 9403, "protocol": "TCP"}],
    ),
    _deployment("cert-manager-cainjector", "cainjector", "cert-manager-cainjector", [_METRICS]),
    _deployment(
        "cert-manager-webhook",
        "webhook",
        "cert-manager-webhook",
        [
            {"name": "https", "containerPort": 10250, "protocol": "TCP"},
            {"name": "healthcheck", "containerPort": 6080, "protocol": "TCP"},
        ],
    ),
    _service(
        "cert-manager-webhook",
        "webhook",
        [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": "https"}],
    ),
)
