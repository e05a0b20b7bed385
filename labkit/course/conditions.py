"""The conditions of a step, judged one by one: its objects, its flows, its imagined worlds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.course.demands import Demands
from labkit.course.results import CheckResult, Status
from labkit.course.steps import Demand, Imagined, Step
from labkit.course.violations import Observed, Violation
from labkit.course.wording import sentences, shown
from labkit.policy import Flow


@dataclass(frozen=True)
class Draft:
    """A check's outcome before it is known how many points it is worth."""

    check: str
    title: str
    status: Status
    reason: str = ""
    message: str = ""
    evidence: tuple[Mapping[str, Any], ...] = ()

    def result(self, step: Step, share: float, done: bool, mode: str, diagnosis: str) -> CheckResult:
        """The check with its points: `share` of the step's, given when the whole step is `done`."""
        passed = self.status is Status.PASS
        return CheckResult(
            step=step.id,
            check=self.check,
            title=self.title,
            status=self.status,
            score=share if done else 0,
            max_score=share,
            reason="" if passed else ((diagnosis if self.status is Status.FAIL else "") or self.reason),
            message=self.message,
            detail="" if passed else self.reason,
            evidence=self.evidence,
            mode=mode,
        )


def object_draft(
    wanted: Mapping[str, Any], get: Callable[[str, str | None, str], Mapping[str, Any] | None]
) -> Draft:
    """Whether an object that the step asks for is there, as it should be."""
    found = get(wanted["kind"], wanted.get("namespace"), wanted["name"])
    labels = (found or {}).get("metadata", {}).get("labels", {})
    good = found is not None and all(
        labels.get(key) == value for key, value in wanted.get("labels", {}).items()
    )
    if good and wanted.get("ready") and found is not None:
        good = any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in found.get("status", {}).get("conditions", ())
        )
    title = f"{wanted['kind']} {wanted.get('namespace', '')}/{wanted['name']}"
    if wanted.get("labels"):
        title += " has " + ", ".join(f"{key}={value}" for key, value in wanted["labels"].items())
    else:
        title += " is ready" if wanted.get("ready") else " exists"
    check = wanted.get("id") or f"{wanted['kind']}-{wanted['name']}".lower()
    return (
        Draft(check, title, Status.PASS) if good else Draft(check, title, Status.FAIL, check, wanted["says"])
    )


def flow_drafts(
    demand: Demand, here: Demands, found: list[Violation], observations: Mapping[Flow, Observed]
) -> list[Draft]:
    """The parts of a demand: what must work, what must not, and everything else."""
    drafts = []
    titles = {
        "allow": "These must work",
        "deny": "These must not work",
        "otherwise": "Everything else must fail"
        if demand.otherwise == "deny"
        else "Everything else must work",
    }
    asked = {"allow": bool(demand.allow), "deny": bool(demand.deny), "otherwise": bool(demand.otherwise)}
    for rule, title in titles.items():
        if not asked[rule]:
            continue
        flows = [item.flow for item in here.flows if item.rule == rule]
        seen = [observations[flow] for flow in flows if flow in observations]
        broken = [violation for violation in found if violation.demanded.rule == rule]
        if rule == "allow" and here.missing:
            message = (
                "There is no "
                + ", no ".join(here.missing)
                + ": these pods are needed here. Were they deleted or relabelled?"
            )
            drafts.append(Draft(rule, title, Status.FAIL, "missing", message))
        else:
            drafts.append(_draft(rule, title, len(flows), broken, seen))
    return drafts


def _draft(check: str, title: str, count: int, broken: list[Violation], seen: list[Observed]) -> Draft:
    """The outcome of one part of a demand; `seen`: what became of those of its flows that were to be tried."""
    own = [violation for violation in broken if violation.own]
    if own:
        reason = "blocked" if own[0].demanded.allow else "open"
        return Draft(check, title, Status.FAIL, reason, sentences(own) + _aside(broken, own), shown(own))
    if unanswered := [violation for violation in broken if violation.unanswered]:
        notes = dict.fromkeys(violation.decision.note for violation in unanswered)
        message = "The policies do not stop these, but nothing is there to answer:\n" + "\n".join(notes)
        return Draft(check, title, Status.CANNOT_CHECK, "not-running", message, shown(unanswered))
    if broken:
        # By the policies these must fail, and still they got through: that is not the learner's doing.
        message = (
            "The policies are right, but the cluster's network lets these through all the same."
            " Does it enforce NetworkPolicy? lab.network() tries that out.\n"
        )
        return Draft(
            check,
            title,
            Status.CANNOT_CHECK,
            "not-enforced",
            message + sentences(broken),
            shown(broken),
        )
    untried = [one for one in seen if one.verdict is None]
    why = f"could not be tried: {untried[0].reason}." if untried else ""
    if untried and len(untried) == len(seen):
        message = f"By the policies it is right, but the cluster shows nothing: what is asked for {why}"
        return Draft(check, title, Status.CANNOT_CHECK, "not-tried", message)
    rest = f" {len(untried)} of them {why}" if untried else ""
    return Draft(check, title, Status.PASS, message=f"{count} connections, as they should be.{rest}")


def _aside(broken: list[Violation], own: list[Violation]) -> str:
    """A remark on the flows of a failed check that are the network's fault."""
    others = len(broken) - len(own)
    return (
        f"\nBesides, the cluster's network does not stop {others} that the policies stop." if others else ""
    )


def imagined_draft(imagined: Imagined, broken: list[Violation]) -> Draft:
    """Whether the demand still holds in an imagined world."""
    title = f"If tomorrow there is {imagined.title}"
    if not broken:
        return Draft(f"imagine-{imagined.id}", title, Status.PASS, message="It still holds.")
    return Draft(
        f"imagine-{imagined.id}",
        title,
        Status.FAIL,
        "blocked-tomorrow" if broken[0].demanded.allow else "open-tomorrow",
        sentences(broken),
        shown(broken),
    )
