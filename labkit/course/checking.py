"""Run one step's check: look at the cluster, try the flows, judge, keep the outcome. Reads only; never changes the cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from labkit.course.answers import Reply, expected, judge_prediction, judge_reply, mistakes
from labkit.course.demands import policy_digest
from labkit.course.evaluate import evaluate, flows_to_probe
from labkit.course.progress import Progress
from labkit.course.results import CheckResult, Status, StepResult
from labkit.course.steps import Chapter, Kind, Step
from labkit.course.trying import PATIENCE, Prober, contradicts, try_flows
from labkit.course.unenforced import refused
from labkit.course.violations import REACHED, Observed
from labkit.policy import Flow, World

if TYPE_CHECKING:
    from labkit.course.enforcement import Enforcement, Finding

Say = Callable[[str], None]
START_SECONDS = 60.0  # an image's pull included


class Subject(Protocol):
    """What is checked: a running cluster, or one on paper."""

    live: bool
    why: str

    def get(self, kind: str, name: str, namespace: str | None = None) -> Mapping[str, Any] | None:
        """An object, or None."""

    def list(self, kind: str, *, namespace: str | None = None) -> list[dict[str, Any]]:
        """All objects of a kind."""

    def snapshot(self) -> World:
        """The objects that decide traffic."""


def check_step(
    chapter: Chapter,
    step: Step,
    cluster: Subject,
    progress: Progress,
    *,
    prober: Prober | None,
    network: Enforcement | None = None,
    answer: Reply | None = None,
    prediction: Mapping[Flow, bool] | None = None,
    say: Say = lambda _: None,
) -> StepResult:
    """Judge a step now and record the outcome in the progress file.

    `prober` tries flows on the cluster; None where it cannot be probed. `network` knows whether the cluster's network enforces
    policies: where it does not, a step about policies is refused, not judged. `say` is told what happens, for a progress line.
    A cluster that does not answer gives CANNOT_CHECK, never a failure and never an exception.
    """
    from importlib.metadata import version

    from labkit.cluster.errors import ClusterUnreachable

    started, clock = datetime.now(UTC), time.monotonic()
    observations: Mapping[Flow, Observed] = {}
    digest = ""
    try:
        say("Looking at the cluster ...")
        world = cluster.snapshot()
        if step.kind is Kind.ANSWER:
            right = expected(chapter, step, world, cluster.list)
            digest = current_digest(cluster, chapter)
            known = mistakes(chapter, step, world, cluster.list)
            checks = [judge_reply(step, answer, right, known)]
        elif step.kind is Kind.PREDICT:
            digest = current_digest(cluster, chapter)
            checks = [judge_prediction(chapter, step, world, prediction or {})]
        else:
            checks, observations, digest = _judge_objects(
                chapter, step, cluster, world, progress, prober=prober, network=network, say=say
            )
    except ClusterUnreachable as error:
        checks = [_cannot_check(step, str(error))]
    record = progress.step(chapter.id, step.id)
    result = StepResult(
        chapter=chapter.id,
        step=step.id,
        title=step.title,
        checks=tuple(checks),
        message=_first_sentence(step, checks),
        hint_level_used=record["hints"],
        attempts=record["attempts"] + any(check.status in (Status.PASS, Status.FAIL) for check in checks),
        duration_ms=round((time.monotonic() - clock) * 1000),
        policy_digest=digest,
        labkit_version=version("labkit"),
        started_at=started.isoformat(timespec="milliseconds"),
        observations=observations,
    )
    progress.record_result(chapter.id, step.id, result.to_dict())
    return result


def _judge_objects(
    chapter: Chapter,
    step: Step,
    cluster: Subject,
    world: World,
    progress: Progress,
    *,
    prober: Prober | None,
    network: Enforcement | None,
    say: Say,
) -> tuple[list[CheckResult], Mapping[Flow, Observed], str]:
    """The checks of a step that asks for objects, what was observed, and the digest of the policies that were judged."""

    def get(kind: str, namespace: str | None, name: str) -> Mapping[str, Any] | None:
        return cluster.get(kind, name, namespace)

    digest = current_digest(cluster, chapter)
    untouched = _untouched(chapter, step, progress, digest)
    if (unenforced := _open_network(step, network)) is not None:
        by_policies = [] if untouched else evaluate(chapter, step, world, {}, get=get, mode="model")
        return refused(step, chapter, unenforced, by_policies), {}, digest
    if untouched:
        before = progress.step(chapter.id, step.id).get("start_elsewhere", ())
        news = [name for name in policies_elsewhere(cluster, chapter) if name not in before]
        return [_not_attempted(step, news)], {}, digest
    if cluster.live and _let_pods_start(step, cluster, say):
        world = cluster.snapshot()
    observations: Mapping[Flow, Observed] = {}
    if prober is not None and (flows := flows_to_probe(chapter, step, world)):
        say(f"Trying {len(flows)} connections on the cluster ...")
        world, observations = try_flows(
            prober,
            world,
            lambda now: flows_to_probe(chapter, step, now),
            snapshot=cluster.snapshot,
            patience=PATIENCE,
        )
        digest = current_digest(cluster, chapter)
    if network is not None and _let_through(world, observations) and (found := network.prove(say)).open:
        by_policies = evaluate(chapter, step, world, {}, get=get, mode="model")
        return refused(step, chapter, found, by_policies), observations, digest
    say("Comparing with what the step asks for ...")
    mode = "live" if prober else "model"
    return evaluate(chapter, step, world, observations, get=get, mode=mode), observations, digest


def _open_network(step: Step, network: Enforcement | None) -> Finding | None:
    """What is remembered of a network that enforces nothing, where that matters to the step."""
    finding = network.finding() if network is not None and step.needs_enforcement else None
    return finding if finding is not None and finding.open else None


def _let_through(world: World, observations: Mapping[Flow, Observed]) -> bool:
    """Whether the cluster let through what the policies stop, and went on doing so."""
    return any(
        seen.verdict in REACHED and contradicts(world, flow, seen) for flow, seen in observations.items()
    )


def _let_pods_start(step: Step, cluster: Any, say: Say) -> bool:
    """Give pods that the step asks for the time to become ready; a pod that cannot start is not waited for."""
    from labkit.cluster.errors import WaitTimeout

    waited = False
    for wanted in step.objects:
        if (
            not wanted.get("ready")
            or cluster.get(wanted["kind"], wanted["name"], wanted.get("namespace")) is None
        ):
            continue
        say(f"Waiting for {wanted['name']} to be ready ...")
        waited = True
        try:
            cluster.wait(
                wanted["kind"],
                wanted["name"],
                namespace=wanted.get("namespace"),
                condition=_settled,
                timeout=START_SECONDS,
            )
        except WaitTimeout:
            pass  # the check says that it is not ready
    return waited


def _settled(pod: Mapping[str, Any]) -> bool:
    """Ready, or stuck in a way that waiting does not mend."""
    status = pod.get("status", {})
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))
    containers = status.get("containerStatuses", ())
    stuck = {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
    }
    return ready or any(c.get("state", {}).get("waiting", {}).get("reason") in stuck for c in containers)


def current_digest(cluster: Subject, chapter: Chapter) -> str:
    """A short name for the policies in the chapter's namespaces, as they are now."""
    return policy_digest(
        policy
        for namespace in chapter.namespaces
        for policy in cluster.list("NetworkPolicy", namespace=namespace)
    )


def _untouched(chapter: Chapter, step: Step, progress: Progress, digest: str) -> bool:
    """Nothing has changed since `lab.start`. Steps that ask for objects say by themselves what is missing."""
    return not step.objects and progress.step(chapter.id, step.id).get("start_digest") == digest


def policies_elsewhere(cluster: Subject, chapter: Chapter) -> list[str]:
    """Policies in `default` and in kube-system: that is where they land when a namespace is forgotten, or mistaken."""
    names = [name for name in ("default", "kube-system") if name not in chapter.namespaces]
    return [
        f"{namespace}/{policy['metadata']['name']}"
        for namespace in names
        for policy in cluster.list("NetworkPolicy", namespace=namespace)
    ]


def _not_attempted(step: Step, elsewhere: list[str]) -> CheckResult:
    message = "Nothing has changed since the step began. Apply your policy first, then check again."
    if elsewhere:
        message = (
            "Nothing has changed in this chapter's namespaces since the step began. There is "
            + ", ".join(elsewhere)
            + ", but a policy acts only in its own namespace: which one does your manifest name?"
        )
    return CheckResult(
        step.id, "attempt", "Your turn", Status.NOT_ATTEMPTED, 0, step.points, "not_attempted", message
    )


def _cannot_check(step: Step, message: str) -> CheckResult:
    title = "The cluster does not answer"
    return CheckResult(
        step.id, "cluster", title, Status.CANNOT_CHECK, 0, step.points, "cluster-down", message
    )


def _first_sentence(step: Step, checks: list[CheckResult]) -> str:
    """What is said before the details: the praise, or the hint that belongs to the mistake."""
    if all(check.status is Status.PASS for check in checks):
        return step.praise
    if step.kind is not Kind.APPLY:
        return ""  # the check itself says it
    known = {wrong.id: wrong.says for wrong in step.wrong}
    return next((known[check.reason] for check in checks if check.reason in known), "")
