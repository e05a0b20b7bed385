"""Recognise the mistakes that people make, by what they do: which catalogued wrong answer explains the flows that went wrong?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from labkit.course.demands import Scope
from labkit.course.steps import FlowPattern, Step, WrongAnswer
from labkit.policy import Flow, World

if TYPE_CHECKING:
    from labkit.course.violations import Violation


def diagnose(
    step: Step,
    worlds: Mapping[str, tuple[World, Iterable[str]]],
    found: Mapping[str, Iterable[Violation]],
) -> WrongAnswer | None:
    """The first catalogued wrong answer all of whose flows went wrong as it says; None where none fits.

    `worlds` and `found` are keyed by imagined world ("" is the real one). The order in the catalogue is from special to general.
    A mistake that shows only in an imagined world is named only where all is right today: its text says so.
    """
    today = bool(found.get(""))
    for wrong in step.wrong:
        if not (wrong.opens or wrong.closes) or wrong.world not in worlds or (wrong.world and today):
            continue
        scope = Scope(*worlds[wrong.world])
        opened = {v.flow for v in found.get(wrong.world, ()) if not v.demanded.allow}
        closed = {v.flow for v in found.get(wrong.world, ()) if v.demanded.allow}
        if _all_in(scope, wrong.opens, opened) and _all_in(scope, wrong.closes, closed):
            return wrong
    return None


def _all_in(scope: Scope, patterns: tuple[FlowPattern, ...], flows: set[Flow]) -> bool:
    for pattern in patterns:
        wanted = set(scope.flows(pattern))
        if not wanted or not wanted <= flows:
            return False
    return True
