"""The outcome of a check: one record for the widget, the progress file and every grade format."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


class Status(enum.StrEnum):
    """How a check ended. A cluster that is down is never the learner's fault, so "cannot check now" is not a failure."""

    PASS = "pass"
    FAIL = "fail"
    NOT_ATTEMPTED = "not_attempted"
    CANNOT_CHECK = "cannot_check"


@dataclass(frozen=True)
class CheckResult:
    """One condition of a step, judged.

    `reason` is a stable identifier (the id of a catalogued wrong answer, or a general one such as "blocked");
    `message` is for the learner: what happened, why, what to think about; `detail` is for the instructor. `evidence` holds the
    flows that decided, as plain
    data. `mode` is "live" where the cluster was probed and "model" where only the engine answered.
    """

    step: str
    check: str
    title: str
    status: Status
    score: float
    max_score: float
    reason: str = ""
    message: str = ""
    detail: str = ""
    evidence: tuple[Mapping[str, Any], ...] = ()
    mode: str = "live"

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return asdict(self) | {
            "status": self.status.value,
            "evidence": [dict(item) for item in self.evidence],
        }


@dataclass(frozen=True)
class StepResult:
    """All checks of a step together, with the one sentence that is said first."""

    chapter: str
    step: str
    title: str
    checks: tuple[CheckResult, ...]
    message: str = ""
    hint_level_used: int = 0
    attempts: int = 0
    duration_ms: int = 0
    policy_digest: str = ""
    labkit_version: str = ""
    started_at: str = ""
    observations: Mapping[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def status(self) -> Status:
        """PASS only when every check passed; otherwise what a learner should know first.

        A mistake is one whatever else could not be checked, so FAIL comes before CANNOT_CHECK.
        """
        seen = {check.status for check in self.checks}
        for status in (Status.NOT_ATTEMPTED, Status.FAIL, Status.CANNOT_CHECK):
            if status in seen:
                return status
        return Status.PASS if seen else Status.NOT_ATTEMPTED

    @property
    def passed(self) -> bool:
        """Whether the step is done."""
        return self.status is Status.PASS

    @property
    def score(self) -> float:
        """Points reached."""
        return sum(check.score for check in self.checks)

    @property
    def max_score(self) -> float:
        """Points that can be reached."""
        return sum(check.max_score for check in self.checks)

    @property
    def reason(self) -> str:
        """The first reason of a check that ended as the step did; empty when all passed."""
        return next((check.reason for check in self.checks if check.status is self.status), "")

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data; observations travel inside the checks' evidence."""
        return {
            "chapter": self.chapter,
            "step": self.step,
            "title": self.title,
            "status": self.status.value,
            "score": self.score,
            "max_score": self.max_score,
            "message": self.message,
            "reason": self.reason,
            "checks": [check.to_dict() for check in self.checks],
            "hint_level_used": self.hint_level_used,
            "attempts": self.attempts,
            "duration_ms": self.duration_ms,
            "policy_digest": self.policy_digest,
            "labkit_version": self.labkit_version,
            "started_at": self.started_at,
        }

    def to_text(self) -> str:
        """The whole result as plain text, for a terminal, a screen reader and a saved notebook."""
        marks = {Status.PASS: "✓", Status.FAIL: "✗", Status.NOT_ATTEMPTED: "·", Status.CANNOT_CHECK: "?"}
        words = {
            Status.PASS: "passed",
            Status.FAIL: "not yet",
            Status.NOT_ATTEMPTED: "not attempted",
            Status.CANNOT_CHECK: "cannot be checked now",
        }
        lines = [
            f"{marks[self.status]} {self.title}: {words[self.status]} ({self.score:g} of {self.max_score:g} points)"
        ]
        if self.message:
            lines += ["", self.message]
        for check in self.checks:
            lines += ["", f"{marks[check.status]} {check.title}"]
            lines += [f"  {line}" for line in check.message.splitlines()]
        return "\n".join(lines)
