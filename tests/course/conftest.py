"""Worlds of the chapters without a cluster: the demo's manifests, with one pod for each replica of a Deployment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.course import Chapter, load_chapter

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted(path.parent for path in ROOT.glob("notebooks/*/steps.yaml"))
ANSWERS = Path(__file__).parent / "answers"

DNS_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "coredns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
    "spec": {
        "containers": [
            {"name": "coredns", "ports": [{"containerPort": 53, "protocol": p} for p in ("UDP", "TCP")]}
        ]
    },
}


def chapters() -> list[Chapter]:
    return [load_chapter(folder) for folder in CHAPTERS]


# The address of kube-dns in a world on paper; the answer files say KUBE_DNS_ADDRESSES where a cluster has its own.
DNS_ADDRESSES = ("10.244.0.2",)


def policies(
    items: list[Mapping[str, Any]], namespace: str, dns: Iterable[str] = DNS_ADDRESSES
) -> Iterator[dict[str, Any]]:
    """Full objects from the short form of the answer files; a deleted one comes with spec None, a whole one as it is.

    `dns`: the addresses of kube-dns's pods in the cluster for which the answers are meant.
    """
    blocks = json.dumps([{"ipBlock": {"cidr": f"{ip}/{128 if ':' in ip else 32}"}} for ip in dns])
    for item in json.loads(json.dumps(items).replace('"KUBE_DNS_ADDRESSES"', blocks)):
        yield (
            dict(item)
            if "kind" in item
            else {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": item["name"], "namespace": item.get("namespace", namespace)},
                "spec": item.get("spec"),
            }
        )


def written_answers(chapter: str) -> Mapping[str, Any]:
    path = ANSWERS / f"{chapter}.yaml"
    return yaml.safe_load(path.read_text()) if path.exists() else {"namespace": "default", "steps": {}}


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
