"""Judge a step that asks for objects in the cluster: what the model decides and what the cluster did, against what is demanded.

Three sources of evidence, one verdict: every flow that the model can enumerate, the flows that were tried on the cluster, and the
flows of worlds that do not exist yet. Nothing here reads the learner's YAML as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labkit.course.conditions import Draft, flow_drafts, imagined_draft, object_draft
from labkit.course.demands import demands
from labkit.course.diagnose import diagnose
from labkit.course.imagining import imagine, namespaces
from labkit.course.results import CheckResult, Status
from labkit.course.steps import Chapter, Step
from labkit.course.violations import Observed, violations
from labkit.policy import Flow, World


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
    drafts: list[Draft] = [object_draft(wanted, get) for wanted in step.objects]
    here = demands(world, chapter.namespaces, step.demand)
    found = violations(world, here.flows, observations)
    wrong_ids = {"": found}
    drafts += flow_drafts(step.demand, here, found, observations)
    for imagined in step.imagine:
        other = imagine(world, imagined, chapter)
        there = demands(other, namespaces(chapter, imagined), imagined.demand)
        # What is wrong today is said above; an imagined world is asked only about the flows that it adds.
        today = {item.flow for item in here.flows}
        new = [item for item in there.flows if item.flow not in today]
        wrong_ids[imagined.id] = violations(other, new, {})
        drafts.append(imagined_draft(imagined, wrong_ids[imagined.id]))
    worlds = {"": (world, chapter.namespaces)} | {
        i.id: (imagine(world, i, chapter), namespaces(chapter, i))
        for i in step.imagine
        if any(w.world == i.id for w in step.wrong)
    }
    own = {world_id: [v for v in those if v.own] for world_id, those in wrong_ids.items()}
    known = diagnose(step, worlds, own)
    # A step gives its points when it is done: a closed door, say, is worth nothing if nobody can get in.
    done = all(draft.status is Status.PASS for draft in drafts)
    share = step.points / len(drafts)
    return [draft.result(step, share, done, mode, known.id if known else "") for draft in drafts]
