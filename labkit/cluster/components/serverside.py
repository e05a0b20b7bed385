"""Two requests that components are made with: server-side apply, and asking what would become of an object without keeping it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from labkit.cluster.client import Query
from labkit.cluster.cluster import Cluster
from labkit.cluster.kinds import Kind

Object = Mapping[str, Any]

APPLY_PATCH = "application/apply-patch+yaml"
_DISCOVERY_SECONDS = 20.0  # until a new kind is served: the API server looks for new ones every few seconds


def server_side_apply(cluster: Cluster, obj: Object) -> dict[str, Any]:
    """Make the fields that the object has be so, whoever held them; gives it as the server has it. Raises ClusterError."""
    kind = _defined(cluster, obj)
    metadata = obj["metadata"]
    path = kind.path(_namespace(cluster, kind, obj), metadata["name"])
    query: Query = {"fieldManager": "labkit", "force": True}
    done = cluster.client.request("PATCH", path, query=query, body=dict(obj), content_type=APPLY_PATCH)
    return dict(done)


def dry_run_create(cluster: Cluster, obj: Object) -> dict[str, Any]:
    """What the server and its webhooks would make of an object; nothing is kept. Raises ClusterError for a refusal."""
    kind = cluster.kinds.of(obj)
    where = _namespace(cluster, kind, obj)
    return dict(cluster.client.request("POST", kind.path(where), query={"dryRun": "All"}, body=dict(obj)))


def _namespace(cluster: Cluster, kind: Kind, obj: Object) -> str | None:
    return (obj["metadata"].get("namespace") or cluster.namespace) if kind.namespaced else None


def _defined(cluster: Cluster, obj: Object) -> Kind:
    """The kind of an object, waiting for one whose definition has only just been accepted. Raises NotFound."""
    deadline = time.monotonic() + _DISCOVERY_SECONDS
    while "." in obj["apiVersion"] and time.monotonic() < deadline:
        if found := cluster.kinds.known(obj["apiVersion"], obj["kind"]):
            return found
        time.sleep(0.2)  # discovery has no watch
    return cluster.kinds.of(obj)
