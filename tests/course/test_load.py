"""An author's mistake in steps.yaml is told with file, line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.course import AuthorError, load_chapter

GOOD = """\
format: labkit-steps/1
chapter: 99-test
title: A test
minutes: 5
namespaces: [a]
ports: [80]
steps:
  - id: one
    title: One
    kind: apply
    task: Do it.
    points: 1
    allow: [{from: a/x, to: a/y, port: 80}]
    hints: [one, two, three]
"""


def load(folder: Path, text: str) -> str:
    (folder / "steps.yaml").write_text(text)
    with pytest.raises(AuthorError) as caught:
        load_chapter(folder)
    return str(caught.value)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "steps.yaml").write_text(GOOD)
    chapter = load_chapter(tmp_path)
    assert chapter.step("one").demand.allow[0].ports == ((80, "TCP"),)


def test_an_unknown_field_is_told_with_its_line(tmp_path: Path) -> None:
    message = load(tmp_path, GOOD.replace("    points: 1", "    point: 1"))
    assert "steps.yaml:8: steps[0]" in message
    assert "point" in message


def test_fewer_than_three_hints_are_refused(tmp_path: Path) -> None:
    assert "steps.yaml:14: steps[0].hints" in load(tmp_path, GOOD.replace("[one, two, three]", "[one]"))


def test_two_steps_of_one_name_are_refused(tmp_path: Path) -> None:
    step = GOOD[GOOD.index("  - id") :]
    assert "steps[1].id: a step named 'one' exists already" in load(tmp_path, GOOD + step)


def test_a_step_that_demands_nothing_is_refused(tmp_path: Path) -> None:
    lines = [line for line in GOOD.splitlines() if "allow" not in line]
    assert "a step of kind 'apply' needs one of" in load(tmp_path, "\n".join(lines))


def test_a_wrong_answer_in_a_world_that_nobody_imagined_is_refused(tmp_path: Path) -> None:
    wrong = "    wrong: [{id: w, says: x, world: nowhere, opens: [{from: a/x, to: a/y}]}]\n"
    assert "no imagined world has the id or title 'nowhere'" in load(tmp_path, GOOD + wrong)


def test_text_that_is_no_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    assert "steps.yaml" in load(tmp_path, "steps: [\n")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(AuthorError, match="cannot be read"):
        load_chapter(tmp_path)


def test_a_chapter_may_require_components(tmp_path: Path) -> None:
    (tmp_path / "steps.yaml").write_text(
        GOOD.replace("namespaces:", "requires: [cert-manager, istio+ambient]\nnamespaces:")
    )
    assert load_chapter(tmp_path).requires == ("cert-manager", "istio+ambient")


def test_an_unknown_component_is_told_with_its_line(tmp_path: Path) -> None:
    message = load(tmp_path, GOOD.replace("namespaces:", "requires:\n- istio\n- consul\nnamespaces:"))
    assert "steps.yaml:7: requires[1]" in message
    assert "'consul' does not match" in message
