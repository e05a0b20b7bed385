"""The corpus covers every line of its checklist, and each case is well made."""

import re
from collections import Counter

from tests.conformance.istio.loader import checklist, jwks, load_cases

CASES = load_cases()


def test_there_are_at_least_250_cases():
    assert len(CASES) >= 250


def test_every_line_of_the_checklist_has_a_case():
    assert {case.line for case in CASES} == set(checklist())


def test_names_are_unique_in_their_file_and_plain():
    names = Counter((case.path.name, case.name) for case in CASES)
    assert [name for name, count in names.items() if count > 1] == []
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*", case.name) for case in CASES)


def test_namespaces_can_be_renamed_everywhere():
    for case in load_cases(lambda name: f"c7-{name}"):
        text = str(case.objects) + str(case.policies).replace(jwks(), "")
        assert not re.search(r"'namespace': '(foo|bar|legacy)'", text), case.name
        assert not re.search(r"/ns/(foo|bar|legacy)/", text), case.name


def test_cases_that_change_the_whole_mesh_say_so():
    for case in CASES:
        roots = [p for p in case.policies if p["metadata"]["namespace"] == "istio-system"]
        assert not (roots or case.mesh) or case.exclusive, case.name


def test_the_corpus_has_every_answer():
    seen = Counter(request.verdict for case in CASES for request in case.requests)
    assert set(seen) == {
        *("OK", "FORBIDDEN", "UNAUTHENTICATED", "RESET", "CLOSED", "UNAVAILABLE", "BAD_REQUEST"),
    }
    assert seen["OK"] > 200
    assert seen["FORBIDDEN"] > 150
    assert sum(bool(case.refused) for case in CASES) >= 40
