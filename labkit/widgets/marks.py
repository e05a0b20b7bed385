"""The signs of a verdict: one letter, one colour, one line style and one word each, the same in every picture and text.

Colours are Okabe and Ito's; no sign is carried by colour alone. A `Kind` is coarser than a Verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What became of a flow, as far as a picture shows it. The value is the character used in matrices and text tables."""

    ALLOWED = "."
    DENIED = "X"
    UNKNOWN = "?"
    SELF = "#"
    REACHED = "R"
    NAME = "D"
    NONE = " "


@dataclass(frozen=True)
class Sign:
    """How one Kind looks: `mark` in cells, `word` in sentences, `dash` an SVG dash array ("" is a solid line)."""

    mark: str
    word: str
    colour: str
    dash: str


SIGNS: dict[Kind, Sign] = {
    Kind.ALLOWED: Sign("✓", "allowed", "#0072B2", ""),
    Kind.DENIED: Sign("✗", "denied", "#D55E00", "7 4"),
    Kind.UNKNOWN: Sign("?", "unknown", "#6B6B6B", "2 4"),
    Kind.SELF: Sign("#", "itself", "#6B6B6B", ""),
    Kind.REACHED: Sign("R", "reached, but nothing listens", "#A0527F", "9 3 2 3"),
    Kind.NAME: Sign("D", "the name did not resolve", "#A0527F", "9 3 2 3"),
    Kind.NONE: Sign("", "not tried", "#6B6B6B", ""),
}

# What a client sees, reduced to a Kind. REFUSED and NOT_FOUND are answers of the destination: the packets got there.
_BY_VERDICT = {
    "OK": Kind.ALLOWED,
    "TIMEOUT": Kind.DENIED,
    "RESET": Kind.DENIED,
    "FORBIDDEN": Kind.DENIED,
    "UNAUTHENTICATED": Kind.DENIED,
    "UNAVAILABLE": Kind.DENIED,
    "BAD_REQUEST": Kind.DENIED,
    "CLOSED": Kind.DENIED,
    "REFUSED": Kind.REACHED,
    "NOT_FOUND": Kind.REACHED,
    "DNS": Kind.NAME,
}

VERDICT_WORDS = {
    "OK": "connected",
    "TIMEOUT": "timed out: the packets were dropped",
    "RESET": "the connection was reset",
    "FORBIDDEN": "answered 403 forbidden",
    "UNAUTHENTICATED": "answered 401 unauthenticated",
    "UNAVAILABLE": "answered 503 by the client's own proxy",
    "BAD_REQUEST": "answered 400 by a proxy",
    "CLOSED": "accepted and then closed without an answer",
    "REFUSED": "connection refused: it was reached, but nothing listens on this port",
    "NOT_FOUND": "answered 404 not found",
    "DNS": "the name did not resolve",
}


def verdict_name(verdict: object) -> str:
    """`Verdict.TIMEOUT`, "TIMEOUT" and "timeout" are all "TIMEOUT"; an enum's name counts, not its value."""
    name = getattr(verdict, "name", verdict)
    return str(name).upper()


def kind_of_verdict(verdict: object) -> Kind:
    """The Kind of a measured or predicted verdict; one we do not know is UNKNOWN, never a plain yes or no; None is NONE."""
    if verdict is None:
        return Kind.NONE
    return _BY_VERDICT.get(verdict_name(verdict), Kind.UNKNOWN)


def kind_of_prediction(text: str | bool | None) -> Kind:
    """A learner's word ("allow", "deny", True, False) as a Kind; None and "" are a blank cell."""
    if text is None or text == "":
        return Kind.NONE
    if text is True or text == "allow":
        return Kind.ALLOWED
    if text is False or text == "deny":
        return Kind.DENIED
    raise ValueError(f"a prediction is 'allow', 'deny' or blank, not {text!r}")


def compatible(one: Kind, other: Kind) -> bool:
    """Whether two layers of a table tell the same story.

    Blank, unknown and self cells contradict nothing; a pod that was reached but has no listener agrees with "allowed"; a name
    that did not resolve says nothing about the policy of this flow (the DNS flow has its own cell).
    """
    silent = (Kind.NONE, Kind.UNKNOWN, Kind.SELF, Kind.NAME)
    if one in silent or other in silent:
        return True
    passed = (Kind.ALLOWED, Kind.REACHED)
    return (one in passed) == (other in passed)
