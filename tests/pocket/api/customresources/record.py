"""Ask a real cluster what session.yaml asks, and write answers.jsonl.

kubectl proxy --port=8901 &  python tests/pocket/api/customresources/record.py http://127.0.0.1:8901
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
Ask = Callable[[str, str, Any, str, str], tuple[int, Any, list[str]]]
"""(method, path, body, content type, accept) -> (code, body, warnings)"""


def session() -> list[dict[str, Any]]:
    """The requests, in order."""
    steps: list[dict[str, Any]] = yaml.safe_load((HERE / "session.yaml").read_text(encoding="utf-8"))
    return steps


def play(steps: list[dict[str, Any]], ask: Ask, seconds: float = 20) -> dict[str, dict[str, Any]]:
    """Ask everything; gives each step's code, body and warnings."""
    answers = {}
    for step in steps:
        body = step.get("text") or step.get("body")
        method = step.get("method") or ("POST" if body is not None else "GET")
        accept = TABLE if step.get("table") else AGGREGATED if step.get("aggregated") else "application/json"
        if step.get("fresh"):
            _, current, _ = ask("GET", step["path"], None, "application/json", "application/json")
            body["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
        end = time.monotonic() + seconds
        while True:
            code, found, warnings = ask(
                method, step["path"], body, step.get("contentType", "application/json"), accept
            )
            if _settled(step, code, found) or time.monotonic() > end:
                break
            time.sleep(0.05)
        answers[step["name"]] = {"code": code, "body": found, "warnings": warnings}
    return answers


def _settled(step: dict[str, Any], code: int, found: Any) -> bool:
    if step.get("gone"):
        return code == 404
    if step.get("ready"):
        return code == 200 and (step["ready"] is True or step["ready"] in json.dumps(found))
    if not step.get("wait"):
        return True
    kind = "Established" if step["wait"] is True else step["wait"]
    if not isinstance(found, dict):
        return False
    conditions = (found.get("status") or {}).get("conditions") or []
    if kind == "NamesAccepted":
        return any(condition["type"] == kind for condition in conditions)
    return any(condition["type"] == kind and condition["status"] == "True" for condition in conditions)


def over_http(base: str) -> Ask:
    """Ask through a `kubectl proxy`."""

    def ask(method: str, path: str, body: Any, content_type: str, accept: str) -> tuple[int, Any, list[str]]:
        data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        request = urllib.request.Request(base + path, data=data, method=method)
        request.add_header("Accept", accept)
        request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                code, text, headers = answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            code, text, headers = error.code, error.read().decode(), error.headers
        try:
            found = json.loads(text)
        except ValueError:
            found = text
        return code, found, headers.get_all("Warning") or []

    return ask


def main() -> None:
    """Record."""
    ask = over_http(sys.argv[1])
    ask(
        "POST",
        "/api/v1/namespaces",
        {"metadata": {"name": "crd-lab"}},
        "application/json",
        "application/json",
    )
    time.sleep(1)
    answers = play(session(), ask)
    ask("DELETE", "/api/v1/namespaces/crd-lab", None, "application/json", "application/json")
    lines = [json.dumps({"name": name, **answer}, sort_keys=True) for name, answer in answers.items()]
    (HERE / "answers.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
