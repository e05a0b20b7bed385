"""Steps in a terminal: each a line with its time, kept up to date where lines can be rewritten, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from typing import IO

import click

from labkit.cluster.steps import State, Step, Steps, seconds

_TICK = 0.5  # seconds between two drawings of the running step's time
_MARKS = {State.RUNNING: "…", State.DONE: "✓", State.FAILED: "✗"}
_COLOURS = {State.RUNNING: None, State.DONE: "green", State.FAILED: "red"}


@contextlib.contextmanager
def shown(output: IO[str] | None = None) -> Iterator[Steps]:
    """Steps that are shown on `output` (default: standard output) for the length of a `with`."""
    stream = output or sys.stdout
    screen = _Screen(stream) if _rewrites(stream) else _Lines(stream)
    steps = Steps()
    steps.listen(screen)
    try:
        yield steps
    finally:
        screen.close()


def _rewrites(stream: IO[str]) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


class _Lines:
    """For files, pipes and dumb terminals: a line when a step begins, and one more when it took long or failed."""

    LONG = 2.0  # seconds

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._begun = self._ended = self._warned = 0
        self._note = ""

    def __call__(self, steps: Steps) -> None:
        for warning in steps.warnings[self._warned :]:
            self._warned += 1
            self._say(f"! {warning}")
        for index, step in enumerate(steps.steps):
            if index >= self._begun:
                self._begun, self._note = index + 1, ""
                self._say(step.title)
            if step.note and step.state is State.RUNNING and step.note != self._note:
                self._note = step.note
                self._say(f"  {step.note}")
            if index >= self._ended and step.state is not State.RUNNING:
                self._ended = index + 1
                took = step.elapsed(steps.clock())
                if step.state is State.FAILED or took >= self.LONG:
                    why = f": {step.note}" if step.state is State.FAILED and step.note else ""
                    self._say(f"  {_MARKS[step.state]} after {seconds(took)}{why}")

    def _say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            click.echo(f"  {line}", file=self._stream)

    def close(self) -> None:
        """Nothing is open."""


class _Screen:
    """For terminals: finished steps stay as lines, the running one is the last line and rewritten as time passes."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._steps: Steps | None = None
        self._kept = self._warned = 0
        self._open = False  # whether the last line is one to be rewritten
        self._clock = threading.Thread(target=self._tick, name="labkit-progress", daemon=True)

    def __call__(self, steps: Steps) -> None:
        self._steps = steps
        if steps.steps and not self._clock.is_alive() and not self._over.is_set():
            self._clock.start()
        self._draw()

    def close(self) -> None:
        """Stop the clock, and leave the last line as it is."""
        self._over.set()
        if self._clock.is_alive():
            self._clock.join()
        with self._lock:
            if self._open:
                self._write("\n")
                self._open = False

    def _tick(self) -> None:
        while not self._over.wait(_TICK):
            self._draw()

    def _draw(self) -> None:
        steps = self._steps
        if steps is None:
            return
        with self._lock:
            parts = ["\r\x1b[K"] if self._open else []
            self._open = False
            for warning in steps.warnings[self._warned :]:
                self._warned += 1
                parts.append(click.style(f"  ! {warning}", fg="yellow") + "\n")
            for step in steps.steps[self._kept :]:
                if step.state is State.RUNNING:
                    parts.append(self._line(step, steps))
                    self._open = True
                else:
                    self._kept += 1
                    parts.append(self._line(step, steps) + "\n")
            self._write("".join(parts))

    def _line(self, step: Step, steps: Steps) -> str:
        took = seconds(step.elapsed(steps.clock()))
        note = f"  ({step.note})" if step.note and step.state is not State.DONE else ""
        width = shutil.get_terminal_size().columns
        text = f"{_MARKS[step.state]} {step.title}  {took}"
        if len(text) + len(note) + 3 > width:  # a line that wraps cannot be rewritten
            note = (
                note[: max(0, width - len(text) - 4)] + "…" if step.state is State.RUNNING and note else note
            )
        text = text[: width - 3] if step.state is State.RUNNING else text
        return "  " + click.style(text, fg=_COLOURS[step.state]) + click.style(note, dim=True)

    def _write(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._stream.write(text)
            self._stream.flush()
