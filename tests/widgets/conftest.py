"""A small shop: three namespaces with a web, a db and a mail pod each, and two policies."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.policy import World, load

POLICIES = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db-only-web, namespace: shop}
spec:
  podSelector:
    matchLabels: {app: db}
  policyTypes: [Ingress]
  ingress:
  - from:
    - podSelector:
        matchLabels: {app: web}
    ports:
    - port: 3306
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-out, namespace: mail}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: []
"""


def pod(namespace: str, name: str, app: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "ports": [{"containerPort": 80}, {"containerPort": 3306}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": app, "pod-template-hash": "5d59d"},
        },
        "spec": {"containers": [container], **spec},
    }


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def objects() -> list[dict[str, Any]]:
    found = []
    for name, team in (("shop", "red"), ("mail", "blue"), ("audit", "blue")):
        found.append(namespace(name, team=team))
        found += [pod(name, app, app) for app in ("web", "db", "mail")]
    return found


def crowd(namespaces: int, pods: int) -> World:
    """A default-allow cluster of any size."""
    names = [f"team-{n}" for n in range(namespaces)]
    return World.from_objects(
        [namespace(name) for name in names]
        + [pod(name, f"web-{i}-7d9f8b6c5-x{i:03}", "web") for name in names for i in range(pods)]
    )


@pytest.fixture
def open_world() -> World:
    """Nobody is isolated."""
    return World.from_objects(objects())


@pytest.fixture
def world() -> World:
    """With the two policies, read from text, so that they have line numbers."""
    return World.from_objects([*objects(), *load(POLICIES, "answer.yaml")])
