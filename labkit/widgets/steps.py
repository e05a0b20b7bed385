"""StepsView: the steps of something that takes a while, each with its time; live in a notebook while the cell still runs.

    with StepsView("Installing Istio").showing() as steps:
        install(cluster, progress=steps)

Traits of the widget: `task` {"title"}; `steps` [{"title", "state": "running" | "done" | "failed", "note", "seconds"}]; `warnings`
(texts); `closed`; `beat`, a number that grows as long as the kernel lives. Between two messages the page counts the running
step's time itself; when it has not heard of the kernel for a while it stops, and says so.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from labkit.cluster.steps import State, Step, Steps, seconds
from labkit.widgets.display import Viewable, pre, static_only

MARKS = {State.RUNNING: "…", State.DONE: "✓", State.FAILED: "✗"}
BEAT = 4.0
"""Seconds between two signs of life; the page gives up after three of them are missing."""


class StepsView(Viewable):
    """Steps as a widget, a still list, and a text. `steps`: those to show (default: new ones); `clock` is theirs."""

    def __init__(self, title: str, steps: Steps | None = None) -> None:
        super().__init__()
        self.title = title
        self.steps = steps or Steps()
        self._beats = 0
        self._told: dict[str, Any] = {}
        self._quiet = threading.Event()
        self.steps.listen(self._changed)

    @contextlib.contextmanager
    def showing(self) -> Iterator[Steps]:
        """The steps for a `with`; the view appears with the first of them (so that what takes no time shows nothing)."""
        appear = _Once(self.display)

        def first(steps: Steps) -> None:
            if steps.steps or steps.warnings:
                appear()

        self.steps.listen(first)
        alive = threading.Thread(target=self._live_on, name="labkit-steps", daemon=True)
        alive.start()
        try:
            with self.steps.whole():
                yield self.steps
        finally:
            self._quiet.set()
            alive.join()
            self._refresh_still()

    def display(self) -> None:
        """Show the view. Where no widget can run the still follows the steps instead."""
        if not static_only():
            super().display()
            return
        from IPython.display import display

        self._still_handle = display(self.bundle(), raw=True, display_id=True)

    # -- the twins

    def to_text(self) -> str:
        """A line for each step, with its time."""
        now = self.steps.clock()
        lines = [self.title]
        for step in self.steps.steps:
            note = f" ({step.note})" if step.note and step.state is not State.DONE else ""
            lines.append(f"  {MARKS[step.state]} {step.title}  {seconds(step.elapsed(now))}{note}")
        lines += [f"  ! {warning}" for warning in self.steps.warnings]
        if self.steps.closed and self.steps.steps:
            lines.append(f"  {seconds(self.steps.elapsed)} in all")
        return "\n".join(lines)

    def to_html(self) -> str:
        """The text, under its title in bold."""
        title, _, rest = self.to_text().partition("\n")
        return f"<p><strong>{escape(title)}</strong></p>{pre(rest)}"

    # -- the widget

    def _make_widget(self) -> Any:
        from labkit.widgets.live import steps_widget

        return steps_widget()(still=self.still_id, **self._traits())

    def _traits(self) -> dict[str, Any]:
        return {
            "task": {"title": self.title},
            "steps": [self._record(step) for step in self.steps.steps],
            "warnings": list(self.steps.warnings),
            "closed": self.steps.closed,
            "beat": self._beats,
        }

    def _record(self, step: Step) -> dict[str, Any]:
        took = round(step.elapsed(self.steps.clock()), 2)
        return {"title": step.title, "state": step.state.value, "note": step.note, "seconds": took}

    def _changed(self, _steps: Steps) -> None:
        if self._live is not None:
            with self._live.hold_sync():
                for name, value in self._traits().items():
                    setattr(self._live, name, value)
        # The still is for later readers: it follows when a step begins or ends, not with every bit of news.
        shape = {"states": [step.state for step in self.steps.steps], "closed": self.steps.closed}
        if shape != self._told:
            self._told = shape
            self._refresh_still()

    def _live_on(self) -> None:
        while not self._quiet.wait(BEAT):
            self._beats += 1
            if self._live is not None:
                with self._live.hold_sync():  # the steps too: a page that is loaded anew counts on from here
                    self._live.beat = self._beats
                    self._live.steps = self._traits()["steps"]


class _Once:
    """Calls something the first time, and never again (what it does may come back here)."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work

    def __call__(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            work()


__all__ = ["StepsView"]
