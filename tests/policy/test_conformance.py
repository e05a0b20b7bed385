"""Every conformance case, judged twice: flow by flow with `decide`, and as a whole with `truth_table`."""

import functools

import pytest

from labkit.policy import (
    CILIUM,
    KINDNET,
    Family,
    Flow,
    PolicyError,
    World,
    compile_policy,
    decide,
    truth_table,
)
from tests.conformance.loader import CASES, Case, CaseError, case_files, load_case

FILES = case_files()
loaded = functools.cache(load_case)
IDS = [str(path.relative_to(CASES).with_suffix("")) for path in FILES]


def word(answer):
    return "undefined" if not answer.defined else "allow" if answer.allowed else "deny"


def profile_of(case: Case):
    return KINDNET if case.cidr_matches_pods else CILIUM


def judged(case: Case):
    """Each world of a case with each of its tables."""
    for stage in case.stages:
        if stage.rejected is None:
            world = World.from_objects(stage.objects, externals=stage.externals)
            for expect in stage.expect:
                yield stage, world, expect, Family(expect.family) if expect.family else None


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_decide_agrees_with_every_cell_of(path):
    case = loaded(path)
    wrong = []
    for stage, world, expect, family in judged(case):
        for (source, destination), expected in expect.cells.items():
            flow = Flow(source, destination, expect.port, expect.protocol, family)
            decision = decide(world, flow, profile_of(case))
            if word(decision) != expected:
                wrong.append(
                    f"{stage.title}\n{flow}: expected {expected}, got {word(decision)}\n{decision.explain()}"
                )
    assert not wrong, f"{len(wrong)} cells differ; the first ones:\n\n" + "\n\n".join(wrong[:3])


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_truth_table_agrees_with_every_cell_of(path):
    case = loaded(path)
    for stage, world, expect, family in judged(case):
        table = truth_table(
            world,
            [(expect.port, expect.protocol)],
            dict.fromkeys(source for source, _ in expect.cells),
            dict.fromkeys(destination for _, destination in expect.cells),
            profile=profile_of(case),
            family=family,
        )
        answers = {ends: word(table.cell(*ends, expect.port, expect.protocol)) for ends in expect.cells}
        differ = {
            ends: (answers[ends], expect.cells[ends])
            for ends in answers
            if answers[ends] != expect.cells[ends]
        }
        assert not differ, f"{stage.title}: (got, expected) differ\n{table.to_text()}"


REFUSALS = [path for path in FILES if "rejected:" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", REFUSALS, ids=[path.stem for path in REFUSALS])
def test_what_the_api_server_refuses_is_refused_in(path):
    refusals = [stage for stage in loaded(path).stages if stage.rejected is not None]
    assert refusals
    for stage in refusals:
        with pytest.raises(PolicyError) as refusal:
            list(map(compile_policy, stage.refused))
        assert stage.rejected in str(refusal.value), stage.title


def test_names_of_cases_are_unique():
    names = [loaded(path).name for path in FILES]
    assert len(names) == len(set(names))


MINIMAL = """
format: networkpolicy-conformance/1
name: t
title: t
source: checklist 1
checklist: [1]
namespaces: [{name: x}]
pods: [{namespace: x, name: a, ips: [10.0.0.1]}, {namespace: x, name: b, ips: [10.0.0.2]}]
externals: [203.0.113.7]
stages:
  - title: s
    policies: []
    expect:
      - port: 80
        default: allow
        table: {x/a: {x/b: deny}, "x/*": {203.0.113.7: undefined}, "*": {x/b: allow}}
"""


def load_text(tmp_path, text):
    path = tmp_path / "case.yaml"
    path.write_text(text)
    return load_case(path, tmp_path)


def test_the_more_specific_name_in_a_table_wins(tmp_path):
    (expect,) = load_text(tmp_path, MINIMAL).stages[0].expect
    assert expect.cells == {
        ("x/a", "x/a"): "allow",
        ("x/a", "x/b"): "deny",
        ("x/a", "203.0.113.7"): "undefined",
        ("x/b", "x/a"): "allow",
        ("x/b", "x/b"): "allow",
        ("x/b", "203.0.113.7"): "undefined",
        ("203.0.113.7", "x/a"): "allow",
        ("203.0.113.7", "x/b"): "allow",
    }


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("x/b: deny", "x/b: no", "none of allow, deny, undefined"),
        ("x/b: deny", "x/c: deny", "there is no 'x/c'"),
        ("title: s", "titel: s", "title is missing"),
        ("port: 80", "family: IPv4", "port is missing"),
        ("/1", "/2", "expected 'networkpolicy-conformance/1'"),
        ("port: 80", "prot: 80", "unknown field 'prot'"),
    ],
)
def test_an_authors_mistake_names_the_file_and_the_place(tmp_path, good, bad, message):
    with pytest.raises(CaseError, match=message) as error:
        load_text(tmp_path, MINIMAL.replace(good, bad, 1))
    assert "case.yaml" in str(error.value)
