"""Expressions as cel-go evaluates them, as far as rules of definitions use them."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.pocket.api.custom.cel import compile_rule
from labkit.pocket.api.custom.celfunctions import CelError
from labkit.pocket.api.custom.celtokens import CelMistake

SELF: dict[str, Any] = {
    "name": "web",
    "port": 8080,
    "ratio": 0.5,
    "on": True,
    "tags": ["a", "b", "a"],
    "labels": {"app": "web", "x-y": "1"},
    "items": [{"n": 1}, {"n": 2}, {"n": 2}],
    "a-b": "dashed",
    "namespace": "shop",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("has(self.name) && !has(self.nothing)", True),
        ("has(self.labels.app)", True),
        ("self.port > 0 && self.port <= 65535", True),
        ("1 + 2 * 3 - 4 / 2", 5),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("self.on ? 'yes' : 'no'", "yes"),
        ("self.port == 8080.0", True),
        ("self.on == 1", False),
        ("'a' in self.tags", True),
        ("'app' in self.labels", True),
        ("self.tags.all(t, t.size() == 1)", True),
        ("self.tags.exists_one(t, t == 'b')", True),
        ("self.items.all(i, self.items.exists_one(j, i.n == j.n))", False),
        ("self.labels.all(k, k.size() > 0)", True),
        ("self.items.filter(i, i.n > 1).map(i, i.n)", [2, 2]),
        ("self.items.map(i, i.n == 2, i.n * 10)", [20, 20]),
        ("(has(self.nothing) ? self.nothing : []).size() == 0", True),
        ("(has(self.name) ? 1 : 0) + (has(self.nothing) ? 1 : 0) <= 1", True),
        ("self.name.matches('^[a-z]+$') && self.name.startsWith(\"w\")", True),
        ("'unix:///x'.substring(7, 8) == '/'", True),
        ("duration('90m') > duration('1h')", True),
        ("url('https://example.com:8443/a?b=c').getScheme() in ['http', 'https']", True),
        ("url('https://example.com:8443/a').getPort()", "8443"),
        ("isURL('not a url')", False),
        ("int('12') + size('abc')", 15),
        ("self.a__dash__b == 'dashed' && self.__namespace__ == 'shop'", True),
        ("self.labels['x-y'] == '1' && self.tags[1] == 'b'", True),
        (r"'a\nb'.contains('\n') && r'\d' == '\\d'", True),
        ("{'a': 1}['a'] == 1", True),
        ("self.nothing == 1 || self.port == 8080", True),
        ("self.port == 8080 || self.nothing == 1", True),
        ("self.nothing == 1 && self.port == 1", False),
    ],
)
def test_an_expression_has_the_value_that_upstream_gives_it(text: str, value: Any) -> None:
    found = compile_rule(text)({"self": SELF})
    assert found == value
    assert isinstance(found, bool) == isinstance(value, bool)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("self.nothing == 1", "no such key: nothing"),
        ("self.name < 1", "no such overload"),
        ("self.tags[7] == 'a'", "no such key: 7"),
        (
            "duration('soon') > duration('1s')",
            "type conversion error from 'string' to 'google.protobuf.Duration'",
        ),
        ("1 / 0 == 1", "division by zero"),
    ],
)
def test_what_has_no_value_says_why(text: str, words: str) -> None:
    with pytest.raises(CelError, match=words):
        compile_rule(text)({"self": SELF})


@pytest.mark.parametrize(
    "text",
    ["self.a +", "self.(a)", "(self.a", "self.a b", "has(1)", "nosuch(self)", "self.all(1, x)", "'open"],
)
def test_what_is_no_expression_is_told(text: str) -> None:
    with pytest.raises(CelMistake):
        compile_rule(text)
