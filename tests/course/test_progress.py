"""The progress file keeps what was reached, survives damage, and is one per learner."""

from __future__ import annotations

import json
from pathlib import Path

from labkit.course.progress import Progress


def test_a_passed_step_stays_passed_when_a_later_check_fails(tmp_path: Path) -> None:
    progress = Progress.of(tmp_path, "ada")
    progress.record_result("02", "one", {"status": "pass"})
    progress.record_result("02", "one", {"status": "fail"})
    record = progress.step("02", "one")
    assert record["passed_on"]
    assert record["last"] == {"status": "fail"}
    assert record["attempts"] == 2


def test_a_check_that_could_not_be_made_is_no_attempt(tmp_path: Path) -> None:
    progress = Progress.of(tmp_path, "ada")
    progress.record_result("02", "one", {"status": "cannot_check"})
    progress.record_result("02", "one", {"status": "not_attempted"})
    assert progress.step("02", "one")["attempts"] == 0


def test_two_learners_have_two_files(tmp_path: Path) -> None:
    Progress.of(tmp_path, "ada").record("02", "one", hints=1)
    assert Progress.of(tmp_path, "bob").step("02", "one")["hints"] == 0


def test_a_damaged_file_is_set_aside_and_not_overwritten(tmp_path: Path) -> None:
    progress = Progress.of(tmp_path, "ada")
    progress.record("02", "one", hints=1)
    progress.path.write_text("{half")
    progress.record("02", "one", hints=2)
    assert json.loads(progress.path.read_text())["chapters"]["02"]["one"]["hints"] == 2
    assert [path.read_text() for path in progress.path.parent.glob("*unreadable*")] == ["{half"]
