"""What the real API server refuses pocket refuses, in the same words; what it accepts pocket accepts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from tests.parity.conftest import Asked
from tests.parity.recording import assert_same, recording, settle

ROWS = {row["name"]: row for row in recording("validation")}
ASKED = [name for name, row in ROWS.items() if "code" in row]
# kubectl itself takes a tenth of a second, so it gets a sample: all about NetworkPolicy and metadata, every third other.
SPOKEN = [n for i, n in enumerate(ROWS) if n.startswith(("meta-", "type-", "yaml-")) or i % 3 == 0]


@pytest.fixture(scope="module")
def namespace(cluster: Asked) -> str:
    cluster.http("POST", "/api/v1/namespaces", {"metadata": {"name": "val"}})
    taken = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}
    cluster.http(
        "POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "taken"}, "spec": taken}
    )
    return "val"


@pytest.mark.cluster
@pytest.mark.parametrize("name", ASKED)
def test_the_status_is_that_of_a_real_server_for(name: str, cluster: Asked, namespace: str) -> None:
    row = ROWS[name]
    query = "?dryRun=All&fieldValidation=Strict"
    code, body = cluster.http("POST", row["path"] + query, yaml.safe_load(row["manifest"]))
    assert_same(
        "validation",
        name,
        [row["code"], status_of(row["code"], row.get("status"))],
        [code, status_of(code, body)],
    )


def status_of(code: int, body: Any) -> dict[str, Any]:
    if code < 400 or not isinstance(body, dict):
        return {}
    status = {key: body[key] for key in ("reason", "message", "details") if body.get(key) is not None}
    return json.loads(re.sub(r"Bad_[a-z0-9]{5}", "Bad_SUFFIX", json.dumps(status)))


@pytest.mark.cluster
@pytest.mark.parametrize("name", SPOKEN)
def test_kubectl_create_and_apply_say_the_same_about(name: str, cluster: Asked, namespace: str) -> None:
    row = ROWS[name]
    said = {}
    for verb in ("create", "apply"):
        code, out, err = cluster.kubectl(verb, "-n", namespace, "-f", "-", stdin=row["manifest"])
        said[verb] = [code, settle(out), settle(err)]
        if out and name != "namespace-exists":
            gone = ("delete", "-n", namespace, "-f", "-", "--ignore-not-found", "--grace-period=0", "--force")
            cluster.kubectl(*gone, stdin=row["manifest"])
    create = row["create"]
    apply = row.get("apply", create)
    real = {verb: [c, settle(o), settle(e)] for verb, (c, o, e) in (("create", create), ("apply", apply))}
    assert_same("validation-kubectl", name, real, said)
