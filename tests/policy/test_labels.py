"""Selectors in the string form of `kubectl -l` and in the object form."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.policy import Selector, SelectorError
from labkit.policy.bits import LabelIndex, bits_of, mask_of


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("", {}, None),
        ("a=b", {"a": "b"}, {"a": "c"}),
        ("a==b", {"a": "b"}, {}),
        ("a!=b", {}, {"a": "b"}),
        ("a", {"a": ""}, {}),
        ("!a", {}, {"a": "x"}),
        ("a in (x,y)", {"a": "y"}, {"a": "z"}),
        ("a notin (x, y)", {"b": "x"}, {"a": "x"}),
        ("a=", {"a": ""}, {"a": "b"}),
        ("a in ()", {"a": ""}, {"a": "b"}),
        ("a in (x,)", {"a": ""}, {"a": "b"}),
        ("a=b,c in (x,y),!d", {"a": "b", "c": "x"}, {"a": "b", "c": "x", "d": ""}),
        (" a = b , c ", {"a": "b", "c": "1"}, {"a": "b"}),
        ("app.kubernetes.io/name=web", {"app.kubernetes.io/name": "web"}, {}),
        ("n>5", {"n": "6"}, {"n": "5"}),
        ("n<5", {"n": "4"}, {"n": "x"}),
        ("in=in", {"in": "in"}, {}),
    ],
)
def test_the_string_form_selects(text, yes, no):
    selector = Selector.parse(text)
    assert selector.matches(yes)
    assert no is None or not selector.matches(no)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a in x", "found 'x' expected: '('"),
        ("a in (x", "found '', expected: ',' or ')'"),
        ("a,", "found '', expected: identifier after ','"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("-a=b", "name part must consist of alphanumeric characters"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("/a=b", "prefix part must be non-empty"),
        ("a=b!", "found '!', expected: ',' or 'end of string'"),
        ("a=b_", "a valid label must be an empty string or consist of"),
        ("n>x", "must be an integer"),
    ],
)
def test_the_string_form_refuses_with_the_words_of_the_api_server(text, message):
    with pytest.raises(SelectorError, match=re.escape(message)):
        Selector.parse(text)


@pytest.mark.parametrize("text", ["a=b,c in (x,y),!d,e,f!=g,h notin (i,j),n>5", ""])
def test_a_selector_prints_as_it_is_parsed(text):
    assert str(Selector.parse(text)) == text
    assert Selector.parse(str(Selector.parse(text))) == Selector.parse(text)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"matchLabel": {}}, 'unknown field "matchLabel"'),
        ({"matchLabels": {"a": 1}}, "must be strings"),
        ({"matchLabels": ["a"]}, "must be an object"),
        ({"matchExpressions": {"key": "a"}}, "must be a list"),
        ({"matchExpressions": [{"key": "", "operator": "Exists"}]}, "non-empty"),
        (
            {"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]},
            "not a valid selector operator",
        ),
        ({"matchExpressions": [{"key": "a", "operator": "In", "value": "b"}]}, 'unknown field "value"'),
        ("a=b", "must be an object"),
    ],
)
def test_the_object_form_refuses_what_is_no_selector(data, message):
    with pytest.raises(SelectorError, match=message):
        Selector.from_object(data)


def test_the_first_unmet_requirement_is_named():
    selector = Selector.from_object(
        {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}
    )
    unmet = selector.unmet({"a": "b"})
    assert unmet is not None
    assert (str(unmet), unmet.path) == ("c", "matchExpressions[0]")
    assert selector.unmet({"a": "b", "c": ""}) is None


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["", "1", "2", "3"]))
SELECTORS = st.lists(
    st.sampled_from(["a", "!a", "b=1", "b!=2", "c in (1,2)", "c notin (1,3)", "a=", "b>1", "c<3"]), max_size=3
).map(lambda parts: Selector.parse(",".join(parts)))


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(LABELS, max_size=20), SELECTORS)
def test_the_inverted_index_finds_what_matching_one_by_one_finds(rows, selector):
    found = LabelIndex(rows).matching(selector)
    assert list(bits_of(found)) == [i for i, labels in enumerate(rows) if selector.matches(labels)]


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(st.sets(st.integers(0, 300)))
def test_a_bit_set_holds_its_numbers(numbers):
    assert list(bits_of(mask_of(numbers))) == sorted(numbers)
    assert mask_of(numbers) == sum(1 << number for number in numbers)
