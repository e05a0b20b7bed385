"""Steps of something that takes a while, with the time each took: what a terminal, a notebook or a test shows of it.

Whoever works says `begin`, `note`, `end`, `fail`; whoever shows listens. Steps are also a `Progress`: called with a line, that is
the next step. Nothing here draws: labkit.cli draws in a terminal, labkit.widgets in a notebook.
"""

from __future__ import annotations

import contextlib
import enum
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace


class State(enum.Enum):
    """How a step stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what is done, since when, and how it ended. Times are seconds of the clock that the Steps were given."""

    title: str
    began: float
    ended: float | None = None
    state: State = State.RUNNING
    note: str = ""

    def elapsed(self, now: float) -> float:
        """Seconds from its beginning to its end, or to now."""
        return max(0.0, (self.ended if self.ended is not None else now) - self.began)


Listener = Callable[["Steps"], None]


class Steps:
    """One after the other, at most one running. Safe to use from several threads; a listener is called in the one that told."""

    def __init__(self, *listeners: Listener, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._began = clock()
        self._steps: list[Step] = []
        self._warnings: list[str] = []
        self._listeners = list(listeners)
        self._lock = threading.RLock()
        self._closed = False

    # Who shows

    def listen(self, listener: Listener) -> None:
        """Call `listener(self)` now and after every change."""
        self._listeners.append(listener)
        listener(self)

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps so far, in their order."""
        with self._lock:
            return tuple(self._steps)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may become trouble and was told on the way."""
        with self._lock:
            return tuple(self._warnings)

    @property
    def running(self) -> Step | None:
        """The step at work, if there is one."""
        steps = self.steps
        return steps[-1] if steps and steps[-1].state is State.RUNNING else None

    @property
    def elapsed(self) -> float:
        """Seconds since the first step began, until now or until all was over."""
        steps = self.steps
        if not steps:
            return 0.0
        over = self._closed and steps[-1].ended is not None
        return (steps[-1].ended or 0.0 if over else self.clock()) - steps[0].began

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._closed

    # Who works

    def begin(self, title: str, note: str = "") -> None:
        """The next step; the one before has ended well."""
        with self._lock:
            self._finish(State.DONE)
            self._steps.append(Step(title, self.clock(), note=note))
        self._tell()

    def __call__(self, line: str) -> None:
        """As a `Progress`: the line is the next step."""
        self.begin(line)

    def note(self, text: str) -> None:
        """News of the running step, in place of the news before."""
        with self._lock:
            if self.running is None or self._steps[-1].note == text:
                return
            self._steps[-1] = replace(self._steps[-1], note=text)
        self._tell()

    def warn(self, text: str) -> None:
        """What may become trouble; it stays in sight."""
        with self._lock:
            self._warnings.append(text)
        self._tell()

    def end(self) -> None:
        """The running step has ended well."""
        with self._lock:
            self._finish(State.DONE)
        self._tell()

    def fail(self, why: str = "") -> None:
        """The running step has failed; `why` in a few words."""
        with self._lock:
            self._finish(State.FAILED, why)
        self._tell()

    def close(self) -> None:
        """Nothing more will come. A step that still runs has ended well."""
        with self._lock:
            self._finish(State.DONE)
            self._closed = True
        self._tell()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step for the length of a `with`: an exception fails it, and goes on."""
        self.begin(title)
        try:
            yield
        except BaseException as problem:
            self.fail(_first_line(problem))
            raise
        self.end()

    @contextlib.contextmanager
    def whole(self) -> Iterator[Steps]:
        """All of the work in a `with`: closed at its end, and what still runs fails with the exception."""
        try:
            yield self
        except BaseException as problem:
            if self.running is not None:
                self.fail(_first_line(problem))
            self.close()
            raise
        self.close()

    def _finish(self, state: State, note: str | None = None) -> None:
        if self._steps and self._steps[-1].state is State.RUNNING:
            last = self._steps[-1]
            kept = last.note if note is None else note
            self._steps[-1] = replace(last, state=state, ended=self.clock(), note=kept)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener(self)


def of(progress: Callable[[str], None] | None) -> Steps:
    """Steps for whoever was given a `Progress`: these very steps, or steps that tell each title and warning as a line."""
    if isinstance(progress, Steps):
        return progress
    return Steps(_Lines(progress)) if progress is not None else Steps()


class _Lines:
    """A listener that tells a `Progress` the titles as they begin."""

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self._told = 0
        self._warned = 0

    def __call__(self, steps: Steps) -> None:
        for warning in steps.warnings[self._warned :]:
            self._warned += 1
            self._progress(warning)
        for step in steps.steps[self._told :]:
            self._told += 1
            self._progress(step.title)


def seconds(value: float) -> str:
    """A time for people: "0.4 s", "12 s", "2 min 05 s"."""
    if value < 10:
        return f"{value:.1f} s"
    whole = int(value + 0.5)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"


def _first_line(problem: BaseException) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__
