"""Each chapter as a learner runs it: solved all passes, untouched nothing passes, each wrong answer fails with its own hint."""

from __future__ import annotations

import json

import pytest

from labkit.course import Chapter
from tests.course.conftest import chapters
from tests.notebooks.attempts import attempts, judged, wanted
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
    asked = [one for step in chapter.steps for one in attempts(chapter, step)]
    assert judged(chapter, asked, classroom, f"others-{chapter.id}") == wanted(asked)
