"""Where a machine can run no cluster, the lab works by the model, and says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks.conftest import ROOT, Classroom, read

pytestmark = pytest.mark.notebooks


@pytest.mark.parametrize("chapter", ["01-one-door", "02-and-or"])
def test_a_solved_chapter_passes_by_the_model_and_says_why_nothing_was_observed(
    chapter: str, paper_classroom: Classroom
) -> None:
    notebook = read(Path(ROOT / "solutions" / chapter / f"{chapter}.ipynb"))
    done = paper_classroom.execute(notebook, "paper")
    for step, record in done.items():
        assert record["last"]["status"] == "pass", (step, record["last"])
    shown = "".join(
        out.get("text", "") + out.get("data", {}).get("text/plain", "")
        for c in notebook.cells
        for out in c.get("outputs", ())
    )
    assert "This machine can run no cluster" in shown
    assert "What the policies say, port 8080" in shown


def test_an_untouched_chapter_passes_nothing_on_paper_either(paper_classroom: Classroom) -> None:
    done = paper_classroom.execute(read(ROOT / "notebooks" / "02-and-or" / "02-and-or.ipynb"), "paper")
    assert done
    for record in done.values():
        assert not record["passed_on"]
