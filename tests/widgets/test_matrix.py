from types import SimpleNamespace

import pytest

from labkit.policy import Flow, truth_table
from labkit.widgets.marks import Kind
from labkit.widgets.matrix import as_port, build, changed, from_observations, from_truth_table, port_key


@pytest.mark.parametrize("given", [53, "53", "53/tcp", (53, "TCP")])
def test_a_port_may_be_written_in_many_ways(given):
    assert as_port(given) == (53, "TCP")


@pytest.mark.parametrize("given", ["http", True, None, (1, 2, 3), "53:TCP"])
def test_what_is_not_a_port_is_refused(given):
    with pytest.raises(ValueError, match="a port is"):
        as_port(given)


def test_the_matrix_says_what_the_truth_table_says(world):
    table = truth_table(world, [(80, "TCP"), (3306, "TCP")])
    matrix = from_truth_table(table)
    for flow, cell in table.cells():
        expected = (
            Kind.SELF if flow.source == flow.destination else Kind.ALLOWED if cell.allowed else Kind.DENIED
        )
        assert matrix.kind(port_key((flow.port, flow.protocol)), flow.source, flow.destination) is expected


def test_between_two_addresses_outside_the_cluster_there_is_no_flow(world):
    ends = ["shop/web", "203.0.113.7", "203.0.113.8"]
    matrix = from_truth_table(truth_table(world, [(80, "TCP")], ends, ends))
    assert matrix.kind("80/TCP", "203.0.113.7", "203.0.113.8") is Kind.NONE
    assert matrix.kind("80/TCP", "shop/web", "203.0.113.7") is Kind.ALLOWED


def test_an_undefined_cell_is_unknown_whatever_its_verdict_says():
    cell = SimpleNamespace(defined=False, verdict="OK", allowed=True)
    table = SimpleNamespace(
        sources=["a"], destinations=["b"], ports=[(80, "TCP")], cell=lambda *_: cell, has=lambda *_: True
    )
    assert from_truth_table(table).kind("80/TCP", "a", "b") is Kind.UNKNOWN


def test_observations_stand_where_the_engines_verdicts_stand_and_the_rest_is_blank(world):
    engine = from_truth_table(truth_table(world, [(80, "TCP")]))
    seen = from_observations(
        {
            Flow("shop/web", "shop/db", 80): SimpleNamespace(verdict="TIMEOUT"),
            ("shop/web", "mail/web", 80): SimpleNamespace(verdict="REFUSED"),
            Flow("shop/db", "mail/web", 80): SimpleNamespace(verdict=None),
        },
        engine,
    )
    assert seen.kind("80/TCP", "shop/web", "shop/db") is Kind.DENIED
    assert seen.kind("80/TCP", "shop/web", "mail/web") is Kind.REACHED
    assert seen.kind("80/TCP", "shop/db", "mail/web") is Kind.NONE
    assert seen.kind("80/TCP", "mail/db", "mail/web") is Kind.NONE


def test_only_verdicts_that_differ_count_as_changed_and_new_pods_do_not():
    now = build(["a", "b", "new"], ["a", "b", "new"], [80], lambda s, d, p: Kind.ALLOWED)
    before = build(["a", "b"], ["a", "b"], [80], lambda s, d, p: Kind.DENIED if s == "a" else Kind.ALLOWED)
    assert changed(now, before) == {"80/TCP": ["010", "000", "000"]}
    assert changed(now, None) == {}
