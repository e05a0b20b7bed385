"""A Decision in plain English: what happens, which half decided, which policy, rule and line."""

from __future__ import annotations

from .decision import Decision


def explain(decision: Decision) -> str:
    """The reasons of a decision, for a learner, several lines."""
    return f"{decision.flow}: {decision.verdict}. {decision.note}"
