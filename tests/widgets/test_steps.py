from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from labkit.cluster.steps import Steps, seconds
from labkit.widgets import StepsView
from labkit.widgets import steps as module

from .test_javascript import evaluate, node

__all__ = ["node"]  # a fixture


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Live:
    """What a widget is to its view: traits, and a moment in which several are set at once."""

    def __init__(self, **traits: Any) -> None:
        self.__dict__.update(traits)

    def hold_sync(self) -> Any:
        import contextlib

        return contextlib.nullcontext()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def view(clock: Clock) -> StepsView:
    return StepsView("Starting the cluster lab", Steps(clock=clock))


@pytest.fixture
def shown(view: StepsView, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[StepsView]]:
    """The views that were displayed; no notebook is here to do it."""
    found: list[StepsView] = []
    monkeypatch.setattr(StepsView, "display", lambda self: found.append(self))
    return found


def test_the_text_has_every_step_with_its_time_and_the_warnings(view: StepsView, clock: Clock) -> None:
    view.steps.begin("Preparing nodes")
    clock.now += 2.4
    view.steps.begin("Starting control-plane", "this is the long one")
    clock.now += 75
    view.steps.warn("memory is scarce")
    assert view.to_text().splitlines() == [
        "Starting the cluster lab",
        "  ✓ Preparing nodes  2.4 s",
        "  … Starting control-plane  1 min 15 s (this is the long one)",
        "  ! memory is scarce",
    ]
    view.steps.fail("the disk is full")
    view.steps.close()
    assert "✗ Starting control-plane  1 min 15 s (the disk is full)" in view.to_text()
    assert view.to_text().endswith("1 min 17 s in all")
    assert "<strong>Starting the cluster lab</strong>" in view.to_html()


def test_it_appears_with_the_first_step_and_not_for_nothing(view: StepsView, shown: list[StepsView]) -> None:
    with view.showing() as steps:
        assert shown == []
        steps.begin("Preparing nodes")
        assert shown == [view]
        steps.begin("Writing configuration")
    assert shown == [view]
    assert view.steps.closed
    with StepsView("Nothing").showing():
        pass
    assert shown == [view]


def test_what_is_raised_fails_the_step_at_work_and_goes_on(view: StepsView, shown: list[StepsView]) -> None:
    def work() -> None:
        with view.showing() as steps:
            steps.begin("Preparing nodes")
            raise ValueError("the disk is full\nand more")

    with pytest.raises(ValueError, match="the disk is full"):
        work()
    assert "✗ Preparing nodes  0.0 s (the disk is full)" in view.to_text()


def test_the_widget_follows_and_shows_that_the_kernel_lives(
    view: StepsView, shown: list[StepsView], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT", 0.01)
    view._live = live = Live(**view._traits())
    with view.showing() as steps:
        steps.begin("Preparing nodes")
        assert [(step["title"], step["state"]) for step in live.steps] == [("Preparing nodes", "running")]
        for _ in range(1000):
            if live.beat > 1:
                break
            view._quiet.wait(0.01)
        assert live.beat > 1
    assert live.closed
    assert [step["state"] for step in live.steps] == ["done"]
    json.dumps(view._traits())


def test_times_are_told_in_the_browser_as_here(node: str) -> None:
    times = [0.04, 10.5, 11.5, 0.05, 3.14159, 9.94, 9.95, 10.4, 59.4, 59.6, 61, 600, 3601.2]
    script = (
        'import { timeText } from "ASSETS/steps.js"; BEGIN console.log(JSON.stringify(data.map(timeText)))'
    )
    assert evaluate(node, script, times) == [seconds(time) for time in times]
