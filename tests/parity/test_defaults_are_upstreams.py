"""What a server adds to an object that is sent with as little as possible."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.parity.conftest import Asked
from tests.parity.recording import assert_same, recording, settle

ROWS = {row["name"]: row for row in recording("defaulting")}
PLURALS = {"NetworkPolicy": "networkpolicies", "Endpoints": "endpoints"}


@pytest.fixture(scope="module")
def namespace(cluster: Asked) -> str:
    cluster.http("POST", "/api/v1/namespaces", {"metadata": {"name": "def"}})
    return "def"


def path_of(obj: dict[str, Any], namespace: str) -> str:
    version, kind = obj["apiVersion"], obj["kind"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    within = "" if kind in ("Namespace", "Node") else f"/namespaces/{namespace}"
    return f"{base}{within}/{PLURALS.get(kind, kind.lower() + 's')}"


def settled(obj: dict[str, Any]) -> Any:
    obj = json.loads(json.dumps(obj))
    for made_up in ("managedFields", "resourceVersion", "uid", "creationTimestamp"):
        obj["metadata"].pop(made_up, None)
    text = re.sub(r'"(gen-|kube-api-access-)[a-z0-9]{5}"', r'"\1SUFFIX"', json.dumps(obj, sort_keys=True))
    text = re.sub(r'"(nodePort|healthCheckNodePort)": \d+', r'"\1": "PORT"', text)
    return json.loads(settle(text))


@pytest.mark.cluster
@pytest.mark.parametrize("name", ROWS)
def test_the_object_comes_back_as_from_a_real_server_for(name: str, cluster: Asked, namespace: str) -> None:
    row = ROWS[name]
    code, body = cluster.http("POST", path_of(row["sent"], namespace), row["sent"])
    pocket = settled(body) if code == 201 else body
    if code == 201:
        cluster.http(
            "DELETE", f"{path_of(row['sent'], namespace)}/{body['metadata']['name']}?gracePeriodSeconds=0"
        )
    assert_same("defaulting", name, settled(row["returned"]), pocket)
