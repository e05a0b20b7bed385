"""A recorded session of kubectl commands and raw requests, played again on pocket in the same order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.parity.conftest import Asked
from tests.parity.recording import assert_same, recording, settle

# What the recording cluster had and no pocket cluster has (other pods, other groups, random tokens), what depends on
# the moment, and what this test's way to name the cluster changes.
LEFT_OUT = {
    "create-token", "get-field-selector-node", "api-versions", "get-raw-readyz", "version-json", "edit-change",
    "apply-prune-none", "auth-whoami", "selfsubjectreview", "unknown-command", "label-list", "log-missing-container",
    "watch-rv-old", "get-yaml", "run-rm-fail", "get-raw", "patch-wrong-type",
}  # fmt: skip
EDITORS = {"edit-nochange": "true", "edit-bad": r"sed -i s/^kind:.*/kind:\ Foo/"}
ROWS = {
    row.get("kubectl") or f"http-{row['http']}": row
    for row in recording("commands")
    if (row.get("kubectl") or row["http"]) not in LEFT_OUT
}


def of_response(code: int, body: Any) -> Any:
    """What counts in an answer to a raw request."""
    if isinstance(body, dict) and body.get("kind") == "Status":
        return [code, {key: json.loads(settle(json.dumps(body[key]))) for key in body if key != "metadata"}]
    if isinstance(body, dict):
        return [code, body.get("kind"), body.get("apiVersion"), sorted(body)]
    events = [json.loads(line) for line in body.splitlines() if line.startswith("{")]
    return [code, [event.get("type") for event in events]] if events else [code, settle(body)]


@pytest.fixture(scope="module")
def answers(cluster: Asked) -> dict[str, tuple[Any, Any]]:
    """Case -> (what the real cluster answered, what pocket answered)."""
    cluster.kubectl("create", "namespace", "cmd")
    both: dict[str, tuple[Any, Any]] = {}
    for name, row in ROWS.items():
        if "kubectl" in row:
            editor = {"KUBE_EDITOR": EDITORS[name]} if name in EDITORS else {}
            code, out, err = cluster.kubectl(*row["args"], stdin=row["stdin"], **editor)
            real = [row["exit"], settle(row["stdout"]), settle(row["stderr"])]
            both[name] = (real, [code, settle(out), settle(err)])
        else:
            answer = cluster.http(
                row["method"],
                row["path"],
                row["body"],
                content_type=row["contentType"],
                accept=row.get("accept", "application/json"),
            )
            both[name] = (of_response(row["code"], row["response"]), of_response(*answer))
    return both


@pytest.mark.cluster
@pytest.mark.parametrize("name", ROWS)
def test_the_answer_is_that_of_a_real_cluster_to(name: str, answers: dict[str, tuple[Any, Any]]) -> None:
    assert_same("commands", name, *answers[name])
