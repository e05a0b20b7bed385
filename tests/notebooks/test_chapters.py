"""Each chapter as a learner runs it: solved all passes, untouched nothing passes, each wrong answer fails with its own hint."""

from __future__ import annotations

import json
from typing import Any

import nbformat
import pytest
import yaml

from labkit.course import Chapter, Step
from labkit.course.steps import Kind
from tests.course.conftest import chapters, policies, written_answers
from tests.notebooks.conftest import ROOT, Classroom, read

pytestmark = pytest.mark.notebooks
CHAPTERS = chapters()
IDS = [chapter.id for chapter in CHAPTERS]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=IDS)
def test_the_solved_notebook_passes_every_step(chapter: Chapter, classroom: Classroom) -> None:
    done = classroom.execute(
        read(ROOT / "solutions" / chapter.id / f"{chapter.id}.ipynb"), f"solved-{chapter.id}"
    )
    for step in chapter.steps:
        last = done[step.id]["last"]
        assert last["status"] == "pass", json.dumps(last, indent=1)[:3000]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=IDS)
def test_the_untouched_notebook_runs_and_passes_no_step(chapter: Chapter, classroom: Classroom) -> None:
    done = classroom.execute(
        read(ROOT / "notebooks" / chapter.id / f"{chapter.id}.ipynb"), f"untouched-{chapter.id}"
    )
    for step in chapter.steps:
        assert done[step.id]["last"]["status"] in ("fail", "not_attempted"), step.id
        assert not done[step.id]["passed_on"]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=IDS)
def test_every_other_answer_is_judged_on_the_cluster(chapter: Chapter, classroom: Classroom) -> None:
    """All unusual right answers and all catalogued wrong ones of a chapter, one after the other in one notebook."""
    cells = [f'%load_ext labkit\nfrom labkit import Lab\nlab = Lab("{chapter.id}")\nlab.setup()']
    asked = []
    for step in chapter.steps:
        for label, expected, code in attempts(chapter, step):
            cells += [f'lab.reset("{step.id}")', *code, f'lab.check("{step.id}")', report(chapter, step)]
            asked.append((f"{step.id}: {label}", expected))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    classroom.execute(notebook, f"others-{chapter.id}")
    told = [
        json.loads(out.text)
        for cell in notebook.cells
        for out in cell.outputs
        if out.get("text", "").startswith('{"lab":')
    ]
    seen = [
        (label, "pass" if last["lab"]["status"] == "pass" else last["lab"]["reason"])
        for (label, _), last in zip(asked, told, strict=True)
    ]
    assert seen == asked


def report(chapter: Chapter, step: Step) -> str:
    return (
        f'import json\nprint(json.dumps({{"lab": lab._progress.step("{chapter.id}", "{step.id}")["last"]}}))'
    )


def attempts(chapter: Chapter, step: Step) -> list[tuple[str, str, list[str]]]:
    """(label, "pass" or the reason expected, cells)."""
    if step.kind is Kind.ANSWER:
        return [(w.id, w.id, [f'lab.answer("{step.id}", {list(w.answer or ())!r})']) for w in step.wrong]
    if step.kind is Kind.PREDICT:
        solution = (ROOT / "solutions" / chapter.id / f"{step.id}.py").read_text()
        found = []
        for wrong in step.wrong:
            said = {f"{p.sources[0]} -> {p.destinations[0]}": word for p, word in wrong.cells}
            found.append((wrong.id, wrong.id, [solution, f'lab.predict("{step.id}", {said!r})']))
        return found
    written = written_answers(chapter.id)
    known = written["steps"].get(step.id, {})
    found = [
        (name, "pass", apply(items, written["namespace"])) for name, items in known.get("right", {}).items()
    ]
    return found + [
        (name, name, apply(items, written["namespace"])) for name, items in known.get("wrong", {}).items()
    ]


def apply(items: list[Any], namespace: str) -> list[str]:
    cells = []
    for obj in policies(items, namespace):
        meta = obj["metadata"]
        if obj.pop("keep", False):
            labels = json.dumps({"metadata": {"labels": meta["labels"]}})
            cells.append(f"!kubectl patch pod {meta['name']} -n {meta['namespace']} -p '{labels}'")
        elif obj.get("spec") is None:
            cells.append(f"!kubectl delete {obj['kind'].lower()} {meta['name']} -n {meta['namespace']}")
        else:
            cells.append("%%apply\n" + yaml.safe_dump(obj))
    if any(item.get("kind") == "Pod" for item in items):
        names = [i["metadata"] for i in items if i.get("spec")]
        cells += [
            f"!kubectl wait pod/{m['name']} -n {m['namespace']} --for=condition=Ready --timeout=4s"
            for m in names
        ]
    return cells
