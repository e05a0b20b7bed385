"""What a real cluster answered about custom resources pocket answers too: session.yaml played again."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.pocket.controllers import run_all
from tests.pocket.api.conftest import Served
from tests.pocket.api.customresources.record import play, session

HERE = Path(__file__).parent
OTHERS = (".istio.io", ".k8s.io", ".cert-manager.io", ".linkerd.io")  # what else the recording cluster had
REAL = {
    row["name"]: row
    for row in map(json.loads, (HERE / "answers.jsonl").read_text(encoding="utf-8").splitlines())
}

# Differences that are known, each with its reason.
KNOWN = {
    "wrong-version": "what is unknown is not looked for in an object of another version",
    "after-scale": "a real server keeps a record of its own for what was written through scale",
    "merge-patch-strict": "a real server keeps a record of its own for what was written through scale",
    "two-old": "a real server's record still names fields that the stored version does not have",
    "two-old-as-new": "a real server's record still names fields that the stored version does not have",
    "terminating-list": "a real server takes a moment to ask everything to go",
    "post-name": "a POST to an object's own path is refused before its body is read",
}


@pytest.fixture(scope="module")
def answers(served: Served) -> Iterator[dict[str, Any]]:
    """Everything asked of one server with its controllers."""
    running = asyncio.run_coroutine_threadsafe(run_all(served.api), served.loop)
    served.http("POST", "/api/v1/namespaces", {"metadata": {"name": "crd-lab"}})

    def ask(method: str, path: str, body: Any, content_type: str, accept: str) -> tuple[int, Any, list[str]]:
        data = body.encode() if isinstance(body, str) else body
        answer = served.http(method, path, data, content_type=content_type, accept=accept)
        return answer.code, answer.body, answer.all_headers("Warning")

    yield play(session(), ask, seconds=5)
    running.cancel()


@pytest.mark.parametrize("name", REAL)
def test_the_answer_is_that_of_a_real_cluster_to(name: str, answers: dict[str, Any]) -> None:
    real, pocket = settled(name, REAL[name]), settled(name, answers[name])
    if name in KNOWN and real != pocket:
        pytest.xfail(KNOWN[name])
    assert pocket == real, (
        f"\nreal:   {json.dumps(real, sort_keys=True)}\npocket: {json.dumps(pocket, sort_keys=True)}"
    )


def settled(name: str, answer: Any) -> Any:
    """What counts in an answer, with everything made up by a server or the clock replaced."""
    code, body = answer["code"], answer["body"]
    if isinstance(body, dict) and body.get("kind") == "Status" and code >= 400:
        body = _status(body)
    elif name.startswith("openapi"):
        body = _openapi(body)
    elif name == "discovery":
        body = [group for group in body["items"] if group["metadata"]["name"] == "lab.example.com"]
    elif isinstance(body, dict) and body.get("kind") == "Table":
        rows = [row["cells"] for row in body["rows"] if not row["cells"][0].endswith(OTHERS)]
        body = [body["columnDefinitions"], rows]
    else:
        body = _object(body)
    text = json.dumps(body, sort_keys=True)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID", text)
    text = re.sub(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
    text = re.sub(r'(resourceVersion\\*": ?\\*")\d+', r"\1RV", text)
    text = re.sub(r'"\d+[smhd]"', '"AGE"', text)
    return [code, json.loads(text), sorted(answer["warnings"])]


def _status(status: Any) -> Any:
    # Upstream walks over maps: its errors have no order.
    message = re.sub(r"^(.* is invalid: )\[(.*)\]$", r"\1", status["message"], flags=re.DOTALL)
    causes = (status.get("details") or {}).get("causes") or []
    details = {
        **(status.get("details") or {}),
        "causes": sorted(causes, key=lambda cause: json.dumps(cause, sort_keys=True)),
    }
    return [status.get("reason"), message, details]


def _openapi(body: Any) -> Any:
    if "components" not in body:
        return "apis/lab.example.com/v1" in body["paths"]
    own = {name: one for name, one in body["components"]["schemas"].items() if name.startswith("com.example")}
    return [
        own,
        {path: sorted(verb for verb in item if verb != "parameters") for path, item in body["paths"].items()},
    ]


def _object(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    if "items" in body:
        return {**body, "metadata": {}, "items": [_object(item) for item in body["items"]]}
    for resource in body.get("resources") or []:
        resource.pop("storageVersionHash", None)
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and "managedFields" in metadata:
        # The cluster's own parts keep no record on pocket.
        managed = [entry for entry in metadata["managedFields"] if entry["manager"] != "kube-apiserver"]
        body = {**body, "metadata": {**metadata, "managedFields": managed}}
        if body["kind"] == "CustomResourceDefinition":
            # Which structures of a built-in kind are pointers in Go is not known here.
            body = json.loads(json.dumps(body).replace('".": {}, ', ""))
    return body
