"""CheckPanel: press Check, watch it being tried, read why, ask for a hint, begin again.

It is fed by plain data and knows nothing of courses. A *result* is a mapping (or has `to_dict()` that gives one):

    {"title", "status": "pass" | "fail" | "not_attempted" | "cannot_check", "message", "score", "max_score",
     "checks": [{"check", "title", "status", "message", "reason", "score", "max_score",
                 "evidence": [{"source", "destination", "port", "protocol", "must": "work" | "fail",
                               "observed": "TIMEOUT" or null, "decision": Decision.to_dict()}]}]}

Only `status` is required; further keys are ignored. Traits of the widget:

    task {"title", "text", "can_check", "can_reset"};  state "idle" | "running";  result as `shown_result` makes it
    progress {"text", "fraction" or null, "done": [texts]};  hints {"total", "shown": [{"level", "rung", "text"}], "next"}

and it sends {"type": "check" | "hint" | "reset"}.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from html import escape
from types import SimpleNamespace
from typing import Any, Protocol

from labkit.widgets.display import Viewable, pre
from labkit.widgets.reasons import reason_record, reason_text

log = logging.getLogger(__name__)

MARKS = {"pass": "✓", "fail": "✗", "not_attempted": "·", "cannot_check": "?"}
WORDS = {
    "pass": "passed",
    "fail": "not yet",
    "not_attempted": "not attempted",
    "cannot_check": "cannot be checked now",
}
LADDER = ("the concept", "where to look", "a manifest with blanks", "the answer, with its reason")


class Report(Protocol):
    """How a running check tells where it is."""

    def __call__(self, text: str, fraction: float | None = None) -> None:
        """text: what is being done now. fraction: 0.0 to 1.0, or None when nobody knows how long it takes."""


class CheckPanel(Viewable):
    """The panel of one step.

    on_check(report) does the check and returns a result; an exception is shown as "cannot be checked now", never as the learner's
    mistake. hints: the texts, gentlest first; they are sent to the page one at a time. on_hint(level) is told of each (from 1).
    on_reset() puts the step back; what it returns (a text or None) is announced. The learner is asked before. world: where the
    policies' YAML lines are looked up for the reasons; `world` may be a World or a callable that gives the newest one.
    """

    def __init__(
        self,
        title: str,
        *,
        text: str = "",
        on_check: Callable[[Report], Any] | None = None,
        hints: Sequence[str] = (),
        hint_level: int = 0,
        on_hint: Callable[[int], object] | None = None,
        on_reset: Callable[[], str | None] | None = None,
        result: Any = None,
        world: Any = None,
    ) -> None:
        super().__init__()
        self.title, self.text = title, text
        self.on_check, self.on_hint, self.on_reset = on_check, on_hint, on_reset
        self._hints = tuple(hints)
        self.hint_level = max(0, min(hint_level, len(self._hints)))
        self._world = world
        self.state = "idle"
        self.progress: dict[str, Any] = {"text": "", "fraction": None, "done": []}
        self.result: dict[str, Any] = {}
        if result is not None:
            self.show_result(result)

    def check(self) -> dict[str, Any]:
        """Run the check now, as the button does; returns what is shown. A second call while it runs changes nothing."""
        if self.state == "running" or self.on_check is None:
            return self.result
        self.state, self.progress = "running", {"text": "Starting …", "fraction": None, "done": []}
        self._push()
        try:
            result = self.on_check(self._report)
        except Exception as error:
            log.exception("a check ended with an exception")
            result = {
                "status": "cannot_check",
                "message": f"The check itself could not run ({type(error).__name__}: {error}). "
                "This is not a mistake in your answer.",
            }
        finally:
            self.state = "idle"
        self.show_result(result)
        return self.result

    def show_result(self, result: Any) -> None:
        """Show a result that was found elsewhere."""
        self.result = shown_result(result, self._world() if callable(self._world) else self._world)
        self._push()

    def hint(self) -> str:
        """Show the next hint and return it; "" when all have been shown."""
        if self.hint_level >= len(self._hints):
            return ""
        self.hint_level += 1
        self._push()
        if self.on_hint is not None:
            self.on_hint(self.hint_level)
        return self._hints[self.hint_level - 1]

    def reset(self) -> None:
        """Put the step back to its start and forget the result shown. Asking before is the button's business."""
        if self.on_reset is None:
            return
        self.progress = {"text": "Putting the step back …", "fraction": None, "done": []}
        self.state = "running"
        self._push()
        try:
            said = self.on_reset() or "The step is back at its start."
            self.result = {}
        except Exception as error:
            log.exception("a reset ended with an exception")
            said = f"The step could not be put back: {error}"
        finally:
            self.state = "idle"
        self.progress = {"text": said, "fraction": None, "done": []}
        self._push()

    # -- the twins

    def to_text(self) -> str:
        """Title, result with every reason, and the hints shown so far."""
        parts = [f"Check: {self.title}"]
        if self.text:
            parts.append(self.text)
        parts.append(result_text(self.result) if self.result else "Not checked yet.")
        for level, hint in enumerate(self._hints[: self.hint_level], 1):
            parts.append(f"Hint {level} of {len(self._hints)} ({_rung(level)}): {hint}")
        return "\n\n".join(parts)

    def to_html(self) -> str:
        """The text, with the result's headline in bold."""
        status = self.result.get("status", "")
        headline = f"{MARKS[status]} {escape(self.title)}: {WORDS[status]}" if status else escape(self.title)
        return f"<p><strong>{headline}</strong></p>{pre(self.to_text())}"

    # -- the widget

    def _make_widget(self) -> Any:
        from labkit.widgets.live import check_widget

        live = check_widget()(still=self.still_id, **self._traits())
        live.on_msg(self._on_message)
        return live

    def _traits(self) -> dict[str, Any]:
        shown = [
            {"level": level, "rung": _rung(level), "text": hint}
            for level, hint in enumerate(self._hints[: self.hint_level], 1)
        ]
        next_rung = _rung(self.hint_level + 1) if self.hint_level < len(self._hints) else ""
        return {
            "task": {
                "title": self.title,
                "text": self.text,
                "can_check": self.on_check is not None,
                "can_reset": self.on_reset is not None,
            },
            "state": self.state,
            "progress": self.progress,
            "result": self.result,
            "hints": {"total": len(self._hints), "shown": shown, "next": next_rung},
        }

    def _report(self, text: str, fraction: float | None = None) -> None:
        done = self.progress["done"]
        if self.progress["text"] and self.progress["text"] != text:
            done = [*done, self.progress["text"]]
        self.progress = {
            "text": text,
            "fraction": None if fraction is None else max(0.0, min(1.0, fraction)),
            "done": done,
        }
        if self._live is not None:
            self._live.progress = self.progress

    def _push(self) -> None:
        if self._live is not None:
            with self._live.hold_sync():
                for name, value in self._traits().items():
                    setattr(self._live, name, value)
        if self.state == "idle":
            self._refresh_still()

    def _on_message(self, _widget: Any, message: Mapping[str, Any], _buffers: Any) -> None:
        action = {"check": self.check, "hint": self.hint, "reset": self.reset}.get(str(message.get("type")))
        if action is not None:
            action()


def shown_result(result: Any, world: Any = None) -> dict[str, Any]:
    """A result as the panel shows it: status, mark, headline, message, and per check the reason records of its evidence."""
    data = result.to_dict() if hasattr(result, "to_dict") else result
    if not isinstance(data, Mapping):
        raise TypeError(f"a result is a mapping or has to_dict(), not {type(result).__name__}")
    sources: Mapping[Any, Any] = {}
    if world is not None:
        from labkit.widgets.answers import policy_sources

        sources = policy_sources(world)
    status = _status(data)
    return {
        "status": status,
        "mark": MARKS[status],
        "words": WORDS[status],
        "message": str(data.get("message") or ""),
        "score": data.get("score"),
        "max_score": data.get("max_score"),
        "checks": [_shown_check(check, sources) for check in data.get("checks") or ()],
    }


def result_text(result: Mapping[str, Any]) -> str:
    """A shown result as plain text, reasons included."""
    points = f" ({result['score']:g} of {result['max_score']:g} points)" if result.get("max_score") else ""
    lines = [f"{result['mark']} {result['words']}{points}"]
    if result["message"]:
        lines.append(result["message"])
    for check in result["checks"]:
        lines += ["", f"{check['mark']} {check['title']}: {check['words']}"]
        lines += [f"  {line}" for line in check["message"].splitlines()]
        for reason in check["reasons"]:
            lines += [f"    {line}" for line in reason_text(reason).splitlines()]
    return "\n".join(lines)


def _status(data: Mapping[str, Any]) -> str:
    status = str(getattr(data.get("status"), "value", data.get("status")))
    return status if status in MARKS else "cannot_check"


def _shown_check(check: Mapping[str, Any], sources: Mapping[Any, Any]) -> dict[str, Any]:
    status = _status(check)
    return {
        "id": str(check.get("check") or ""),
        "title": str(check.get("title") or check.get("check") or ""),
        "status": status,
        "mark": MARKS[status],
        "words": WORDS[status],
        "message": str(check.get("message") or ""),
        "reasons": [_evidence(item, sources) for item in check.get("evidence") or () if item.get("decision")],
    }


def _evidence(item: Mapping[str, Any], sources: Mapping[Any, Any]) -> dict[str, Any]:
    observed = item.get("observed")
    record = reason_record(
        item["decision"],
        source=str(item["source"]),
        destination=str(item["destination"]),
        port=(int(item["port"]), str(item.get("protocol") or "TCP")),
        observation=SimpleNamespace(verdict=observed, evidence=item.get("seen") or {}) if observed else None,
        sources=sources,
    )
    must = item.get("must")
    return {**record, "must": f"must {'work' if must == 'work' else 'not work'}" if must else ""}


def _rung(level: int) -> str:
    return LADDER[min(level, len(LADDER)) - 1]


__all__ = ["CheckPanel", "Report", "result_text", "shown_result"]
