"""What a server makes of an object: the defaults it adds, for minimal and for full forms of each kind (inputs/objects.yaml)."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import yaml

from tests.parity.asked import Asked
from tests.parity.recording import HERE
from tests.parity.settling import of_status, settle

NAME = "objects"
NAMESPACE = "def"
CLUSTER_SCOPED = ("Namespace", "Node", "CustomResourceDefinition")
PLURALS = {"NetworkPolicy": "networkpolicies", "Endpoints": "endpoints"}


@cache
def inputs() -> dict[str, dict[str, Any]]:
    """Case -> what is sent."""
    return dict(yaml.safe_load((HERE / "inputs/objects.yaml").read_text(encoding="utf-8")))


def ask(cluster: Asked) -> dict[str, Any]:
    """Case -> the object as it comes back; or why it does not."""
    cluster.http("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    try:
        return {case: _made(cluster, sent) for case, sent in inputs().items()}
    finally:
        cluster.http("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


def _made(cluster: Asked, sent: dict[str, Any]) -> Any:
    path = path_of(sent, NAMESPACE)
    code, body = cluster.http("POST", path, sent)
    if code != 201:
        return [code, of_status(code, body)]
    cluster.http("DELETE", f"{path}/{body['metadata']['name']}?gracePeriodSeconds=0")
    return plain(body)


def path_of(obj: dict[str, Any], namespace: str) -> str:
    """Where objects of its kind are created."""
    version, kind = str(obj["apiVersion"]), str(obj["kind"])
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    within = "" if kind in CLUSTER_SCOPED else f"/namespaces/{namespace}"
    return f"{base}{within}/{PLURALS.get(kind, kind.lower() + 's')}"


def plain(obj: dict[str, Any]) -> Any:
    """An object without what a server makes up."""
    obj = json.loads(json.dumps(obj))
    for made_up in ("managedFields", "resourceVersion", "uid", "creationTimestamp"):
        obj["metadata"].pop(made_up, None)
    text = re.sub(r'"(nodePort|healthCheckNodePort)": \d+', r'"\1": "PORT"', json.dumps(obj, sort_keys=True))
    return json.loads(settle(text))
