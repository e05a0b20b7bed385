"""The golden recordings of what a real cluster answered, and the differences from it that are known.

A recording is one JSON object a line: first where it comes from, then a case and its answer each.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"


@dataclass(frozen=True)
class Recording:
    """The answers of one part by case, and what gave them (versions of Kubernetes and kubectl, node image, day)."""

    origin: Mapping[str, str]
    answers: Mapping[str, Any]


@cache
def recording(part: str) -> Recording:
    """The recording of a part."""
    packed = GOLDEN / f"{part}.jsonl.gz"
    text = (
        gzip.decompress(packed.read_bytes()).decode()
        if packed.exists()
        else (GOLDEN / f"{part}.jsonl").read_text(encoding="utf-8")
    )
    origin, *rows = (json.loads(line) for line in text.splitlines())
    return Recording(origin, {row["case"]: row["answer"] for row in rows})


def keep(part: str, origin: Mapping[str, str], answers: Mapping[str, Any]) -> Path:
    """Write a recording; one that is long is packed, without the time, so that the same answers give the same file."""
    rows: Iterable[Any] = [origin, *({"case": case, "answer": answer} for case, answer in answers.items())]
    text = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    plain, packed = GOLDEN / f"{part}.jsonl", GOLDEN / f"{part}.jsonl.gz"
    if len(text) < 200_000:
        packed.unlink(missing_ok=True)
        plain.write_text(text, encoding="utf-8")
        return plain
    plain.unlink(missing_ok=True)
    packed.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    return packed


@cache
def known_differences(part: str) -> dict[str, str]:
    """Case -> why it differs, from known.yaml."""
    listed = yaml.safe_load((HERE / "known.yaml").read_text(encoding="utf-8")) or {}
    return {case: entry["why"] for entry in listed.get(part) or [] for case in entry["cases"]}


def difference(part: str, case: str, real: Any, pocket: Any) -> str:
    """What is wrong with a case, or nothing: it differs unlisted, or it is listed and does not differ."""
    reason = known_differences(part).get(case)
    if reason is None and pocket != real:
        return f"{part}: {case}\n  real:   {json.dumps(real)}\n  pocket: {json.dumps(pocket)}"
    if reason is not None and pocket == real:
        return f"{part}: {case}\n  is as on a real cluster; take it out of known.yaml (it says: {reason})"
    return ""
