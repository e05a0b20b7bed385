"""The golden recordings, and what is made up by every server replaced by words."""

from __future__ import annotations

import json
import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent

_MADE_UP = [
    (r"/tmp/(LIVE|MERGED)-\d+/", r"/tmp/\1/"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r"(current: |in record \(|in object meta: )\d+(?![\da-f-])", r"\1RV"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \+0000", "TIME"),
    (r"\b(kind-control-plane|pocket)\b", "NODE"),
    (r"\b10\.244\.\d+\.\d+\b", "POD-IP"),
    (r"\b10\.96\.\d+\.\d+\b", "SERVICE-IP"),
    (r"\b172\.18\.0\.\d+\b", "NODE-IP"),
    (r"127\.0\.0\.1:\d{5}\b", "SERVER"),
    (r'("?resourceVersion\\*"?: ?\\*)"\d+', r'\1"RV'),
    (r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-HASH-SUFFIX"),
    (r"\bBad_[a-z0-9]{5}", "Bad_SUFFIX"),
    (r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}\b(?!-)", "-HASH"),
    (r"kubectl-edit-\d+\.yaml", "kubectl-edit.yaml"),
    (r"^[IWE]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ", "LOG "),
    (r"\b(\d+[dhms])+\b(?= |$| ago|\))", "AGE"),
    (r"[ \t]+", " "),
    (r" +$", ""),
]


@cache
def recording(name: str) -> list[dict[str, Any]]:
    """The rows of a golden file."""
    text = (HERE / "golden" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@cache
def known_differences(name: str) -> dict[str, str]:
    """Case -> why it differs, from known.yaml."""
    listed = yaml.safe_load((HERE / "known.yaml").read_text(encoding="utf-8")) or {}
    return {case: entry["why"] for entry in listed.get(name) or [] for case in entry["cases"]}


def settle(text: str) -> str:
    """A text with everything that a server or the clock makes up replaced."""
    for pattern, word in _MADE_UP:
        text = re.sub(pattern, word, text, flags=re.M)
    return text


def assert_same(name: str, case: str, real: Any, pocket: Any) -> None:
    """Fail when the two differ, unless known.yaml says why; warn when it does and they are equal after all."""
    reason = known_differences(name).get(case)
    if reason is None:
        assert pocket == real, f"\nreal:   {json.dumps(real)}\npocket: {json.dumps(pocket)}"
    elif pocket != real:
        pytest.xfail(reason)
    else:
        warnings.warn(f"{name} {case}: now as on a real cluster; take it out of known.yaml", stacklevel=2)
