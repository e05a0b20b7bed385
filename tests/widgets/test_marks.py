import pytest

from labkit.policy import Verdict
from labkit.widgets.marks import SIGNS, Kind, compatible, kind_of_prediction, kind_of_verdict


def test_no_two_kinds_of_verdict_share_a_mark_and_a_line_style_and_a_colour():
    shown = [kind for kind in Kind if kind not in (Kind.NONE, Kind.SELF)]
    assert len({SIGNS[kind].mark for kind in shown}) == len(shown)


def test_allowed_denied_and_unknown_differ_in_line_style_alone():
    assert len({SIGNS[kind].dash for kind in (Kind.ALLOWED, Kind.DENIED, Kind.UNKNOWN)}) == 3


def test_the_colours_are_okabe_and_itos():
    assert (SIGNS[Kind.ALLOWED].colour, SIGNS[Kind.DENIED].colour) == ("#0072B2", "#D55E00")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_of_the_engine_has_a_kind_that_is_not_unknown(verdict):
    assert kind_of_verdict(verdict) not in (Kind.UNKNOWN, Kind.NONE)


def test_a_verdict_nobody_knows_is_unknown_and_a_missing_one_is_no_verdict():
    assert kind_of_verdict("WEIRD") is Kind.UNKNOWN
    assert kind_of_verdict(None) is Kind.NONE


def test_refused_means_that_policy_let_it_through():
    assert compatible(Kind.ALLOWED, kind_of_verdict("REFUSED"))
    assert not compatible(Kind.DENIED, kind_of_verdict("REFUSED"))


def test_what_is_unknown_or_blank_contradicts_nothing():
    for silent in (Kind.UNKNOWN, Kind.NONE, Kind.SELF):
        assert compatible(silent, Kind.ALLOWED)
        assert compatible(Kind.DENIED, silent)


def test_a_prediction_is_yes_no_or_blank_and_nothing_else():
    assert [kind_of_prediction(word) for word in ("allow", True, "deny", False, "", None)] == [
        Kind.ALLOWED, Kind.ALLOWED, Kind.DENIED, Kind.DENIED, Kind.NONE, Kind.NONE,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="maybe"):
        kind_of_prediction("maybe")
