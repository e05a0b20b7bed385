import json

import pytest

from labkit.widgets import TrafficGraph
from labkit.widgets.marks import Kind
from labkit.widgets.picture import edges_to_draw, summary_label, summary_to_draw

from .conftest import crowd


def drawn(graph, **view):
    graph.look(**view)
    names = [node["id"] for node in graph.picture["nodes"]]
    return {(names[e.source], names[e.destination]): e.kind for e in edges_to_draw(graph.picture, graph.view)}


def test_a_default_allow_cluster_opens_without_a_line_for_every_flow():
    graph = TrafficGraph(crowd(3, 3), 80)
    assert drawn(graph) == {}
    summary = summary_to_draw(graph.picture, graph.view)
    assert {summary_label(item) for item in summary} == {"✓ all 9"}
    assert all(item["both"] for item in summary)
    assert len(summary) == 3


def test_with_many_namespaces_the_summary_waits_until_one_is_chosen():
    graph = TrafficGraph(crowd(6, 10), 80)
    assert summary_to_draw(graph.picture, graph.view) == []
    graph.look(box="team-3")
    shown = summary_to_draw(graph.picture, graph.view)
    assert len(shown) == 5
    names = [box["id"] for box in graph.picture["boxes"]]
    assert all("team-3" in (names[item["from"]], names[item["to"]]) for item in shown)


def test_a_cluster_with_few_doors_opens_with_each_of_them_drawn(open_world):
    graph = TrafficGraph(open_world, 80, namespaces=["shop"])
    assert graph.picture["mode"] == "pods"
    assert len(drawn(graph)) == 6


def test_denied_flows_are_hidden_until_one_pod_is_looked_at_or_they_are_asked_for(world):
    graph = TrafficGraph(world, 80)
    assert Kind.DENIED not in drawn(graph, mode="pods").values()
    assert drawn(graph, focus="shop/db")["shop/web", "shop/db"] is Kind.DENIED
    assert drawn(graph, focus=None, denied=True)["mail/web", "audit/web"] is Kind.DENIED
    assert Kind.DENIED not in drawn(graph, focus="shop/db", denied=False).values()


def test_a_focused_pod_shows_only_its_own_flows_and_only_the_direction_asked_for(world):
    graph = TrafficGraph(world, 3306)
    assert all("shop/db" in pair for pair in drawn(graph, focus="shop/db"))
    assert {s for s, _ in drawn(graph, direction="out")} == {"shop/db"}
    assert {d for _, d in drawn(graph, direction="in")} == {"shop/db"}


def test_only_what_changed_is_shown_when_asked_for(world, open_world):
    graph = TrafficGraph(world, 3306, previous=open_world)
    shown = drawn(graph, changes=True)
    assert ("shop/mail", "shop/db") in shown
    assert ("shop/web", "shop/db") not in shown
    assert set(shown.values()) == {Kind.DENIED}


def test_isolation_is_marked_per_direction(world):
    nodes = {node["id"]: node for node in TrafficGraph(world, 80).picture["nodes"]}
    assert (nodes["shop/db"]["in"], nodes["shop/db"]["out"]) == (True, False)
    assert (nodes["mail/web"]["in"], nodes["mail/web"]["out"]) == (False, True)
    assert not (nodes["audit/db"]["in"])
    assert not (nodes["audit/db"]["out"])


def test_labels_that_controllers_write_do_not_fill_the_nodes(world):
    node = TrafficGraph(world, 80).picture["nodes"][0]
    assert node["labels"] == ["app=db"]


def test_the_picture_is_json_and_the_same_every_time(world):
    first, second = TrafficGraph(world, [80, 3306]), TrafficGraph(world, [80, 3306])
    assert json.dumps(first.picture) == json.dumps(second.picture)


@pytest.mark.parametrize(("view", "problem"), [({"colour": 1}, "colour"), ({"prot": "80"}, "prot")])
def test_a_graph_refuses_to_show_what_it_does_not_know(world, view, problem):
    with pytest.raises(TypeError, match=problem):
        TrafficGraph(world, 80, **view)
