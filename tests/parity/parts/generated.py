"""What a server says to a thousand generated manifests, right and broken; see tests/parity/generate.py."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from tests.parity.asked import Asked
from tests.parity.recording import HERE
from tests.parity.settling import of_status, settle

NAME = "generated"
NAMESPACE = "gen"
QUERY = "?dryRun=All&fieldValidation=Strict"
FILE = HERE / "inputs/generated.jsonl.gz"
SPOKEN = 40  # every so many is given to kubectl as well


@cache
def inputs(file: Path = FILE) -> list[dict[str, str]]:
    """The manifests: name, path, type and body."""
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines()]


def ask(cluster: Asked, file: Path = FILE) -> dict[str, Any]:
    """Name -> code and Status; "kubectl NAME" -> what kubectl create --dry-run=server says."""
    cluster.http("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    place = cluster.within(NAMESPACE, cluster.folder / NAMESPACE)
    answers: dict[str, Any] = {}
    try:
        for row in inputs(file):
            code, body = cluster.http("POST", row["path"] + QUERY, row["body"], content_type=row["type"])
            answers[row["name"]] = [code, in_order(of_status(code, body))]
        for row in inputs(file)[::SPOKEN]:
            code, out, err = place.kubectl("create", "--dry-run=server", "-f", "-", stdin=row["body"])
            answers[f"kubectl {row['name']}"] = [code, settle(out), sorted(settle(err).splitlines())]
    finally:
        cluster.http("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
    return answers


def in_order(status: dict[str, Any]) -> dict[str, Any]:
    """Several causes in a fixed order: Go's maps have none. The message that lists them again says only that it does."""
    causes = (status.get("details") or {}).get("causes") or []
    if len(causes) < 2:
        return status
    ordered = sorted(causes, key=lambda cause: (cause.get("field", ""), cause.get("message", "")))
    message = re.sub(r"is invalid: \[.*\]$", "is invalid: [...]", status.get("message", ""), flags=re.S)
    return {**status, "message": message, "details": {**status["details"], "causes": ordered}}
