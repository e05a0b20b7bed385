"""Every way of answering a step that the tests know, as cells that a learner could run, and what the check must say to each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import nbformat
import yaml

from labkit.course import Chapter, Step
from labkit.course.steps import Kind
from tests.course.conftest import DNS_ADDRESSES, policies, written_answers
from tests.notebooks.conftest import ROOT, Classroom

CHOICE = 'lab.answer("{step}", {value!r})'
LOOK = 'lab.answer("{step}", lab.cluster.get("{kind}", "{name}", "{namespace}"){path})'


@dataclass(frozen=True)
class Attempt:
    """One way of answering a step. `expected`: "pass", or the reason with which the check fails."""

    step: str
    label: str
    expected: str
    cells: tuple[str, ...]


def attempts(chapter: Chapter, step: Step, dns: Iterable[str] = DNS_ADDRESSES) -> list[Attempt]:
    """All unusual right answers and all catalogued wrong ones of a step. `dns`: the addresses of the cluster's kube-dns."""
    if step.kind is Kind.ANSWER:
        return [Attempt(step.id, wrong.id, wrong.id, (_reply(step, wrong),)) for wrong in step.wrong]
    if step.kind is Kind.PREDICT:
        solution = (ROOT / "solutions" / chapter.id / f"{step.id}.py").read_text()
        found = []
        for wrong in step.wrong:
            said = {f"{p.sources[0]} -> {p.destinations[0]}": word for p, word in wrong.cells}
            found.append(
                Attempt(step.id, wrong.id, wrong.id, (solution, f'lab.predict("{step.id}", {said!r})'))
            )
        return found
    written = written_answers(chapter.id)
    known = written["steps"].get(step.id, {})
    named = [(name, "pass", items) for name, items in known.get("right", {}).items()]
    named += [(name, name, items) for name, items in known.get("wrong", {}).items()]
    return [
        Attempt(step.id, name, expected, tuple(_apply(items, written["namespace"], dns)))
        for name, expected, items in named
    ]


def judged(
    chapter: Chapter, asked: list[Attempt], classroom: Classroom, learner: str
) -> list[tuple[str, str]]:
    """Make the attempts one after the other in one notebook; gives each attempt's label and "pass" or the check's reason."""
    cells = [f'%load_ext labkit\nfrom labkit import Lab\nlab = Lab("{chapter.id}")\nlab.setup()']
    for one in asked:
        report = f'import json\nprint(json.dumps({{"lab": lab._progress.step("{chapter.id}", "{one.step}")["last"]}}))'
        cells += [f'lab.reset("{one.step}")', *one.cells, f'lab.check("{one.step}")', report]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    classroom.execute(notebook, learner)
    told = [
        json.loads(out.text)["lab"]
        for cell in notebook.cells
        for out in cell.outputs
        if out.get("text", "").startswith('{"lab":')
    ]
    return [
        (f"{one.step}: {one.label}", "pass" if last["status"] == "pass" else last["reason"])
        for one, last in zip(asked, told, strict=True)
    ]


def wanted(asked: list[Attempt]) -> list[tuple[str, str]]:
    """What `judged` has to give."""
    return [(f"{one.step}: {one.label}", one.expected) for one in asked]


def _reply(step: Step, wrong: Any) -> str:
    if wrong.expect is None:
        return CHOICE.format(step=step.id, value=list(wrong.answer or ()))
    given: Mapping[str, str] = wrong.expect.arguments
    path = "".join(f'["{part}"]' for part in given["path"].split("."))
    return LOOK.format(step=step.id, **{**given, "path": path})


def _apply(items: list[Any], namespace: str, dns: Iterable[str]) -> list[str]:
    cells = []
    for obj in policies(items, namespace, dns):
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
