"""What a server says to manifests, right and broken, written by hand: inputs/manifests.yaml, each with the path it is sent to."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from tests.parity.asked import Asked
from tests.parity.recording import HERE
from tests.parity.settling import of_status, settle

NAME = "manifests"
NAMESPACE = "val"
QUERY = "?dryRun=All&fieldValidation=Strict"
TAKEN = {
    "metadata": {"name": "taken"},
    "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]},
}


@cache
def inputs() -> dict[str, dict[str, str]]:
    """Case -> manifest and path; without a path, it is for kubectl alone."""
    return dict(yaml.safe_load((HERE / "inputs/manifests.yaml").read_text(encoding="utf-8")))


def spoken() -> list[str]:
    """The cases that kubectl is asked too; it takes a tenth of a second, so it gets a sample."""
    always = ("type-", "yaml-", "list-", "two-")
    return [case for i, case in enumerate(inputs()) if case.startswith(always) or i % 8 == 0]


def ask(cluster: Asked) -> dict[str, Any]:
    """Case -> code and Status; "kubectl CASE" -> what kubectl create says."""
    services = "/api/v1/namespaces/default/services"
    cluster.http("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    cluster.http("POST", services, TAKEN)
    place = cluster.within(NAMESPACE, cluster.folder / NAMESPACE)
    answers: dict[str, Any] = {}
    try:
        for case, given in inputs().items():
            if "path" in given:
                body = yaml.safe_load(given["manifest"])
                code, status = cluster.http("POST", given["path"] + QUERY, body)
                answers[case] = [code, of_status(code, status)]
        for case in spoken():
            words = ("create", "--dry-run=server", "-f", "-")
            code, out, err = place.kubectl(*words, stdin=inputs()[case]["manifest"])
            answers[f"kubectl {case}"] = [code, settle(out), settle(err)]
    finally:
        cluster.http("DELETE", f"{services}/taken")
        cluster.http("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
    return answers
