"""How things are shown in a notebook: plain lines, small pages in HTML with a text twin, and the widgets of `labkit.widgets`."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from labkit.course.results import StepResult
from labkit.course.steps import Chapter, Step
from labkit.policy import Decision, Flow, World, yamlseam
from labkit.policy.lint import lint

if TYPE_CHECKING:
    from labkit.course.lab import Lab

Say = Callable[[str], None]
STATUS_WORDS = {
    "pass": "done",
    "fail": "not yet",
    "not_attempted": "not attempted",
    "cannot_check": "cannot be checked now",
}


# Remarks about what a policy means: a step may be asking just that. Slips, such as a selector that finds nothing, are told.
SPOILERS = {"two-dashes", "rule-split", "no-dns", "dns-without-tcp", "types-defaulted", "allows-everything"}


def say(line: str) -> None:
    """One line for the learner, on standard output: errors and warnings would look like a fault."""
    print(line, flush=True)  # noqa: T201


@dataclass(frozen=True)
class Page:
    """Something to show, as text and as HTML; a notebook picks what it can."""

    text: str
    html: str

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.text, "text/html": self.html}

    def __str__(self) -> str:
        return self.text


class LearnerErrors:
    """A `with` block in which a learner's or the cluster's error ends in one clear message, not in a traceback."""

    def __init__(self, translate: Callable[[Exception], Exception]) -> None:
        self._translate = translate

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            told = self._translate(error)
            if told is not error:
                raise told from None


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a manifest."""
    return yamlseam.load_plain(text)


def task(chapter: Chapter, step: Step, record: Mapping[str, Any]) -> Page:
    """A step's task, with what is known of earlier tries."""
    number = [item.id for item in chapter.steps].index(step.id) + 1
    done = f"Passed on {record['passed_on'][:10]}. " if record["passed_on"] else ""
    points = f"{step.points:g} point{'' if step.points == 1 else 's'}"
    foot = f"{done}Step {number} of {len(chapter.steps)}, {points}."
    replies = "".join(f"\n  {key}: {text}" for key, text in step.choices.items())
    text = f"Task {number}: {step.title}\n\n{step.task}{replies}\n\n{foot}"
    rows = "".join(
        f"<li><code>{html.escape(k)}</code>: {html.escape(v)}</li>" for k, v in step.choices.items()
    )
    return Page(
        text,
        f'<div style="border-left:4px solid #0072B2;padding:.2em 1em">'
        f"<strong>Task {number}: {html.escape(step.title)}</strong><p>{_inline(step.task)}</p>"
        f"{f'<ul>{rows}</ul>' if rows else ''}<small>{html.escape(foot)}</small></div>",
    )


def _inline(text: str) -> str:
    return html.escape(text).replace("\n", " ")


def applied(done: Iterable[tuple[Any, str]], world: World) -> None:
    """Say what was applied, as kubectl words it, then what the lab noticed about those objects."""
    keys = []
    for key, action in done:
        say(f"{_kubectl_name(key.kind)}/{key.name} {action}")
        keys.append(key)
    for remark in lint(world, keys):
        if remark.code not in SPOILERS:
            say(f"  {remark.level}: {remark}")


def _kubectl_name(kind: str) -> str:
    groups = {
        "NetworkPolicy": "networking.k8s.io",
        "Deployment": "apps",
        "AuthorizationPolicy": "security.istio.io",
        "PeerAuthentication": "security.istio.io",
        "RequestAuthentication": "security.istio.io",
        "DestinationRule": "networking.istio.io",
    }
    return f"{kind.lower()}.{groups[kind]}" if kind in groups else kind.lower()


def hint(step: Step, level: int) -> Page:
    """The hints that are open, the newest last."""
    shown = step.hints[:level]
    left = len(step.hints) - level
    foot = f"{left} more." if left else "That was the last one."
    text = "\n\n".join(f"Hint {number} of {len(step.hints)}: {line}" for number, line in enumerate(shown, 1))
    items = "".join(f"<li>{_with_code(line)}</li>" for line in shown)
    return Page(f"{text}\n\n{foot}", f"<ol>{items}</ol><small>{foot}</small>")


def _with_code(text: str) -> str:
    """A hint's prose, with its indented lines as a block of code."""
    prose = [line for line in text.splitlines() if not line.startswith("    ")]
    code = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    block = f"<pre>{html.escape(chr(10).join(code))}</pre>" if code else ""
    return html.escape(" ".join(prose)) + block


def progress(chapter: Chapter, records: Mapping[str, Mapping[str, Any]]) -> Page:
    """One line for each step, and the points."""
    rows, reached, possible = [], 0.0, 0.0
    for step in chapter.steps:
        record = records[step.id]
        last = (record["last"] or {}).get("status", "")
        done = bool(record["passed_on"])
        reached += step.points if done else (record["last"] or {}).get("score", 0)
        possible += step.points
        rows.append(
            (
                "✓" if done else "·",
                step.title,
                "done" if done else STATUS_WORDS.get(last, "not begun"),
                record,
            )
        )
    total = f"{reached:g} of {possible:g} points"
    lines = [
        f"{mark} {title}: {word} (tries {r['attempts']}, hints {r['hints']})" for mark, title, word, r in rows
    ]
    body = "".join(
        f"<tr><td>{mark}</td><td>{html.escape(title)}</td><td>{word}</td><td>{r['attempts']}</td><td>{r['hints']}</td></tr>"
        for mark, title, word, r in rows
    )
    head = "<tr><th></th><th>step</th><th></th><th>tries</th><th>hints</th></tr>"
    return Page("\n".join([*lines, total]), f"<table>{head}{body}</table><p>{total}</p>")


def why(decisions: Iterable[Decision]) -> Page:
    """The reasons of one or several decisions."""
    text = "\n\n".join(decision.explain() for decision in decisions)
    return Page(text, f"<pre>{html.escape(text)}</pre>")


def observed(found: Mapping[Flow, Any]) -> Page:
    """What trying some connections gave, with the evidence."""
    lines = []
    for flow, observation in found.items():
        if observation.verdict is None:
            lines.append(
                f"{flow.source} → {flow.destination}, port {flow.port}: not tried: {observation.reason}"
            )
            continue
        evidence = ", ".join(
            f"{key}: {value}" for key, value in observation.evidence.items() if value not in (None, "")
        )
        lines.append(
            f"{flow.source} → {flow.destination}, port {flow.port}: {observation.verdict.value}  ({evidence})"
        )
    text = "\n".join(lines)
    return Page(text, f"<pre>{html.escape(text)}</pre>")


def graph(world: World, ports: list[tuple[int, str]], *, previous: World | None, focus: str | None) -> Any:
    """The traffic graph; what differs from the previous world is lit."""
    from labkit.widgets import TrafficGraph

    return TrafficGraph(world, ports, previous=previous, focus=focus)


def table(world: World, ports: list[tuple[int, str]], observed: Mapping[Flow, Any], *, note: str) -> Any:
    """The truth table: engine and cluster side by side."""
    from labkit.widgets import TruthTableView

    return TruthTableView(world, ports, observed=observed or None, observed_note=note)


def prediction(
    world: World, asked: list[Flow], said: Mapping[Flow, bool], on_predict: Callable[[Any], None]
) -> Any:
    """The table of a prediction step, with only the cells asked for to fill in."""
    from labkit.widgets import TruthTableView

    return TruthTableView(
        world,
        list(dict.fromkeys((flow.port, flow.protocol) for flow in asked)),
        sources=list(dict.fromkeys(flow.source for flow in asked)),
        destinations=list(dict.fromkeys(flow.destination for flow in asked)),
        predict=True,
        predicted=predicted_cells(said),
        asked=[(flow.source, flow.destination, (flow.port, flow.protocol)) for flow in asked],
        can_reveal=False,
        on_predict=on_predict,
    )


def predicted_cells(said: Mapping[Flow, bool]) -> dict[tuple[str, str, tuple[int, str]], bool]:
    """Predictions as the table takes them."""
    return {
        (flow.source, flow.destination, (flow.port, flow.protocol)): allow for flow, allow in said.items()
    }


def predictions_of(view: Any) -> dict[Flow, bool]:
    """The predictions that a table holds."""
    found = {}
    for port, rows in view.predicted.items():
        number, _, protocol = port.partition("/")
        for source, row in rows.items():
            for destination, word in row.items():
                found[Flow(source, destination, int(number), protocol)] = word == "allow"
    return found


def run_check_panel(panel: Any) -> None:
    """Show a panel and check; where no widget can follow the check, it is shown when all is said."""
    from labkit.widgets import static_only

    if static_only():
        panel.check()
        panel.display()
    else:
        panel.display()
        panel.check()


def check_panel(lab: Lab, step: Step, hints_shown: int) -> Any:
    """The panel of a step, wired to the lab; not checked yet."""
    from labkit.widgets import CheckPanel

    def on_check(say: Any) -> StepResult:
        return lab.run_check(step.id, say)

    def on_reset() -> str:
        lab.reset(step.id, quiet=True)
        return "The step is at its beginning again."

    def world() -> World | None:
        from labkit.cluster import ClusterError

        try:
            seen: World = lab.cluster.snapshot()
        except ClusterError:  # the check has said so; only the lines of the policies are missing then
            return None
        return seen

    return CheckPanel(
        step.title,
        on_check=on_check,
        hints=step.hints,
        hint_level=hints_shown,
        on_hint=lambda level: lab.hints_taken(step.id, level),
        on_reset=on_reset,
        world=world,
    )
