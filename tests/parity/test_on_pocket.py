"""Pocket answers what a real cluster answered when it was recorded, word for word, but for what known.yaml lists."""

from __future__ import annotations

import pytest

from labkit.pocket.api.kinds import rules_for
from labkit.pocket.api.registry import Registry
from tests.parity.conftest import Answers
from tests.parity.parts import PARTS
from tests.parity.parts.tables import RESOURCES
from tests.parity.recording import difference, known_differences, recording
from tests.parity.settling import settled

CASES = [
    (part, case)
    for part in PARTS
    for case in dict.fromkeys([*recording(part).answers, *known_differences(part)])
]


@pytest.mark.cluster
@pytest.mark.parametrize(("part", "case"), CASES, ids=[f"{part}/{case}" for part, case in CASES])
def test_the_answer_is_that_of_a_real_cluster(part: str, case: str, answers: Answers) -> None:
    wrong = difference(part, case, recording(part).answers.get(case), answers[part].get(case))
    assert not wrong, wrong


@pytest.mark.cluster
@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_answered_that_was_not_recorded(part: str, answers: Answers) -> None:
    expected = recording(part).answers.keys() | known_differences(part).keys()
    assert not answers[part].keys() - expected, "record anew: python -m tests.parity.record"


@pytest.mark.cluster
@pytest.mark.parametrize("part", ["generated"])
def test_of_a_hundred_generated_manifests_98_are_answered_exactly_alike(part: str, answers: Answers) -> None:
    recorded = recording(part).answers
    equal = sum(answers[part].get(case) == answer for case, answer in recorded.items())
    assert equal / len(recorded) >= 0.98, f"{equal} of {len(recorded)}"


@pytest.mark.parametrize("name", RESOURCES)
def test_the_cells_of_a_table_are_those_of_a_real_server_for(name: str) -> None:
    make = rules_for(Registry.builtin().named(name)).row
    assert make is not None
    rows = {case: row for case, row in recording("cells").answers.items() if case.split()[0] == name}
    assert rows
    pocket = {case: settled(make(row["object"])) for case, row in rows.items()}
    assert pocket == {case: settled(row["cells"]) for case, row in rows.items()}
