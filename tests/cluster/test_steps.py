from __future__ import annotations

import io

import pytest

from labkit.cli import terminal
from labkit.cluster.steps import State, Steps, of, seconds


class Clock:
    """A clock that is put forward by hand."""

    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def told(steps: Steps) -> list[tuple[str, str, float]]:
    return [(step.title, step.state.value, step.elapsed(steps.clock())) for step in steps.steps]


def test_a_step_begins_where_the_one_before_has_ended(clock: Clock) -> None:
    steps = Steps(clock=clock)
    steps.begin("one")
    clock.now += 2
    steps.begin("two")
    clock.now += 3
    assert told(steps) == [("one", "done", 2), ("two", "running", 3)]
    assert steps.running is not None
    assert steps.elapsed == 5
    steps.close()
    clock.now += 10
    assert told(steps) == [("one", "done", 2), ("two", "done", 3)]
    assert steps.elapsed == 5


def test_news_stay_within_the_step_and_a_warning_stays_for_good(clock: Clock) -> None:
    steps = Steps(clock=clock)
    steps.note("nobody works")
    steps.begin("one")
    steps.note("half")
    steps.warn("it is late")
    steps.begin("two")
    assert [step.note for step in steps.steps] == ["half", ""]
    assert steps.warnings == ("it is late",)


def test_an_exception_fails_the_step_with_its_first_line_and_goes_on() -> None:
    steps = Steps()
    with pytest.raises(ValueError, match="broken"), steps.step("one"):
        raise ValueError("broken\nbadly")
    assert steps.steps[0].state is State.FAILED
    assert steps.steps[0].note == "broken"

    def work() -> None:
        with steps.whole():
            steps.begin("two")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps.steps[1].state is State.FAILED
    assert steps.closed


def test_whoever_gave_a_plain_progress_is_told_titles_and_warnings() -> None:
    said: list[str] = []
    steps = of(said.append)
    steps.begin("one")
    steps.note("not a line of its own")
    steps.warn("careful")
    steps.begin("two")
    steps.end()
    assert said == ["one", "careful", "two"]
    assert of(steps) is steps
    of(None).begin("nobody listens")


def test_times_are_written_for_people() -> None:
    assert [seconds(value) for value in (0, 9.94, 10.4, 59.6, 61, 3600)] == [
        "0.0 s", "9.9 s", "10 s", "1 min 00 s", "1 min 01 s", "60 min 00 s",
    ]  # fmt: skip


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def screen(written: str) -> list[str]:
    """The lines that a terminal shows of what was written to it, without colours."""
    import re

    lines = [""]
    for part in re.split(r"(\n|\r\x1b\[K)", re.sub(r"\x1b\[[0-9;]*m", "", written)):
        if part == "\n":
            lines.append("")
        elif part == "\r\x1b[K":
            lines[-1] = ""
        else:
            lines[-1] += part
    return lines


def test_a_terminal_keeps_finished_steps_and_rewrites_the_running_one(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    output = Terminal()
    with terminal.shown(output) as steps:
        steps.clock = clock
        steps.begin("one")
        clock.now += 1.5
        steps.begin("two", "a note that is much longer than what is left of the line")
        assert screen(output.getvalue())[0] == "  ✓ one  1.5 s"
        assert screen(output.getvalue())[1].startswith("  … two  0.0 s  (a note")
        assert max(map(len, screen(output.getvalue()))) < 60
        steps.warn("it is late")
        clock.now += 12
        steps.fail("no room")
    assert screen(output.getvalue()) == ["  ✓ one  1.5 s", "  ! it is late", "  ✗ two  12 s  (no room)", ""]


def test_elsewhere_lines_are_only_added(clock: Clock) -> None:
    output = io.StringIO()
    with terminal.shown(output) as steps:
        steps.clock = clock
        steps.begin("one")
        steps.begin("two")
        steps.note("half")
        clock.now += 12
        steps.warn("it is late")
        steps.begin("three")
        steps.fail("no room")
    assert output.getvalue().splitlines() == [
        "  one",
        "  two",
        "    half",
        "  ! it is late",
        "    ✓ after 12 s",
        "  three",
        "    ✗ after 0.0 s: no room",
    ]
    assert "\x1b" not in output.getvalue()
