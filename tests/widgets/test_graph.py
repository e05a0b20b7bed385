import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest

from labkit.policy import Flow, ObjectKey, WorldError
from labkit.widgets import TrafficGraph

from .conftest import crowd

SVG = "{http://www.w3.org/2000/svg}"


def seen(verdict, **evidence):
    return SimpleNamespace(verdict=verdict, evidence=evidence)


def test_the_text_has_every_verdict_who_is_isolated_what_changed_and_what_disagrees(world, open_world):
    observations = {
        Flow("audit/web", "shop/web", 80): seen("TIMEOUT"),
        Flow("shop/web", "audit/web", 80): seen("OK"),
    }
    text = TrafficGraph(world, 80, observations, previous=open_world, title="Lock the database").to_text()
    assert text.startswith("Lock the database")
    assert "43 of 72 flows allowed on port 80" in text
    assert "shop/db: isolated for ingress" in text
    assert "mail/web: isolated for egress" in text
    assert "shop/web → shop/db, port 80: was ✓ allowed, now ✗ denied" in text
    assert "audit/web → shop/web, port 80: the engine says ✓ allowed, the cluster did ✗ denied" in text


def test_the_text_says_who_came_and_who_went_also_where_every_old_verdict_stays(world):
    fewer = world.without(ObjectKey("Pod", "audit", "web"))
    came = TrafficGraph(world, 80, previous=fewer).to_text()
    assert "Changed since last time:\n  audit/web is new" in came
    went = TrafficGraph(fewer, 80, previous=world).to_text()
    assert "Changed since last time:\n  audit/web is gone" in went
    assert "Changed since last time:\n  nothing" in TrafficGraph(world, 80, previous=world).to_text()


def test_the_text_says_why_nothing_was_observed(world):
    text = TrafficGraph(world, 80, observed_note="No cluster runs on this machine.").to_text()
    assert "No cluster runs on this machine." in text


def test_the_svg_is_whole_and_says_in_words_what_it_shows(world):
    graph = TrafficGraph(world, 80, focus="shop/db")
    root = ET.fromstring(graph.to_svg())
    assert root.find(f"{SVG}title").text == "Traffic graph, port 80"
    assert "43 of 72" in root.find(f"{SVG}desc").text
    words = "".join(root.itertext())
    for expected in ("shop", "team=red", "app=db", "✓", "✗", "in", "out"):
        assert expected in words


def test_the_svg_fetches_nothing(world):
    svg = TrafficGraph(world, 80).to_svg()
    assert "href" not in svg
    assert "url(" not in svg
    assert svg.count("http") == 1  # the name of the SVG language


def test_denied_lines_are_dashed_and_end_in_a_bar_allowed_ones_in_an_arrow(world):
    svg = TrafficGraph(world, 3306, focus="shop/db", direction="in").to_svg()
    picture = svg[: svg.rindex("<g font-size='11'")]  # without the legend
    assert picture.count("stroke-dasharray='7 4'") == 7
    assert picture.count("<polyline") == 7
    assert picture.count("<polygon") == 1


def test_names_from_a_cluster_cannot_break_out_of_the_picture():
    evil = {
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": "n", "labels": {"x": "<script>'\"&"}},
        "spec": {},
    }
    from labkit.policy import World

    graph = TrafficGraph(World.from_objects([evil]), 80)
    assert "<script>" not in graph.to_svg()
    assert "<script>" not in graph.to_html()
    ET.fromstring(graph.to_svg())


def test_matplotlib_draws_the_same_nodes_at_the_same_places(world):
    pytest.importorskip("matplotlib")
    graph = TrafficGraph(world, 3306, focus="shop/db")
    axes = graph.to_matplotlib()
    written = {text.get_text() for text in axes.texts}
    assert {"web", "db", "mail", "app=db", "✓", "✗"} <= written
    assert axes.get_xlim() == (0, graph.picture["width"])


def test_sixty_pods_are_drawn_by_svg_and_matplotlib_alike():
    graph = TrafficGraph(crowd(6, 10), 80, focus="team-2/web-3-7d9f8b6c5-x003")
    assert "".join(ET.fromstring(graph.to_svg()).itertext()).count("✓") >= 59
    assert sum(text.get_text() == "✓" for text in graph.to_matplotlib().texts) == 59


def test_an_update_lights_what_changed_and_keeps_the_view(world, open_world):
    graph = TrafficGraph(open_world, [80, 3306], focus="shop/db", port=3306)
    graph.update(world)
    assert graph.view.focus == "shop/db"
    assert graph.view.port == "3306/TCP"
    assert "1" in "".join(graph.picture["changed"]["3306/TCP"])


def test_an_update_to_a_world_without_the_focused_pod_lets_go_of_it(world):
    graph = TrafficGraph(world, 80, focus="shop/db")
    graph.update(world.without(ObjectKey("Pod", "shop", "db")))
    assert graph.view.focus is None
    assert "shop/db" not in {node["id"] for node in graph.picture["nodes"]}


def test_a_reason_names_the_policy_the_rule_and_the_line(world):
    reason = TrafficGraph(world, 3306).reason("shop/mail", "shop/db")
    half = next(half for half in reason["halves"] if half["direction"] == "ingress")
    (policy,) = half["policies"]
    assert (reason["kind"], half["allowed"], policy["name"]) == ("X", False, "NetworkPolicy shop/db-only-web")
    assert policy["rules"][0]["line"] in (9, 10)
    assert any(line["hit"] and "podSelector" in line["text"] for line in policy["yaml"])


def test_a_pod_that_has_ended_or_has_no_address_is_no_end_of_a_flow(open_world):
    done = {
        "kind": "Pod",
        "metadata": {"name": "job", "namespace": "shop"},
        "spec": {},
        "status": {"phase": "Succeeded"},
    }
    waiting = {
        "kind": "Pod",
        "metadata": {"name": "new", "namespace": "shop"},
        "spec": {},
        "status": {"phase": "Pending"},
    }
    graph = TrafficGraph(open_world.replace(done, waiting), 80)
    assert "shop/job" not in {node["id"] for node in graph.picture["nodes"]}
    assert "shop/new" in {node["id"] for node in graph.picture["nodes"]}
    assert "shop/new" not in graph.to_text()


def test_an_unknown_external_is_an_error_of_the_engine(world):
    with pytest.raises(WorldError):
        TrafficGraph(world, 80, externals=["nowhere.example"])
