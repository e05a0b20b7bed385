"""Violations in words for a learner, and as evidence for the panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.course.violations import Violation
from labkit.policy import Verdict

SHOWN = 3  # flows named in a message; more would bury the first


def shown(broken: list[Violation]) -> tuple[Mapping[str, Any], ...]:
    """The evidence of the most telling violations, as plain data."""
    return tuple(_evidence(violation) for violation in _telling(broken)[:SHOWN])


def sentences(broken: list[Violation]) -> str:
    """One line for each of the most telling violations, and how many more there are."""
    lines = []
    for violation in _telling(broken)[:SHOWN]:
        flow = f"{violation.flow.source} → {violation.flow.destination}, port {violation.flow.port}/{violation.flow.protocol}"
        lines.append(f"{flow}: {_what(violation)}")
    if len(broken) > SHOWN:
        lines.append(f"... and {len(broken) - SHOWN} more.")
    return "\n".join(lines)


def _telling(broken: list[Violation]) -> list[Violation]:
    """The violations in the order in which a learner should hear of them: what was seen first, and one of each pair."""
    first: dict[tuple[str, str], Violation] = {}
    rest = []
    for violation in sorted(broken, key=lambda v: (not v.observed, not v.demanded.probe)):
        pair = (violation.flow.source, violation.flow.destination)
        if pair in first:
            rest.append(violation)
        else:
            first[pair] = violation
    return [*first.values(), *rest]


def _what(violation: Violation) -> str:
    seen = violation.observation
    if violation.observed and seen is not None and seen.verdict is not None:
        return f"must {'work' if violation.demanded.allow else 'not work'}; tried on the cluster: {_in_words(seen.verdict)}"
    return (
        "must work, but the policies stop it"
        if violation.demanded.allow
        else "must not work, but the policies let it through"
    )


def _in_words(verdict: Verdict) -> str:
    words = {
        Verdict.OK: "it got through",
        Verdict.TIMEOUT: "no answer (timed out)",
        Verdict.REFUSED: "it arrived, and nothing listens there (connection refused)",
        Verdict.RESET: "it arrived, and was reset",
        Verdict.DNS: "the name could not be resolved",
    }
    return words.get(verdict, verdict.value)


def _evidence(violation: Violation) -> dict[str, Any]:
    seen = violation.observation
    return {
        "source": violation.flow.source,
        "destination": violation.flow.destination,
        "port": violation.flow.port,
        "protocol": violation.flow.protocol,
        "must": "work" if violation.demanded.allow else "fail",
        "verdict": violation.decision.verdict.value,
        "observed": seen.verdict.value if seen is not None and seen.verdict is not None else None,
        "decision": violation.decision.to_dict(),
    }
