"""What a learner is told where the cluster's network enforces no policies: whose network it is, what that means, what to do."""

from __future__ import annotations

from labkit.course.enforcement import Finding
from labkit.course.results import CheckResult, Status
from labkit.course.steps import Chapter, Step

REASON = "not-enforced"
_TITLE = "This cluster's network does not enforce NetworkPolicy"

_STILL_WORKS = (
    "So the steps that ask for a policy cannot be checked here. What goes by the policies alone works all the same:"
    " lab.graph(), lab.table(), lab.why(), and the steps that ask for an answer or a prediction."
)

# What is known of a network that was seen to enforce nothing.
_REMARKS = {
    "kindnet": "kindnet enforces policies since kind 0.24: this cluster was made by an older kind, or its kindnet does not run.",
    "Flannel": "Flannel connects pods and leaves policies to others, such as Calico beside it (Canal).",
    "Weave Net": "Weave Net enforces policies only while its container weave-npc runs.",
    "Amazon VPC CNI": "The Amazon VPC CNI enforces policies only where that was turned on (enable-network-policy-controller).",
    "Azure CNI": "Azure CNI enforces policies only where the cluster was made with a network policy engine.",
}


def named(finding: Finding) -> str:
    """The network in a learner's sentence."""
    if not finding.network:
        return "The network of this cluster"
    stranger = "" if finding.known else ", which the lab does not know"
    return f"The network of this cluster ({finding.network}{stranger})"


def told(finding: Finding) -> str:
    """The outcome of a trial that does not stand in the way, in a line."""
    if finding.outcome == "enforced":
        return f"{named(finding)} enforces NetworkPolicy: {finding.why}."
    return f"Whether this cluster's network enforces NetworkPolicy could not be proved: {finding.why}."


def refusal(finding: Finding) -> str:
    """Why policies cannot be judged on this cluster, in one paragraph."""
    lines = [f"{named(finding)} does not enforce NetworkPolicy: {finding.why}."]
    if remark := _REMARKS.get(finding.network):
        lines.append(remark)
    lines.append("That is not your fault, and nothing of what you write is held against you.")
    return " ".join(lines)


def remedies(chapter: Chapter) -> str:
    """What to do about it: three ways to a cluster that enforces. Commands stand on lines of their own, behind four spaces."""
    return "\n".join(
        (
            "Any of these, in a terminal, opens the chapter on a cluster whose network enforces policies.",
            "The lab's own pocket cluster, which starts in a second:",
            f"    labkit lab {chapter.id}",
            "A kind cluster with kind's own network (kind 0.24 or later):",
            f"    labkit lab {chapter.id} --name real --provider kind",
            "A kind cluster with Calico:",
            "    labkit up calico --provider kind --config calico",
            "    labkit install calico --cluster calico",
            f"    labkit lab {chapter.id} --name calico --provider kind",
            "Or mend this cluster's network, and run lab.setup() again: it is tried anew each time.",
        )
    )


def whole_message(finding: Finding, chapter: Chapter) -> str:
    """All that is said when a chapter begins on such a cluster."""
    return "\n\n".join(
        (
            refusal(finding),
            _STILL_WORKS,
            remedies(chapter),
        )
    )


def refused(
    step: Step, chapter: Chapter, finding: Finding, by_the_model: list[CheckResult]
) -> list[CheckResult]:
    """The checks of a step that cannot be judged: the reason first, then what the policies alone would give, unjudged."""
    first = CheckResult(
        step.id,
        "network",
        _TITLE,
        Status.CANNOT_CHECK,
        0,
        step.points,
        REASON,
        f"{refusal(finding)}\n\n{remedies(chapter)}",
        detail="; ".join(finding.traces),
    )
    return [first, *(_unjudged(check) for check in by_the_model)]


def _unjudged(check: CheckResult) -> CheckResult:
    told = (
        "By the policies alone, this is as it should be."
        if check.status is Status.PASS
        else f"By the policies alone:\n{check.message}"
    )
    return CheckResult(
        check.step,
        check.check,
        check.title,
        Status.CANNOT_CHECK,
        0,
        0,
        REASON,
        told,
        detail=check.reason,
        evidence=check.evidence,
        mode="model",
    )
