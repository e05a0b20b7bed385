import logging

import pytest

from labkit.policy import Flow, decide
from labkit.widgets import CheckPanel


def evidence(world, source, destination, port=3306, must="work", observed="TIMEOUT"):
    return {
        "source": source,
        "destination": destination,
        "port": port,
        "protocol": "TCP",
        "must": must,
        "observed": observed,
        "decision": decide(world, Flow(source, destination, port)).to_dict(),
    }


@pytest.fixture
def failed(world):
    return {
        "title": "One door",
        "status": "fail",
        "message": "One of two conditions holds.",
        "score": 1.0,
        "max_score": 2.0,
        "checks": [
            {"check": "a", "title": "web reaches db", "status": "pass", "message": ""},
            {
                "check": "b",
                "title": "mail reaches db",
                "status": "fail",
                "message": "It timed out.",
                "evidence": [evidence(world, "shop/mail", "shop/db")],
            },
        ],
    }


def test_the_result_says_which_condition_failed_who_decided_and_in_which_line(world, failed):
    text = CheckPanel("One door", result=failed, world=world).to_text()
    assert "✗ not yet (1 of 2 points)" in text
    assert "✓ web reaches db: passed" in text
    assert "✗ mail reaches db: not yet" in text
    assert "NetworkPolicy shop/db-only-web (answer.yaml)" in text
    assert "10 |     - podSelector:" in text


def test_progress_reaches_the_browser_phase_by_phase(failed):
    seen = []

    def run(report):
        report("Reading the policies", 0.2)
        report("Trying 12 connections", 0.5)
        return failed

    panel = CheckPanel("One door", on_check=run)
    live = panel.widget()
    live.observe(lambda change: seen.append(change["new"]), "progress")
    live.observe(lambda change: seen.append(change["new"]), "state")
    panel._on_message(live, {"type": "check"}, [])
    assert seen[0] == "running" or seen[1] == "running"
    texts = [item["text"] for item in seen if isinstance(item, dict)]
    assert texts == ["Starting …", "Reading the policies", "Trying 12 connections"]
    assert seen[-1] == "idle"
    assert live.result["status"] == "fail"


def test_a_check_that_breaks_is_never_the_learners_fault(caplog):
    def run(report):
        raise ConnectionError("the cluster is gone")

    with caplog.at_level(logging.ERROR):
        panel = CheckPanel("One door", on_check=run)
        result = panel.check()
    assert result["status"] == "cannot_check"
    assert "the cluster is gone" in result["message"]
    assert panel.state == "idle"
    assert "ended with an exception" in caplog.text


def test_a_status_nobody_knows_is_not_taken_for_a_failure():
    panel = CheckPanel("One door", result={"status": "exploded"})
    assert panel.result["status"] == "cannot_check"


def test_hints_reach_the_page_one_at_a_time():
    told = []
    panel = CheckPanel("One door", hints=["think", "look", "write ___"], on_hint=told.append)
    live = panel.widget()
    assert live.hints == {"total": 3, "shown": [], "next": "the concept"}
    assert panel.hint() == "think"
    assert [item["text"] for item in live.hints["shown"]] == ["think"]
    assert "look" not in str(live.hints["shown"])
    panel._on_message(live, {"type": "hint"}, [])
    panel._on_message(live, {"type": "hint"}, [])
    assert panel.hint() == ""
    assert told == [1, 2, 3]
    assert live.hints["next"] == ""


def test_hints_that_were_open_last_time_are_open_again():
    panel = CheckPanel("One door", hints=["think", "look"], hint_level=1)
    assert "Hint 1 of 2 (the concept): think" in panel.to_text()
    assert "look" not in panel.to_text().replace("where to look", "")


def test_a_reset_forgets_the_result_and_says_what_was_done(failed):
    panel = CheckPanel("One door", result=failed, on_reset=lambda: "Two policies were deleted.")
    live = panel.widget()
    panel._on_message(live, {"type": "reset"}, [])
    assert live.result == {}
    assert live.progress["text"] == "Two policies were deleted."
    assert live.state == "idle"


def test_a_reset_that_fails_says_so_and_keeps_the_result(failed):
    def broken():
        raise OSError("no cluster")

    panel = CheckPanel("One door", result=failed, on_reset=broken)
    panel.reset()
    assert "could not be put back: no cluster" in panel.progress["text"]
    assert panel.result["status"] == "fail"


def test_a_second_press_while_checking_does_nothing():
    calls = []

    def run(report):
        calls.append(1)
        panel.check()
        return {"status": "pass"}

    panel = CheckPanel("One door", on_check=run)
    panel.check()
    assert calls == [1]


def test_messages_that_mean_nothing_are_ignored():
    panel = CheckPanel("One door")
    panel._on_message(panel.widget(), {"type": "explode"}, [])
    panel._on_message(panel.widget(), {}, [])
    assert panel.result == {}


def test_the_html_twin_escapes_what_it_quotes():
    html = CheckPanel("<b>", result={"status": "fail", "message": "<script>"}).to_html()
    assert "<script>" not in html
    assert "<b>" not in html


def test_a_result_must_be_data():
    with pytest.raises(TypeError, match="mapping"):
        CheckPanel("One door", result="passed")


def test_a_step_result_of_the_course_fits():
    results = pytest.importorskip("labkit.course.results")
    check = results.CheckResult("and-1", "a", "web reaches db", results.Status.PASS, 1, 1)
    panel = CheckPanel("One door", result=results.StepResult("02", "and-1", "One door", (check,)))
    assert panel.result["status"] == "pass"
    assert "✓ passed (1 of 1 points)" in panel.to_text()
