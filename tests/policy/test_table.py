"""Truth tables: as text, as counts, as differences; and the pieces into which all ports fall."""

import textwrap

import pytest

from labkit.policy import (
    CILIUM,
    Family,
    Flow,
    Verdict,
    WorldError,
    atomic_ports,
    decide,
    declared_ports,
    difference,
    truth_table,
)
from labkit.policy.generate import WILD, random_world

from .worlds import OUTSIDE, key, node, pod, policies, service, world

FROM_B = """
name: x/p
spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}], ports: [{port: 80}]}]}
"""


def test_a_table_reads_like_that_of_the_end_to_end_suite():
    assert truth_table(world(FROM_B), [(80, "TCP")]).to_text() == textwrap.dedent("""\
        port 80/TCP
                     x/a  x/b  y/a  y/b  203.0.113.7
        x/a           #    .    .    .        .
        x/b           .    #    .    .        .
        y/a           X    .    #    .        .
        y/b           X    .    .    #        .
        203.0.113.7   X    .    .    .
        rows: from, columns: to.   . allowed   X denied   # itself   ? left to the implementation""")


def test_one_half_alone_shows_who_blocks():
    both = world(
        FROM_B + "---\nname: y/out\nspec: {podSelector: {matchLabels: {pod: b}}, policyTypes: [Egress]}"
    )
    table = truth_table(both, [(80, "TCP")], ["y/b"], ["x/a", "x/b"])
    assert [line for line in table.to_text(side="egress").splitlines() if line.startswith("y/b")] == [
        "y/b   X    X"
    ]
    assert [line for line in table.to_text(side="ingress").splitlines() if line.startswith("y/b")] == [
        "y/b   X    ."
    ]
    cell = table.cell("y/b", "x/b", 80)
    assert (cell.egress, cell.ingress, cell.verdict) == (False, True, Verdict.TIMEOUT)


def test_what_is_left_open_is_a_question_mark_in_every_view():
    there = world("name: x/p\nspec: {podSelector: {}}", service("x/s", "10.96.0.9", {"pod": "a"}, (80, 80)))
    table = truth_table(there, [(80, "TCP")], ["x/a"], ["service:x/s"])
    for side in ("combined", "ingress", "egress"):
        assert table.to_text(side=side).splitlines()[2].split() == ["x/a", "?"]


def test_ports_default_to_what_pods_declare():
    assert truth_table(world()).ports == ((80, "TCP"), (81, "TCP"), (80, "SCTP"), (53, "UDP"))
    assert declared_ports(world().without(*(key("Pod", path) for path in world().pods))) == [(80, "TCP")]


def test_a_table_asks_only_about_what_there_is():
    with pytest.raises(WorldError, match="there is no x/c"):
        truth_table(world(), sources=["x/c"])
    with pytest.raises(WorldError, match="service:x/s"):
        truth_table(world(), destinations=["service:x/s"])


def test_a_cell_and_its_decision_are_the_same_answer():
    table = truth_table(world(FROM_B))
    for flow, cell in table.cells():
        assert table.decide(flow.source, flow.destination, flow.port, flow.protocol).verdict == cell.verdict


def test_ended_pods_are_not_in_a_table_and_host_network_pods_are():
    there = world(
        "", pod("x/done", "10.244.0.9", phase="Failed"), pod("x/host", "172.18.0.2", host_network=True)
    )
    assert truth_table(there).sources == ("x/a", "x/b", "y/a", "y/b", "x/host", OUTSIDE)


@pytest.mark.parametrize("number", range(12))
def test_the_count_of_allowed_flows_is_that_of_the_cells(number):
    world_of_many = random_world(number, WILD)
    for table in (
        truth_table(world_of_many, WILD.ports),
        truth_table(world_of_many, WILD.ports, family=Family.IPV6),
        truth_table(random_world(number), profile=CILIUM),
    ):
        for port, protocol in table.ports:
            cells = [c for f, c in table.cells() if (f.port, f.protocol) == (port, protocol)]
            assert table.count(port, protocol) == sum(c.defined and c.allowed for c in cells)


def test_atomic_ports_cut_all_ports_where_a_policy_treats_them_differently():
    there = world(
        """
        name: x/p
        spec:
          podSelector: {}
          ingress:
            - ports: [{port: 80}, {port: 8000, endPort: 8100}, {port: web}, {port: 53, protocol: UDP}]
        """
    )
    pieces = [(p.protocol, p.first, p.last) for p in atomic_ports(there)]
    assert pieces == [
        ("TCP", 1, 79),
        ("TCP", 80, 80),
        ("TCP", 81, 81),
        ("TCP", 82, 7999),
        ("TCP", 8000, 8100),
        ("TCP", 8101, 65535),
        ("UDP", 1, 52),
        ("UDP", 53, 53),
        ("UDP", 54, 65535),
        ("SCTP", 1, 65535),
    ]


@pytest.mark.parametrize("number", range(6))
def test_within_an_atomic_piece_every_port_has_the_same_answers(number):
    there = random_world(number)
    for piece in atomic_ports(there):
        middle = (piece.first + piece.last) // 2
        ports = [(port, piece.protocol) for port in (piece.first, middle, piece.last)]
        table = truth_table(there, ports)
        for source in table.sources:
            for destination in table.destinations:
                assert len({table.cell(source, destination, *port).allowed for port in ports}) == 1


def test_a_difference_has_what_an_edit_opened_and_closed():
    before = world("name: x/p\nspec: {podSelector: {matchLabels: {pod: a}}}")
    after = before.replace(*policies(FROM_B))
    changed = difference(
        truth_table(before, [(80, "TCP"), (81, "TCP")]), truth_table(after, [(80, "TCP"), (81, "TCP")])
    )
    assert [(str(c.flow), c.opened, c.closed) for c in changed.changes] == [
        ("x/b → x/a, TCP 80", True, False)
    ]
    assert str(changed.changes[0]) == "x/b → x/a, TCP 80: TIMEOUT before, OK now"
    assert changed.to_text().splitlines()[3].split() == ["x/b", "X.", "·", "·", "·", "·"]
    assert changed.to_text().startswith("port 80/TCP: 1 change\n")
    assert changed.to_text(81).startswith("port 81/TCP: 0 changes\n")
    back = difference(changed.after, changed.before)
    assert back.changes[0].closed
    assert not difference(changed.after, changed.after)


def test_a_difference_shows_what_came_and_went():
    before, after = world(), world("", pod("x/new", "10.244.0.70"))
    changed = difference(truth_table(before, [(80, "TCP")]), truth_table(after, [(80, "TCP")]))
    assert len(changed.changes) == 11
    assert all(change.before is None for change in changed.changes)
    assert "not there before, OK now" in str(changed.changes[0])


def test_an_edit_of_a_policy_keeps_the_index_and_an_edit_of_a_pod_does_not():
    first = world(FROM_B)
    assert truth_table(first).count(80) == 21
    edited = first.replace(*policies("name: x/p\nspec: {podSelector: {}}"))
    assert edited.index is first.index
    assert truth_table(edited).count(80) == 16
    moved = first.replace(pod("x/b", "10.244.0.12", labels={"pod": "c"}))
    assert moved.index is not first.index
    assert truth_table(moved, [(80, "TCP")]).cell("x/b", "x/a", 80).verdict is Verdict.TIMEOUT


def test_a_table_knows_addresses_of_nodes_pods_and_services():
    there = world(
        "name: x/p\nspec: {podSelector: {}}",
        node("one", "172.18.0.2"),
        service("y/s", "10.96.0.9", {"pod": "a"}, (80, 80)),
    )
    table = truth_table(there, [(80, "TCP")])
    assert table.cell("172.18.0.2", "x/a", 80).allowed
    assert not table.cell("10.244.0.21", "x/a", 80).allowed
    assert table.cell("x/a", "10.96.0.9", 80).allowed
    assert table.cell("y/b", "10.244.0.11", 80) == table.cell("y/b", "x/a", 80)


@pytest.mark.parametrize("family", [Family.IPV4, Family.IPV6])
def test_a_table_of_one_family_leaves_pods_without_it_undefined(family):
    there = world("", pod("x/six", ips=["fd00::6"]))
    table = truth_table(there, [(80, "TCP")], ["x/a", "x/six"], ["x/a", "x/six", "y/a"], family=family)
    assert table.cell("x/a", "y/a", 80).defined is (family is Family.IPV4)
    assert not table.cell("x/a", "x/six", 80).defined
    assert decide(there, Flow("x/six", "x/six", 80, family=family)).defined is (family is Family.IPV6)
