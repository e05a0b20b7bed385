"""Judge a reply or a prediction. The right answer is computed from the cluster as it is, never typed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from labkit.course.demands import Scope
from labkit.course.results import CheckResult, Status
from labkit.course.steps import Chapter, Expectation, FlowPattern, Step, WrongAnswer
from labkit.policy import Flow, World, decide

Lister = Callable[..., list[dict[str, Any]]]
Reply = frozenset[str]


def reply(value: Any) -> Reply:
    """A learner's reply as a set of words: one value, a list, or words between commas; case, order, spaces and repetition
    do not matter."""
    items: Iterable[Any] = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
    return frozenset(word for item in items for word in re.split(r"[\s,;]+", str(item).lower()) if word)


def expected(chapter: Chapter, step: Step, world: World, list_objects: Lister) -> Reply:
    """The right reply, from the world (who may talk to whom) or the objects (`list_objects(kind, namespace=...)`)."""
    assert step.expect is not None
    return _value(chapter, step.expect, world, list_objects)


def mistakes(
    chapter: Chapter, step: Step, world: World, list_objects: Lister
) -> list[tuple[Reply, WrongAnswer]]:
    """The replies that people are known to give by mistake; some depend on the cluster."""
    found = []
    for wrong in step.wrong:
        if wrong.answer is not None:
            found.append((reply(wrong.answer), wrong))
        elif wrong.expect is not None:
            found.append((_value(chapter, wrong.expect, world, list_objects), wrong))
    return found


def _value(chapter: Chapter, expectation: Expectation, world: World, list_objects: Lister) -> Reply:
    what, given = expectation.what, expectation.arguments
    if what == "sources-of":
        pods = Scope(world, chapter.namespaces).pods
        flows = (Flow(pod.key, given["to"], given["port"]) for pod in pods if pod.key != given["to"])
        return reply(flow.source for flow in flows if decide(world, flow).allowed)
    if what == "destinations-of":
        pods = Scope(world, chapter.namespaces).pods
        flows = (Flow(given["from"], pod.key, given["port"]) for pod in pods if pod.key != given["from"])
        return reply(flow.destination for flow in flows if decide(world, flow).allowed)
    if what == "decided-by":
        pattern = FlowPattern((given["from"],), (given["to"],), ((given["port"], "TCP"),))
        decision = decide(world, next(iter(Scope(world, chapter.namespaces).flows(pattern))))
        stopping = [half for half in decision.halves if not half.allowed] or list(decision.halves)
        if given.get("part") == "direction":
            return reply(half.direction.value for half in stopping)
        return reply(policy.key.name for half in stopping for policy in half.policies)
    objects = list_objects(given["kind"], namespace=given.get("namespace"))
    if what == "count":
        return reply(len(objects))
    found = next((item for item in objects if item["metadata"]["name"] == given["name"]), None)
    return reply(_at(found, given["path"])) if found else frozenset()


def _at(obj: Any, path: str) -> Any:
    for part in path.split("."):
        obj = obj.get(part, "") if isinstance(obj, Mapping) else ""
    return obj


def judge_reply(
    step: Step, given: Reply | None, right: Reply, known: Iterable[tuple[Reply, WrongAnswer]] = ()
) -> CheckResult:
    """Compare a reply with the right one; one of the known mistakes brings its own hint."""
    if not given:
        return _result(
            step,
            Status.NOT_ATTEMPTED,
            message=f'Nothing was answered yet. Write your reply into lab.answer("{step.id}", ...).',
        )
    if not right:
        message = (
            "There is nothing to compare your answer with: what was asked for is not in this cluster now."
        )
        return _result(step, Status.CANNOT_CHECK, "nothing-to-compare", message)
    if given == right or _without_itself(step, given) == right:
        return _result(step, Status.PASS, message=step.praise)
    if _asks_for_pods(step) and not any("/" in word for word in given) and "none" not in given:
        message = 'Write each pod with its namespace, such as "other/stranger": names may occur in several namespaces.'
        return _result(step, Status.FAIL, "no-namespace", message)
    for mistaken, wrong in known:
        if mistaken == given:
            return _result(step, Status.FAIL, wrong.id, wrong.says)
    return _result(step, Status.FAIL, "other-answer", _how_far(given, right))


def _asks_for_pods(step: Step) -> bool:
    return step.expect is not None and step.expect.what in ("sources-of", "destinations-of")


def _without_itself(step: Step, given: Reply) -> Reply:
    """A reply without the pod in question: that it reaches itself is true, and not asked for."""
    if step.expect is None or not _asks_for_pods(step):
        return given
    return given - {step.expect.arguments.get("to"), step.expect.arguments.get("from")}


def _how_far(given: Reply, right: Reply) -> str:
    """What may be said about a wrong reply without giving the right one away."""
    if len(right) <= 1:
        return f"That is not it: {', '.join(sorted(given))}."
    too_many, missing = given - right, right - given
    parts = []
    if too_many:
        parts.append(f"{len(too_many)} of your {len(given)} names should not be in the list")
    if missing:
        parts.append("one is missing" if len(missing) == 1 else f"{len(missing)} are missing")
    return f"Not yet: {', and '.join(parts)}."


def cells(chapter: Chapter, step: Step, world: World) -> list[Flow]:
    """The cells that a prediction step asks for."""
    scope = Scope(world, chapter.namespaces)
    return [flow for pattern in step.predict for flow in scope.flows(pattern)]


def judge_prediction(chapter: Chapter, step: Step, world: World, given: Mapping[Flow, bool]) -> CheckResult:
    """Compare the predicted cells with the model. Cells that Kubernetes leaves to implementations count for nothing."""
    decisions = {flow: decide(world, flow) for flow in cells(chapter, step, world)}
    asked = {flow: decision for flow, decision in decisions.items() if decision.defined}
    filled = {flow: said for flow, said in given.items() if flow in asked}
    if not filled:
        return _result(
            step,
            Status.NOT_ATTEMPTED,
            message="No cell is filled in yet. Click on a cell of the table, or use the arrow keys and the space bar.",
        )
    if len(filled) < len(asked):
        return _result(
            step,
            Status.FAIL,
            "unfinished",
            f"{len(asked) - len(filled)} of {len(asked)} cells are still empty. Fill in all of them, then check.",
        )
    wrong = [flow for flow, said in filled.items() if said != asked[flow].allowed]
    if not wrong:
        return _result(step, Status.PASS, message=step.praise)
    known = _known_prediction(chapter, step, world, filled)
    lines = [known.says] if known else []
    lines.append(f"{len(wrong)} of {len(asked)} cells differ from what happens:")
    for flow in wrong:
        lines.append(
            f"{flow.source} → {flow.destination}, port {flow.port}: you said {'✓' if filled[flow] else '✗'}"
        )
        lines += [f"    {line}" for line in asked[flow].explain().splitlines()]
    return _result(step, Status.FAIL, known.id if known else "other-prediction", "\n".join(lines))


def _known_prediction(
    chapter: Chapter, step: Step, world: World, given: Mapping[Flow, bool]
) -> WrongAnswer | None:
    scope = Scope(world, chapter.namespaces)
    for wrong in step.wrong:
        said = {flow: word == "allow" for pattern, word in wrong.cells for flow in scope.flows(pattern)}
        if said and all(given.get(flow) == allow for flow, allow in said.items()):
            return wrong
    return None


def _result(step: Step, status: Status, reason: str = "", message: str = "") -> CheckResult:
    title = "Your prediction" if step.predict else "Your answer"
    score = step.points if status is Status.PASS else 0
    return CheckResult(
        step.id,
        "reply",
        title,
        status,
        score,
        step.points,
        reason or ("" if status is Status.PASS else status.value),
        message,
    )
