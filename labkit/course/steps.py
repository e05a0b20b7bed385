"""The shapes of a chapter: frozen data, as read from `steps.yaml` by `labkit.course.load`."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Kind(enum.StrEnum):
    """Where a step's answer comes from."""

    APPLY = "apply"  # the objects in the cluster
    PREDICT = "predict"  # the cells that the learner filled in
    ANSWER = "answer"  # what the learner said


@dataclass(frozen=True)
class FlowPattern:
    """Some flows: every source × destination × port.

    An endpoint is "namespace/pod", "namespace/key=value,..." (all pods with these labels), "namespace/*", "*" (all
    pods in scope), "service:namespace/name" (destination only) or an IP address outside the cluster. A port is a
    number and a protocol.
    """

    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    ports: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Demand:
    """What must work (`allow`), what must not (`deny`), and what holds for all other flows in scope (`otherwise`).

    `protect` names the destinations, and `guard` the sources, to which `otherwise` applies; empty means every pod in scope.
    """

    allow: tuple[FlowPattern, ...] = ()
    deny: tuple[FlowPattern, ...] = ()
    otherwise: str = ""  # "", "deny" or "allow"
    protect: tuple[str, ...] = ()
    guard: tuple[str, ...] = ()


@dataclass(frozen=True)
class Imagined:
    """A world that does not exist yet: objects added to the snapshot, and what must hold then. Judged by the model alone."""

    id: str
    title: str
    add: tuple[Mapping[str, Any], ...]
    demand: Demand


@dataclass(frozen=True)
class Expectation:
    """How the right answer to a question is computed from the cluster; see `labkit.course.answers`."""

    what: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class WrongAnswer:
    """A mistake that people make, recognised by what it does, never by its text.

    `opens`: flows that got through though they must not; `closes`: flows that fail though they must work; all of them, or with
    `some` at least one; `world`: the imagined world in which this shows (empty: the real one); `answer`: the value given, for
    questions, and `expect`: how that value is computed from the cluster; `cells`: predictions, as (pattern, "allow" or "deny").
    """

    id: str
    says: str
    opens: tuple[FlowPattern, ...] = ()
    closes: tuple[FlowPattern, ...] = ()
    world: str = ""
    some: bool = False
    answer: tuple[str, ...] | None = None
    expect: Expectation | None = None
    cells: tuple[tuple[FlowPattern, str], ...] = ()


@dataclass(frozen=True)
class Step:
    """One graded task."""

    id: str
    title: str
    kind: Kind
    task: str
    points: float
    hints: tuple[str, ...]
    start: tuple[str, ...] = ()
    demand: Demand = Demand()
    imagine: tuple[Imagined, ...] = ()
    objects: tuple[Mapping[str, Any], ...] = ()
    predict: tuple[FlowPattern, ...] = ()
    expect: Expectation | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    wrong: tuple[WrongAnswer, ...] = ()
    praise: str = ""

    @property
    def needs_enforcement(self) -> bool:
        """Whether its check looks at packets that a policy stops. Answers and predictions are judged by the policies alone."""
        return self.kind is Kind.APPLY and bool(
            self.start or self.demand.deny or self.demand.otherwise == "deny"
        )


@dataclass(frozen=True)
class Chapter:
    """A notebook's steps, where its files are, and which part of the cluster it owns.

    `requires`: components that must be in the cluster before the demo ("istio"). `namespaces` are the chapter's own: a reset may
    change policies there and nowhere else. `ports` are those probed by "otherwise".
    """

    id: str
    title: str
    minutes: int
    folder: Path
    demo: tuple[str, ...]
    namespaces: tuple[str, ...]
    ports: tuple[tuple[int, str], ...]
    steps: tuple[Step, ...]
    requires: tuple[str, ...] = ()

    @property
    def needs_enforcement(self) -> bool:
        """Whether any of its steps does."""
        return any(step.needs_enforcement for step in self.steps)

    def step(self, step_id: str) -> Step:
        """The step with this id; KeyError with the known ids when there is none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        known = ", ".join(step.id for step in self.steps)
        raise KeyError(f"chapter {self.id} has no step {step_id!r}; its steps are: {known}")
