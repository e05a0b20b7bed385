"""What the cluster did, beside what the policies say: a network that enforces nothing, and connections that nobody could try."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytest

from labkit.cluster.paper import PaperCluster
from labkit.course import Chapter, Status, Step, StepResult, display, load_chapter
from labkit.course.evaluate import evaluate, flows_to_probe
from labkit.policy import Flow, Verdict, World, decide
from labkit.traffic.observation import untried
from tests.course.conftest import ROOT, policies, written_answers

CHAPTER = load_chapter(ROOT / "notebooks" / "02-and-or")


@dataclass(frozen=True)
class Seen:
    """A double of an observation."""

    verdict: Verdict | None
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


Network = Callable[[World, Flow], Seen]


def everything_passes(_world: World, _flow: Flow) -> Seen:
    return Seen(Verdict.OK)


def enforces(world: World, flow: Flow) -> Seen:
    return Seen(Verdict.OK if decide(world, flow).allowed else Verdict.TIMEOUT)


def nothing_runs(_world: World, flow: Flow) -> Seen:
    return Seen(None, f"pod {flow.destination} is not running (Pending)")


def judged(
    chapter: Chapter,
    step: Step,
    network: Network,
    *further: Any,
    stopped: Mapping[str, str] = MappingProxyType({}),
) -> StepResult:
    """The outcome of a step whose start and then these manifests were applied on such a network.

    `stopped`: the labels of pods that are not ready.
    """
    cluster = PaperCluster("a test")
    for demo in chapter.demo:
        cluster.apply((ROOT / "clusters" / "demos" / demo).read_text())
    for manifest in step.start:
        cluster.apply((chapter.folder / manifest).read_text())
    for one in further:
        if not isinstance(one, str) and one["spec"] is None:
            cluster.delete(one["kind"], one["metadata"]["name"], one["metadata"]["namespace"])
        else:
            cluster.apply(one if isinstance(one, str) else [one])
    for pod in cluster.list("Pod") if stopped else ():
        if stopped.items() <= pod["metadata"].get("labels", {}).items():
            status = {"podIP": "10.244.0.99", "conditions": [{"type": "Ready", "status": "False"}]}
            cluster.apply([{**pod, "status": status}])
    world = cluster.snapshot()
    observations = {flow: network(world, flow) for flow in flows_to_probe(chapter, step, world)}
    checks = evaluate(chapter, step, world, observations, get=lambda *_: None, mode="live")
    return StepResult(chapter.id, step.id, step.title, tuple(checks))


def solution(step: str, chapter: Chapter = CHAPTER) -> str:
    return (ROOT / "solutions" / chapter.id / f"{step}.yaml").read_text()


def wrong(step: str, name: str) -> list[dict[str, Any]]:
    written = written_answers(CHAPTER.id)
    return list(policies(written["steps"][step]["wrong"][name], written["namespace"]))


APPLY = [step.id for step in CHAPTER.steps if step.kind == "apply"]


@pytest.mark.parametrize("step", APPLY)
def test_right_policies_on_a_network_that_enforces_none_are_neither_passed_nor_failed(step: str) -> None:
    result = judged(CHAPTER, CHAPTER.step(step), everything_passes, solution(step))
    assert (result.status, result.reason, result.score) == (Status.CANNOT_CHECK, "not-enforced", 0)
    assert "Does it enforce NetworkPolicy?" in result.to_text()


@pytest.mark.parametrize(
    ("step", "name"),
    [(step, name) for step in APPLY for name in written_answers(CHAPTER.id)["steps"][step]["wrong"]],
)
def test_a_mistake_is_told_by_the_policies_also_where_the_network_enforces_none(step: str, name: str) -> None:
    """The packets that get through all the same must not make it look like another mistake."""
    result = judged(CHAPTER, CHAPTER.step(step), everything_passes, *wrong(step, name))
    assert (result.status, result.reason) == (Status.FAIL, name), result.to_text()


def test_a_failed_check_names_the_flows_that_the_policies_let_through_and_counts_the_others() -> None:
    text = judged(
        CHAPTER, CHAPTER.step("mend-ports"), everything_passes, *wrong("mend-ports", "every-port")
    ).to_text()
    assert "myproject/frontend → helidon/helidon, port 9090/TCP: must not work" in text
    assert "other/stranger" not in text
    assert "the cluster's network does not stop" in text


@pytest.mark.parametrize("step", APPLY)
def test_right_policies_pass_on_a_network_that_enforces_them(step: str) -> None:
    result = judged(CHAPTER, CHAPTER.step(step), enforces, solution(step))
    assert result.status is Status.PASS, result.to_text()


@pytest.mark.parametrize("step", APPLY)
def test_right_policies_do_not_pass_where_nothing_could_be_tried(step: str) -> None:
    result = judged(CHAPTER, CHAPTER.step(step), nothing_runs, solution(step))
    assert (result.status, result.reason) == (Status.CANNOT_CHECK, "not-tried")
    assert "is not running (Pending)" in result.to_text()


def test_some_connections_that_could_not_be_tried_are_told_and_do_not_matter() -> None:
    def one_pod_is_mute(world: World, flow: Flow) -> Seen:
        return Seen(None, "no tool") if flow.source == "helidon/batch" else enforces(world, flow)

    result = judged(CHAPTER, CHAPTER.step("mend-or"), one_pod_is_mute, solution("mend-or"))
    assert result.status is Status.PASS
    assert "of them could not be tried: no tool." in result.to_text()


def test_wrong_policies_fail_where_nothing_could_be_tried() -> None:
    result = judged(CHAPTER, CHAPTER.step("mend-or"), nothing_runs)
    assert result.status is Status.FAIL


def test_a_service_without_a_ready_pod_is_not_held_against_the_policies() -> None:
    chapter = load_chapter(ROOT / "notebooks" / "01-one-door")
    step, database = chapter.step("names-again"), {"tier": "mysql"}
    right = solution("names-again", chapter)
    result = judged(chapter, step, enforces, right, stopped=database)
    assert (result.status, result.reason) == (Status.CANNOT_CHECK, "not-running"), result.to_text()
    assert "Service blog/wordpress-mysql has no ready pod" in result.to_text()
    assert judged(chapter, step, enforces, right).status is Status.PASS
    assert judged(chapter, step, enforces, stopped=database).status is Status.FAIL


def test_what_could_not_be_tried_says_why() -> None:
    flow = Flow("blog/wordpress", "blog/mysql", 3306)
    seen = untried(flow, "pod blog/mysql is not running (Pending)")
    assert str(display.observed({flow: seen})) == (
        "blog/wordpress → blog/mysql, port 3306: not tried: pod blog/mysql is not running (Pending)"
    )
