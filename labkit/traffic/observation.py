"""What a probe saw: a verdict with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.policy import Flow, Verdict

_VERDICTS = {
    "ok": Verdict.OK,
    "timeout": Verdict.TIMEOUT,
    "refused": Verdict.REFUSED,
    "unreachable": Verdict.REFUSED,  # somebody on the way said no; the evidence has the words
    "reset": Verdict.RESET,
    "dns": Verdict.DNS,
}
_STATUSES = {401: Verdict.UNAUTHENTICATED, 403: Verdict.FORBIDDEN, 404: Verdict.NOT_FOUND}


@dataclass(frozen=True, slots=True)
class Observation:
    """A measured verdict.

    `verdict`: of the last reading; None when the flow could not be tried, and then `reason` says why.
    `evidence`: "address", "seconds", "error", "status" and "body" as far as there are any, and "tool".
    `readings`: every reading's verdict in order; `stable`: whether the last two agree.
    """

    flow: Flow
    verdict: Verdict | None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    readings: tuple[Verdict | None, ...] = ()
    stable: bool = True
    reason: str = ""

    @property
    def allowed(self) -> bool | None:
        """Whether the connection came about at all (an HTTP refusal is an answer); None when it was not tried."""
        if self.verdict is None:
            return None
        return self.verdict in (Verdict.OK, Verdict.FORBIDDEN, Verdict.UNAUTHENTICATED, Verdict.NOT_FOUND)

    def __str__(self) -> str:
        if self.verdict is None:
            return f"{self.flow}: not tried: {self.reason}"
        words = self.evidence.get("error") or (
            f"HTTP {self.evidence['status']}" if "status" in self.evidence else ""
        )
        return f"{self.flow}: {self.verdict}" + (f" ({words})" if words else "")


@dataclass(frozen=True, slots=True)
class Reading:
    """One attempt as a tool in the pod reported it: `outcome` is one of labkit-probe's words."""

    outcome: str
    evidence: Mapping[str, Any]

    @property
    def verdict(self) -> Verdict | None:
        if self.outcome == "ok":
            return _STATUSES.get(self.evidence.get("status", 200), Verdict.OK)
        return _VERDICTS.get(self.outcome)


def observation(flow: Flow, readings: list[Reading]) -> Observation:
    """The observation that readings of one flow add up to."""
    if not readings:
        return untried(flow, "the probe in the pod did not report on it")
    last = readings[-1]
    if last.verdict is None:
        return untried(flow, str(last.evidence.get("error", "the attempt could not be made")), last.evidence)
    verdicts = tuple(reading.verdict for reading in readings)
    stable = len(verdicts) < 2 or verdicts[-1] == verdicts[-2]
    return Observation(flow, last.verdict, last.evidence, verdicts, stable)


def untried(flow: Flow, reason: str, evidence: Mapping[str, Any] | None = None) -> Observation:
    """An empty observation that says why it is empty."""
    return Observation(flow, None, evidence or {}, reason=reason)
