"""The corpus is what its README promises: every checklist line, the whole end-to-end suite, cases of our own."""

import re
from collections import Counter
from functools import cache

import pytest
import yaml

from tests.conformance.loader import CASES, case_files, load_case

CHECKLIST = range(1, 34)  # lines 34 and on are about the admin tiers, which NetworkPolicy v1 does not have
E2E = case_files(CASES / "e2e")
OWN = case_files(CASES / "own")


load = cache(load_case)


def cases(files):
    return [load(path) for path in files]


def test_every_file_follows_the_format():
    assert [case.name for case in cases(case_files())]


def test_every_case_is_either_upstreams_or_our_own():
    assert sorted(E2E + OWN) == sorted(case_files())


def test_names_are_unique_and_those_of_their_files():
    names = Counter(case.name for case in cases(case_files()))
    assert [name for name, count in names.items() if count > 1] == []
    for case in cases(case_files()):
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", case.name)
        assert re.sub(r"^\d+-", "", case.path.stem) == re.sub(r"^(e2e|\d+)-", "", case.name), case.path.name


@pytest.mark.parametrize("line", CHECKLIST)
def test_checklist_line_is_proved_by_a_case_of_our_own(line):
    assert [case.name for case in cases(OWN) if line in case.checklist]


def test_no_case_claims_a_line_that_the_checklist_does_not_have():
    assert {line for case in cases(case_files()) for line in case.checklist} == set(CHECKLIST)


def test_the_end_to_end_suite_is_here_with_its_48_specs_and_65_tables():
    specs = {case.source.removeprefix("kubernetes e2e: ") for case in cases(E2E)}
    assert len(specs) == len(E2E) == 48
    assert all(case.source.startswith("kubernetes e2e: Netpol") for case in cases(E2E))
    assert sum(len(stage.expect) for case in cases(E2E) for stage in case.stages) == 65


def test_each_end_to_end_table_has_all_81_cells():
    for case in cases(E2E):
        for stage in case.stages:
            for expect in stage.expect:
                assert len(expect.cells) == 81, case.path.name


def test_there_are_more_than_a_hundred_cases_of_our_own():
    assert len(OWN) >= 120
    for case in cases(OWN):
        assert case.source == f"checklist {', '.join(map(str, case.checklist))}", case.path.name


def test_the_corpus_has_all_three_answers_and_refusals():
    words = Counter(
        word
        for case in cases(case_files())
        for stage in case.stages
        for expect in stage.expect
        for word in expect.cells.values()
    )
    assert set(words) == {"allow", "deny", "undefined"}
    assert words["deny"] > 1000
    assert words["allow"] > 1000
    assert sum(stage.rejected is not None for case in cases(OWN) for stage in case.stages) >= 20


def test_every_shared_world_is_used():
    used = {yaml.safe_load(path.read_text(encoding="utf-8")).get("world") for path in case_files()}
    assert used - {None} == {f"worlds/{path.name}" for path in (CASES / "worlds").glob("*.yaml")}
