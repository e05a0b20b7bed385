"""What every server and every clock makes up, replaced by words, so that two answers can be compared."""

from __future__ import annotations

import json
import re
from typing import Any

_MADE_UP = [
    (r"/tmp/kubectl-edit-\d+\.yaml", "/tmp/kubectl-edit.yaml"),
    (r"(?<=[ :])3[012]\d{3}(?=/(TCP|UDP|SCTP)\b)", "NODE-PORT"),
    (r"/tmp/(LIVE|MERGED)-\d+/", r"/tmp/\1/"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r"(current: |in record \(|in object meta: )\d+(?![\da-f-])", r"\1RV"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC", "TIME"),
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
    (r"\b([a-z0-9-]+-control-plane|pocket)\b(?!://)", "NODE"),
    (r"\b10\.244\.\d+\.\d+\b", "POD-IP"),
    (r"\b10\.96\.\d+\.\d+\b", "SERVICE-IP"),
    (r"\b172\.\d+\.0\.\d+\b", "NODE-IP"),
    (r"127\.0\.0\.1:\d{5}\b", "SERVER"),
    (r'("?resourceVersion\\*"?: ?\\*)"\d+', r'\1"RV'),
    (r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-HASH-SUFFIX"),
    (r"\bBad_[a-z0-9]{5}", "Bad_SUFFIX"),
    (r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}\b(?!-)", "-HASH"),
    (r"(pod-template-hash(?:=|\\*\": ?\\*\"|: ?))[bcdfghjklmnpqrstvwxz2456789]{8,10}\b", r"\1HASH"),
    (r"(containerd|pocket)://[0-9a-z]+|sha256:[0-9a-f]{64}|stand-in/[\w-]+", "ID"),
    (r"(kube-api-access|gen)-[a-z0-9]{5}\b", r"\1-SUFFIX"),
    (r"^[IWE]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ", "LOG "),
    (r"<invalid>|\b(\d+[dhms])+\b(?= |$| ago|\)|\")", "AGE"),
    (r"[ \t]+", " "),
    (r" +$", ""),
]


def settle(text: str) -> str:
    """A text with everything that a server or the clock makes up replaced."""
    for pattern, word in _MADE_UP:
        text = re.sub(pattern, word, text, flags=re.M)
    return text


def settled(value: Any) -> Any:
    """The same for the texts within a structure of JSON."""
    return json.loads(settle(json.dumps(value)))


def of_response(code: int, body: Any) -> Any:
    """What counts in an answer to a raw request: of a refusal all, of an object its kind and its parts."""
    if isinstance(body, dict) and body.get("kind") == "Status":
        return [code, settled({key: body[key] for key in body if key != "metadata"})]
    if isinstance(body, dict):
        return [code, body.get("kind"), body.get("apiVersion"), sorted(body)]
    events = [json.loads(line) for line in str(body).splitlines() if line.startswith("{")]
    return [code, [event.get("type") for event in events]] if events else [code, settle(str(body))]


def of_status(code: int, body: Any) -> dict[str, Any]:
    """What counts in a refusal: reason, message and causes; nothing of an acceptance."""
    if code < 400:
        return {}
    if not isinstance(body, dict):
        return {"text": str(body)}
    status = {key: body[key] for key in ("reason", "message", "details") if body.get(key) is not None}
    return dict(settled(status))
