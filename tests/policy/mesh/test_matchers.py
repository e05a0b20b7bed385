"""Values of policies become Envoy's matchers."""

import pytest

from labkit.policy.mesh.authorization import nested_brackets, request_principal
from labkit.policy.mesh.matchers import Form, PathTemplate, StringMatch, header_match, string_match
from labkit.policy.mesh.meshconfig import MeshConfig


@pytest.mark.parametrize(
    ("value", "matcher"),
    [
        ("abc", StringMatch(Form.EXACT, "abc")),
        ("abc*", StringMatch(Form.PREFIX, "abc")),
        ("*abc", StringMatch(Form.SUFFIX, "abc")),
        ("*", StringMatch(Form.REGEX, ".+")),
        ("a*c", StringMatch(Form.EXACT, "a*c")),
        ("*a*", StringMatch(Form.SUFFIX, "a*")),
    ],
)
def test_the_forms_of_a_value(value, matcher):
    assert string_match(value) == matcher


def test_a_suffix_of_a_principal_is_a_quoted_expression():
    assert string_match("*.local/ns/a", "spiffe://") == StringMatch(Form.REGEX, r"spiffe://.*\.local/ns/a")


def test_presence_of_a_header_does_not_ask_for_a_value():
    assert header_match("*").matches("")
    assert not header_match("*").matches(None)
    assert not string_match("*").matches("")


@pytest.mark.parametrize(
    ("template", "path", "fits"),
    [
        ("/a/*/c", "/a/b/c", True),
        ("/a/*/c", "/a//c", False),
        ("/a/*/c", "/a/b/b/c", False),
        ("/a/**", "/a/", True),
        ("/a/**", "/a", False),
        ("/a/**", "/a/b/c d", False),
        ("/s/**/cart", "/s//cart", True),
        ("/s/**/cart", "/s/cart", False),
    ],
)
def test_templates(template, path, fits):
    assert PathTemplate(template).matches(path) is fits


@pytest.mark.parametrize(
    ("value", "issuer", "subject", "fits"),
    [
        ("*", "i", "s", True),
        ("*", "i", "", False),
        ("i/s", "i", "s", True),
        ("https://a/b/s", "https://a/b", "s", True),
        ("i/*", "i", "x", True),
        ("*/s", "any", "s", True),
        ("*x/s", "yx", "s", True),
        ("i/p*", "i", "pq", True),
        ("i*", "issuer", "s", True),
        ("*ub", "i", "sub", True),
        ("i", "i", "s", False),
        ("i", "i", "", True),
    ],
)
def test_request_principals(value, issuer, subject, fits):
    assert request_principal(value).matches((issuer, subject)) is fits


def test_nested_claims():
    assert nested_brackets("[a][b]") == ("a", "b")
    assert nested_brackets("[a") == ()
    assert nested_brackets("[a]b]") == ("a]b",)


def test_a_principal_of_ours_stands_for_every_alias():
    config = MeshConfig(trust_domain="new", trust_domain_aliases=("old",))
    assert config.principals(["old/ns/a/sa/b"]) == ("new/ns/a/sa/b", "old/ns/a/sa/b")
    assert config.principals(["cluster.local/ns/a/sa/b"]) == ("new/ns/a/sa/b", "old/ns/a/sa/b")
    assert config.principals(["else/ns/a/sa/b", "*/ns/a/sa/b", "sa/b"]) == (
        "else/ns/a/sa/b",
        "*/ns/a/sa/b",
        "sa/b",
    )
