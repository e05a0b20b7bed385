"""The columns that `kubectl get` prints, and, for objects in many states, the cells.

The columns are asked of any cluster. The cells are recorded together with the objects they were printed for, so that pocket's
printing of the very same objects can be compared without one.
"""

from __future__ import annotations

import time
from typing import Any

from tests.parity.asked import Asked
from tests.parity.parts import states
from tests.parity.recording import HERE

NAME = "tables"
RESOURCES = (
    "namespaces", "nodes", "pods", "deployments.apps", "replicasets.apps", "services", "endpoints",
    "endpointslices.discovery.k8s.io", "serviceaccounts", "configmaps", "secrets", "events",
    "networkpolicies.networking.k8s.io",
)  # fmt: skip
ACCEPT = "application/json;as=Table;v=v1;g=meta.k8s.io"


def ask(cluster: Asked) -> dict[str, Any]:
    """Resource -> its columns."""
    return {resource: _table(cluster, resource, "default")["columnDefinitions"] for resource in RESOURCES}


def cells(cluster: Asked) -> dict[str, Any]:
    """ "RESOURCE NAME" -> an object and its cells, for objects in many states."""
    cluster.kubectl("apply", "-f", str(HERE / "inputs/states.yaml"))
    try:
        time.sleep(states.SECONDS)
        found = {}
        for resource in RESOURCES:
            for row in _table(cluster, resource, states.NAMESPACE)["rows"]:
                row["object"]["metadata"].pop("managedFields", None)
                case = f"{resource} {row['object']['metadata']['name']}"
                found[case] = {"object": row["object"], "cells": row["cells"]}
        return found
    finally:
        cluster.http("DELETE", f"/api/v1/namespaces/{states.NAMESPACE}")


def _table(cluster: Asked, resource: str, namespace: str) -> Any:
    name, _, group = resource.partition(".")
    base = f"/apis/{group}/v1" if group else "/api/v1"
    within = "" if name in ("namespaces", "nodes") else f"/namespaces/{namespace}"
    code, table = cluster.http("GET", f"{base}{within}/{name}?includeObject=Object", accept=ACCEPT)
    assert code == 200, table
    return table
