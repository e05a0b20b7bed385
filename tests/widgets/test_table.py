import json
from types import SimpleNamespace

import pytest

from labkit.policy import Flow, truth_table
from labkit.widgets import TruthTableView
from labkit.widgets.marks import Kind


def seen(verdict):
    return SimpleNamespace(verdict=verdict, evidence={})


def test_while_the_learner_predicts_nothing_of_the_answer_is_in_the_page(world):
    view = TruthTableView(world, 3306, predict=True)
    live = view.widget()
    assert live.layers == {}
    assert live.reasons == {}
    assert "X" not in json.dumps(live.table)
    assert "hidden until you compare" in view.to_text()
    assert "What the policies say" not in view.to_text() + view.to_html()


def test_a_reason_is_not_told_before_the_reveal(world):
    view = TruthTableView(world, 3306, predict=True)
    said = []
    widget = SimpleNamespace(send=said.append)
    question = {"type": "explain", "port": "3306/TCP", "source": "shop/web", "destination": "shop/db"}
    view._on_message(widget, question, [])
    assert said == []
    view.reveal()
    view._on_message(widget, question, [])
    assert said[0]["reason"]["kind"] == "."


def test_what_is_written_in_the_browser_arrives_in_python_and_the_caller_is_told(world):
    told = []
    view = TruthTableView(world, 3306, predict=True, on_predict=lambda v: told.append(v.predicted))
    view.widget().predicted = {"3306/TCP": {"shop/web": {"shop/db": "allow"}}}
    assert view.predicted == {"3306/TCP": {"shop/web": {"shop/db": "allow"}}}
    assert told == [view.predicted]


def test_what_is_written_in_python_arrives_in_the_browser(world):
    view = TruthTableView(world, 3306, predict=True)
    live = view.widget()
    view.predict("shop/web", "shop/db", "deny")
    assert live.predicted == {"3306/TCP": {"shop/web": {"shop/db": "deny"}}}
    view.predict("shop/web", "shop/db", None)
    assert live.predicted == {}
    with pytest.raises(ValueError, match="no cell"):
        view.predict("shop/web", "nowhere", True)


@pytest.mark.parametrize(
    "given",
    [
        {"3306/TCP": {"shop/web": {"shop/db": "allow"}}},
        {3306: {"shop/web": {"shop/db": True}}},
        {"shop/web": {"shop/db": "allow"}},
        {("shop/web", "shop/db", 3306): "allow"},
        {Flow("shop/web", "shop/db", 3306): True},
    ],
)
def test_predictions_may_be_written_in_many_ways(world, given):
    view = TruthTableView(world, 3306, predicted=given)
    assert view.predicted == {"3306/TCP": {"shop/web": {"shop/db": "allow"}}}


def test_predictions_without_a_port_need_a_table_with_one_port(world):
    with pytest.raises(ValueError, match="begin with the port"):
        TruthTableView(world, [80, 3306], predicted={"shop/web": {"shop/db": "allow"}})


def test_the_button_reveals_and_tells_the_caller_once(world):
    told = []
    view = TruthTableView(world, 3306, predict=True, on_reveal=told.append)
    live = view.widget()
    live.revealed = True
    assert view.revealed
    assert "X" in json.dumps(live.layers["engine"])
    live.revealed = True
    assert told == [view]


def test_where_only_the_lesson_may_reveal_the_browser_cannot(world):
    view = TruthTableView(world, 3306, predict=True, can_reveal=False)
    live = view.widget()
    live.revealed = True
    assert not view.revealed
    assert live.layers == {}


def test_wrong_predictions_and_missing_ones_are_counted(world):
    asked = [("shop/web", "shop/db"), ("shop/mail", "shop/db"), ("audit/db", "shop/db")]
    view = TruthTableView(world, 3306, predict=True, asked=asked)
    view.predict("shop/web", "shop/db", "deny")
    view.predict("shop/mail", "shop/db", "deny")
    assert view.missing_predictions() == [("3306/TCP", "audit/db", "shop/db")]
    wrong = view.prediction_differences()
    assert wrong == {"3306/TCP": [("shop/web", "shop/db", Kind.DENIED, Kind.ALLOWED)]}


def test_all_three_layers_stand_in_the_text_and_each_contradiction_is_spelled_out(world):
    view = TruthTableView(
        world,
        3306,
        predicted={"shop/web": {"shop/db": "deny"}},
        observed={
            Flow("shop/mail", "shop/db", 3306): seen("OK"),
            Flow("shop/web", "shop/db", 3306): seen("OK"),
        },
    )
    text = view.to_text()
    for heading in ("What you said", "What the policies say", "What the cluster did"):
        assert heading in text
    assert "shop/web → shop/db, port 3306: you said ✗ denied, the engine says ✓ allowed" in text
    assert "shop/mail → shop/db, port 3306: the engine says ✗ denied, the cluster did ✓ allowed" in text


def test_html_marks_contradictions_by_a_sign_and_changes_by_brackets(world, open_world):
    html = TruthTableView(
        world, 3306, predicted={"shop/web": {"shop/db": "deny"}}, previous=open_world
    ).to_html()
    assert html.count("≠") >= 1
    assert "[<span" in html
    assert "<script" not in html
    assert 'scope="col"' in html
    assert 'scope="row"' in html


def test_an_empty_observed_column_says_why(world):
    view = TruthTableView(world, 80, observed_note="The cluster is down: labkit up starts it.")
    assert "The cluster is down: labkit up starts it." in view.to_text()
    assert "The cluster is down: labkit up starts it." in view.to_html()
    assert view.widget().table["observed_note"] == "The cluster is down: labkit up starts it."


def test_a_truth_table_can_be_shown_as_it_is(world):
    table = truth_table(world, [(80, "TCP")], ["shop/web"], ["shop/db", "mail/db"])
    view = TruthTableView(table)
    assert view.engine.sources == ("shop/web",)
    assert view.engine.destinations == ("shop/db", "mail/db")


def test_an_update_keeps_predictions_and_lights_what_changed(world, open_world):
    view = TruthTableView(open_world, [80, 3306], predicted={80: {"shop/web": {"shop/db": "deny"}}})
    live = view.widget()
    view.update(world)
    assert view.predicted["80/TCP"]["shop/web"]["shop/db"] == "deny"
    assert "1" in "".join(live.layers["changed"]["80/TCP"])
    assert live.layers["previous"]["80/TCP"] != live.layers["engine"]["80/TCP"]


def test_the_port_chosen_in_the_browser_is_the_port_of_the_still(world):
    view = TruthTableView(world, [80, 3306])
    view.widget().view = {"port": "3306/TCP", "changes": False, "apart": False}
    assert "Port 3306." in view.to_html()


def test_matplotlib_writes_one_sign_per_layer(world):
    pytest.importorskip("matplotlib")
    axes = TruthTableView(world, 3306, predicted={"shop/web": {"shop/db": "deny"}}).to_matplotlib()
    signs = [text.get_text() for text in axes.texts]
    assert signs.count("#") == 9
    assert signs.count("≠") == 1


def test_services_can_be_columns(open_world):
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"selector": {"app": "db"}, "clusterIP": "10.96.0.20", "ports": [{"port": 3306}]},
    }
    view = TruthTableView(
        open_world.replace(service), 3306, sources=["shop/web"], destinations=["service:shop/db"]
    )
    assert view.engine.kind("3306/TCP", "shop/web", "service:shop/db") is Kind.ALLOWED


def test_what_implementations_may_decide_is_greyed_and_never_asked_for(open_world):
    from labkit.policy import load

    from .conftest import POLICIES, pod

    host = open_world.replace(pod("shop", "agent", "agent", hostNetwork=True), *load(POLICIES))
    view = TruthTableView(host, 80, predict=True)
    unknown = {(s, d) for s, d, kind in view.engine.flows("80/TCP") if kind is Kind.UNKNOWN}
    assert unknown
    row, column = (
        view.engine.sources.index(next(iter(unknown))[0]),
        view.engine.destinations.index(next(iter(unknown))[1]),
    )
    assert view.widget().table["blank"]["80/TCP"][row][column] == "?"
    assert not {(s, d) for _, s, d in view.missing_predictions()} & unknown
    asked = TruthTableView(host, 80, predict=True, asked=list(unknown))
    assert asked.missing_predictions() == []
