"""Every step, both ways round, by the model: its start fails, its solution and unusual right answers pass,
each wrong answer fails with its hint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.cluster.paper import PaperCluster
from labkit.course import Chapter, Status, Step
from labkit.course.answers import cells, expected, judge_prediction, judge_reply, mistakes, reply
from labkit.course.evaluate import evaluate
from labkit.course.steps import Kind
from tests.course.conftest import DNS_POD, ROOT, chapters, policies, written_answers

DEMOS = ROOT / "clusters" / "demos"
ALL = [(chapter, step) for chapter in chapters() for step in chapter.steps]
POLICY_STEPS = [(c, s) for c, s in ALL if s.kind is Kind.APPLY and not s.objects]


def name_of(value: Any) -> str | None:
    return getattr(value, "id", None) or (value if isinstance(value, str) else None)


def begun(chapter: Chapter, step: Step) -> PaperCluster:
    cluster = PaperCluster("a test")
    for demo in chapter.demo:
        cluster.apply((DEMOS / demo).read_text())
    for manifest in step.start:
        cluster.apply((chapter.folder / manifest).read_text())
    return cluster


def judged(chapter: Chapter, step: Step, cluster: PaperCluster) -> list[Any]:
    def get(kind: str, namespace: str | None, name: str) -> Any:
        return cluster.get(kind, name, namespace)

    return evaluate(chapter, step, cluster.snapshot(), {}, get=get, mode="model")


def answered(chapter: Chapter, step: Step, items: list[Any]) -> list[Any]:
    cluster = begun(chapter, step)
    for policy in policies(items, written_answers(chapter.id)["namespace"]):
        if policy["spec"] is None:
            cluster.delete("NetworkPolicy", policy["metadata"]["name"], policy["metadata"]["namespace"])
        else:
            cluster.apply([policy])
    return judged(chapter, step, cluster)


@pytest.mark.parametrize(("chapter", "step"), POLICY_STEPS, ids=name_of)
def test_the_start_of_a_step_does_not_pass(chapter: Chapter, step: Step) -> None:
    assert any(check.status is Status.FAIL for check in judged(chapter, step, begun(chapter, step)))


@pytest.mark.parametrize(("chapter", "step"), POLICY_STEPS, ids=name_of)
def test_the_solution_of_a_step_passes(chapter: Chapter, step: Step) -> None:
    cluster = begun(chapter, step)
    cluster.apply((ROOT / "solutions" / chapter.id / f"{step.id}.yaml").read_text())
    for check in judged(chapter, step, cluster):
        assert check.status is Status.PASS, check.message


def written(kind: str) -> list[Any]:
    found = []
    for chapter, step in POLICY_STEPS:
        for name, items in written_answers(chapter.id)["steps"].get(step.id, {}).get(kind, {}).items():
            found.append(pytest.param(chapter, step, name, items, id=f"{step.id}: {name}"))
    return found


@pytest.mark.parametrize(("chapter", "step", "name", "items"), written("right"))
def test_an_unusual_right_answer_passes(chapter: Chapter, step: Step, name: str, items: list[Any]) -> None:
    for check in answered(chapter, step, items):
        assert check.status is Status.PASS, check.message


@pytest.mark.parametrize(("chapter", "step", "name", "items"), written("wrong"))
def test_a_catalogued_wrong_answer_fails_with_its_own_hint(
    chapter: Chapter, step: Step, name: str, items: list[Any]
) -> None:
    failed = [check for check in answered(chapter, step, items) if check.status is Status.FAIL]
    assert {check.reason for check in failed} == {name}, [check.message for check in failed]


@pytest.mark.parametrize(("chapter", "step"), POLICY_STEPS, ids=name_of)
def test_every_catalogued_wrong_answer_has_a_manifest_that_gives_it_and_a_right_one_stands_beside_it(
    chapter: Chapter, step: Step
) -> None:
    known = written_answers(chapter.id)["steps"].get(step.id, {})
    assert set(known.get("wrong", {})) == {wrong.id for wrong in step.wrong}
    assert known.get("right")


@pytest.mark.parametrize(
    ("chapter", "step"),
    [(c, s) for c, s in ALL if s.kind is Kind.ANSWER and s.expect.what not in ("field", "count")],
    ids=name_of,
)
def test_replies_are_judged_by_what_the_world_says(chapter: Chapter, step: Step) -> None:
    cluster = begun(chapter, step)
    right = expected(chapter, step, cluster.snapshot(), cluster.list)
    assert right
    assert judge_reply(step, right, right).status is Status.PASS
    assert judge_reply(step, None, right).status is Status.NOT_ATTEMPTED
    known = mistakes(chapter, step, cluster.snapshot(), cluster.list)
    assert [wrong for _, wrong in known] == list(step.wrong)
    for given, wrong in known:
        result = judge_reply(step, given, right, known)
        assert (result.status, result.reason) == (Status.FAIL, wrong.id)


@pytest.mark.parametrize(("chapter", "step"), [(c, s) for c, s in ALL if s.kind is Kind.PREDICT], ids=name_of)
def test_predictions_are_judged_by_the_model(chapter: Chapter, step: Step) -> None:
    from labkit.course.demands import Scope
    from labkit.policy import decide

    world = begun(chapter, step).snapshot()
    truth = {flow: decide(world, flow).allowed for flow in cells(chapter, step, world)}
    assert judge_prediction(chapter, step, world, truth).status is Status.PASS
    assert judge_prediction(chapter, step, world, {}).status is Status.NOT_ATTEMPTED
    assert judge_prediction(chapter, step, world, dict(list(truth.items())[1:])).reason == "unfinished"
    for wrong in step.wrong:
        said = {
            flow: word == "allow"
            for pattern, word in wrong.cells
            for flow in Scope(world, chapter.namespaces).flows(pattern)
        }
        result = judge_prediction(chapter, step, world, truth | said)
        assert (result.status, result.reason) == (Status.FAIL, wrong.id)


def test_each_chapter_keeps_its_files_where_it_says() -> None:
    for chapter in chapters():
        assert chapter.folder == Path(ROOT / "notebooks" / chapter.id)
        for file in (
            *(DEMOS / demo for demo in chapter.demo),
            *(chapter.folder / f for step in chapter.steps for f in step.start),
        ):
            assert list(yaml.safe_load_all(file.read_text()))


def test_a_right_reply_is_right_in_whatever_way_it_is_written() -> None:
    chapter, step = next((c, s) for c, s in ALL if s.id == "read-empty")
    cluster = begun(chapter, step)
    right = expected(chapter, step, cluster.snapshot(), cluster.list)
    for given in (
        "helidon/frontend, helidon/batch",
        ["helidon/batch  helidon/frontend"],
        (
            "Helidon/Frontend",
            "helidon/batch",
            "helidon/helidon",
        ),  # a pod reaches itself: true, and not asked for
    ):
        assert judge_reply(step, reply(given), right).status is Status.PASS
    told = judge_reply(step, reply(["frontend", "batch"]), right)
    assert (told.status, told.reason) == (Status.FAIL, "no-namespace")


def test_a_mistake_that_shows_at_some_pods_only_is_recognised_as_well() -> None:
    """kubeadm's clusters have two pods of kube-dns: the address of one of them is not both."""
    chapter, step = next((c, s) for c, s in ALL if s.id == "names-again")
    cluster = begun(chapter, step)
    second: dict[str, Any] = {**DNS_POD, "metadata": {**DNS_POD["metadata"], "name": "coredns-two"}}
    cluster.apply([second | {"status": {"podIP": "10.244.0.3", "podIPs": [{"ip": "10.244.0.3"}]}}])
    written = written_answers(chapter.id)
    items = written["steps"][step.id]["wrong"]["by-address"]
    cluster.apply(list(policies(items, written["namespace"], ["10.244.0.2"])))
    failed = [check for check in judged(chapter, step, cluster) if check.status is Status.FAIL]
    assert {check.reason for check in failed} == {"by-address"}, [check.message for check in failed]
