"""Judge a step that asks for objects in the cluster: what the model decides and what the cluster did, against what is demanded.

Three sources of evidence, one verdict: every flow that the model can enumerate, the flows that were tried on the cluster, and the
flows of worlds that do not exist yet. Nothing here reads the learner's YAML as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from labkit.course.demands import Demanded, Demands, demands
from labkit.course.diagnose import diagnose
from labkit.course.results import CheckResult, Status
from labkit.course.steps import Chapter, Demand, Imagined, Step
from labkit.policy import Decision, Flow, Verdict, World, decide

# The packet arrived, whatever the application then said: policy let it through.
REACHED = {
    Verdict.OK,
    Verdict.REFUSED,
    Verdict.RESET,
    Verdict.FORBIDDEN,
    Verdict.UNAUTHENTICATED,
    Verdict.NOT_FOUND,
}
SHOWN = 3  # flows named in a message; more would bury the first


class Observed(Protocol):
    """What a probe of the cluster gives for a flow (`labkit.traffic.Observation`)."""

    @property
    def verdict(self) -> Verdict | None:
        """What was seen; None where nothing could be tried."""

    @property
    def evidence(self) -> Mapping[str, Any]:
        """What it rests on."""

    @property
    def reason(self) -> str:
        """Why nothing could be tried, where nothing could."""


@dataclass(frozen=True)
class Violation:
    """A flow that does not do what the step demands. `modelled`: by the model's decision; `observed`: by what the cluster did."""

    demanded: Demanded
    decision: Decision
    observation: Observed | None
    modelled: bool
    observed: bool

    @property
    def flow(self) -> Flow:
        """The flow in question."""
        return self.demanded.flow

    @property
    def unenforced(self) -> bool:
        """The policies stop it, and the cluster lets it through: whoever wrote them did nothing wrong."""
        return self.observed and not self.modelled and not self.demanded.allow

    @property
    def unanswered(self) -> bool:
        """It must work, no policy stops it, and nothing is there to answer: a Service none of whose pods is ready."""
        nobody = self.flow.destination.startswith("service:") and not self.decision.endpoints
        return (
            self.modelled and self.demanded.allow and nobody and all(h.allowed for h in self.decision.halves)
        )

    @property
    def own(self) -> bool:
        """Whether it is the policies' doing, as far as one can tell."""
        return not (self.unenforced or self.unanswered)


def flows_to_probe(chapter: Chapter, step: Step, world: World) -> list[Flow]:
    """The flows of a step that should be tried on the cluster."""
    return [item.flow for item in demands(world, chapter.namespaces, step.demand).flows if item.probe]


def evaluate(
    chapter: Chapter,
    step: Step,
    world: World,
    observations: Mapping[Flow, Observed],
    *,
    get: Callable[[str, str | None, str], Mapping[str, Any] | None],
    mode: str,
) -> list[CheckResult]:
    """One result for each condition of the step; `get(kind, namespace, name)` reads an object, or gives None.

    A step's points are shared equally among its conditions, and given only when all are fulfilled.
    """
    drafts: list[_Draft] = [_object_draft(wanted, get) for wanted in step.objects]
    here = demands(world, chapter.namespaces, step.demand)
    found = violations(world, here.flows, observations)
    wrong_ids = {"": found}
    drafts += _flow_drafts(step.demand, here, found, observations)
    for imagined in step.imagine:
        other = imagine(world, imagined, chapter)
        there = demands(other, _namespaces(chapter, imagined), imagined.demand)
        # What is wrong today is said above; an imagined world is asked only about the flows that it adds.
        today = {item.flow for item in here.flows}
        new = [item for item in there.flows if item.flow not in today]
        wrong_ids[imagined.id] = violations(other, new, {})
        drafts.append(_imagined_draft(imagined, wrong_ids[imagined.id]))
    worlds = {"": (world, chapter.namespaces)} | {
        i.id: (imagine(world, i, chapter), _namespaces(chapter, i))
        for i in step.imagine
        if any(w.world == i.id for w in step.wrong)
    }
    own = {world_id: [v for v in those if v.own] for world_id, those in wrong_ids.items()}
    known = diagnose(step, worlds, own)
    # A step gives its points when it is done: a closed door, say, is worth nothing if nobody can get in.
    done = all(draft.status is Status.PASS for draft in drafts)
    share = step.points / len(drafts)
    return [draft.result(step, share, done, mode, known.id if known else "") for draft in drafts]


def imagine(world: World, imagined: Imagined, chapter: Chapter) -> World:
    """The world with an imagined world's objects added; short forms of pods get the chapter's ports."""
    return world.replace(*(_added(item, chapter) for item in imagined.add))


def _namespaces(chapter: Chapter, imagined: Imagined) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            (*chapter.namespaces, *(str(item["namespace"]) for item in imagined.add if "namespace" in item))
        )
    )


def _added(item: Mapping[str, Any], chapter: Chapter) -> Mapping[str, Any]:
    if "kind" in item:
        return item
    labels = dict(item.get("labels", {}))
    if "namespace" in item:
        return {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": item["namespace"], "labels": labels},
        }
    namespace, name = item["pod"].split("/")
    ports = [{"containerPort": port, "protocol": protocol} for port, protocol in chapter.ports]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": name, "image": "imagined", "ports": ports}]},
    }


def violations(
    world: World, flows: Iterable[Demanded], observations: Mapping[Flow, Observed]
) -> list[Violation]:
    """The flows that do not do what is demanded. What Kubernetes leaves to implementations is never held against anybody."""
    found = []
    for item in flows:
        decision = decide(world, item.flow)
        if not decision.defined:
            continue
        seen = observations.get(item.flow)
        modelled = decision.allowed != item.allow
        observed = seen is not None and seen.verdict is not None and not _as_demanded(item, seen.verdict)
        if modelled or observed:
            found.append(Violation(item, decision, seen, modelled, observed))
    return found


def _as_demanded(item: Demanded, verdict: Verdict) -> bool:
    if item.allow:
        return verdict is Verdict.OK
    return verdict not in REACHED


@dataclass(frozen=True)
class _Draft:
    """A check's outcome before it is known how many points it is worth."""

    check: str
    title: str
    status: Status
    reason: str = ""
    message: str = ""
    evidence: tuple[Mapping[str, Any], ...] = ()

    def result(self, step: Step, share: float, done: bool, mode: str, diagnosis: str) -> CheckResult:
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


def _object_draft(
    wanted: Mapping[str, Any], get: Callable[[str, str | None, str], Mapping[str, Any] | None]
) -> _Draft:
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
        _Draft(check, title, Status.PASS)
        if good
        else _Draft(check, title, Status.FAIL, check, wanted["says"])
    )


def _flow_drafts(
    demand: Demand, here: Demands, found: list[Violation], observations: Mapping[Flow, Observed]
) -> list[_Draft]:
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
            drafts.append(_Draft(rule, title, Status.FAIL, "missing", message))
        else:
            drafts.append(_draft(rule, title, len(flows), broken, seen))
    return drafts


def _draft(check: str, title: str, count: int, broken: list[Violation], seen: list[Observed]) -> _Draft:
    """The outcome of one part of a demand; `seen`: what became of those of its flows that were to be tried."""
    own = [violation for violation in broken if violation.own]
    if own:
        reason = "blocked" if own[0].demanded.allow else "open"
        return _Draft(check, title, Status.FAIL, reason, _sentences(own) + _aside(broken, own), _shown(own))
    if unanswered := [violation for violation in broken if violation.unanswered]:
        notes = dict.fromkeys(violation.decision.note for violation in unanswered)
        message = "The policies do not stop these, but nothing is there to answer:\n" + "\n".join(notes)
        return _Draft(check, title, Status.CANNOT_CHECK, "not-running", message, _shown(unanswered))
    if broken:
        # By the policies these must fail, and still they got through: that is not the learner's doing.
        message = (
            "The policies are right, but the cluster's network lets these through all the same."
            " Does it enforce NetworkPolicy?\n"
        )
        return _Draft(
            check,
            title,
            Status.CANNOT_CHECK,
            "not-enforced",
            message + _sentences(broken),
            _shown(broken),
        )
    untried = [one for one in seen if one.verdict is None]
    why = f"could not be tried: {untried[0].reason}." if untried else ""
    if untried and len(untried) == len(seen):
        message = f"By the policies it is right, but the cluster shows nothing: what is asked for {why}"
        return _Draft(check, title, Status.CANNOT_CHECK, "not-tried", message)
    rest = f" {len(untried)} of them {why}" if untried else ""
    return _Draft(check, title, Status.PASS, message=f"{count} connections, as they should be.{rest}")


def _aside(broken: list[Violation], own: list[Violation]) -> str:
    """A remark on the flows of a failed check that are the network's fault."""
    others = len(broken) - len(own)
    return (
        f"\nBesides, the cluster's network does not stop {others} that the policies stop." if others else ""
    )


def _shown(broken: list[Violation]) -> tuple[Mapping[str, Any], ...]:
    return tuple(_evidence(violation) for violation in _telling(broken)[:SHOWN])


def _imagined_draft(imagined: Imagined, broken: list[Violation]) -> _Draft:
    title = f"If tomorrow there is {imagined.title}"
    if not broken:
        return _Draft(f"imagine-{imagined.id}", title, Status.PASS, message="It still holds.")
    return _Draft(
        f"imagine-{imagined.id}",
        title,
        Status.FAIL,
        "blocked-tomorrow" if broken[0].demanded.allow else "open-tomorrow",
        _sentences(broken),
        _shown(broken),
    )


def _sentences(broken: list[Violation]) -> str:
    lines = []
    for violation in _telling(broken)[:SHOWN]:
        flow = f"{violation.flow.source} → {violation.flow.destination}, port {violation.flow.port}/{violation.flow.protocol}"
        lines.append(f"{flow}: {_what(violation)}")
    if len(broken) > SHOWN:
        lines.append(f"... and {len(broken) - SHOWN} more.")
    return "\n".join(lines)


def _telling(broken: list[Violation]) -> list[Violation]:
    """The violations in the order in which a learner should hear of them: what was seen on the cluster
    first, one of each pair."""
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
