"""`lab.require` where there is no cluster to install anything on, and where something goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.cluster import components
from labkit.cluster.components import ComponentError, Outcome
from labkit.cluster.paper import PaperCluster
from labkit.cluster.steps import Steps
from labkit.course.lab import Lab
from labkit.course.learner_errors import LearnerError
from labkit.course.progress import Progress
from labkit.course.requiring import require
from labkit.widgets import StepsView, display


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield Lab(
        "00-find-your-way",
        cluster=PaperCluster("This machine can run no cluster."),
        progress=Progress(tmp_path / "progress.json", "me"),
    )
    Lab.current = None


def test_on_paper_it_says_what_is_missing_and_the_lab_goes_on(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.require("istio+ambient", "cert-manager")
    assert "This needs Istio, cert-manager, which a cluster on paper does not have" in capsys.readouterr().out
    lab.require()  # this chapter needs nothing
    assert capsys.readouterr().out == ""


def test_a_name_that_there_is_not_is_one_message(lab: Lab) -> None:
    with pytest.raises(LearnerError, match='no component "istoi"; there are: calico'):
        lab.require("istoi")


class Running:
    """As much of a cluster as is asked before anything is installed."""

    live = True


def test_what_was_done_is_told_in_a_sentence_each(monkeypatch: pytest.MonkeyPatch) -> None:
    done = [
        Outcome("gateway-api", "Gateway API", "1.2.1", "found"),
        Outcome("linkerd", "Linkerd", "edge-26.6.3", "installed", ("Pods have to be made anew.",)),
    ]
    monkeypatch.setattr(components, "ensure", lambda *_: done)
    said: list[str] = []
    require(Running(), ["linkerd"], said.append)
    assert said[:3] == [
        "Gateway API 1.2.1 is there and works.",
        "Linkerd edge-26.6.3 was installed and works.",
        "  Pods have to be made anew.",
    ]
    assert said[3].startswith("That took ")


def test_a_failure_is_told_with_what_the_cluster_says_and_no_traceback(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ComponentError(
            "Istio does not start.\n  pod istio-system/istiod-1: container discovery: ErrImagePull"
        )

    monkeypatch.setattr(components, "ensure", fails)
    lab.cluster = Running()
    with pytest.raises(LearnerError, match="pod istio-system/istiod-1"):
        lab.require("istio")


def test_in_a_notebook_the_steps_are_a_view_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[StepsView] = []
    monkeypatch.setattr(display, "static_only", lambda: "")
    monkeypatch.setattr(StepsView, "display", lambda self: shown.append(self))

    def ensures(_cluster: object, _names: object, progress: Steps) -> list[Outcome]:
        progress.begin("Rendering Istio 1.31.1")
        return [Outcome("istio", "Istio", "1.31.1", "installed")]

    monkeypatch.setattr(components, "ensure", ensures)
    said: list[str] = []
    require(Running(), ["istio"], said.append)
    [view] = shown
    assert view.to_text().startswith("Bringing in Istio\n  ✓ Rendering Istio 1.31.1")
    assert said[0] == "Istio 1.31.1 was installed and works."


def test_in_a_notebook_nothing_is_shown_of_what_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "static_only", lambda: "")
    monkeypatch.setattr(StepsView, "display", lambda _self: pytest.fail("there is nothing to show"))
    monkeypatch.setattr(components, "ensure", lambda *_: [Outcome("istio", "Istio", "1.31.1", "found")])
    require(Running(), ["istio"], lambda _line: None)
