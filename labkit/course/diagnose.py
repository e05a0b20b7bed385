"""Recognise the mistakes that people make, by what they do: which catalogued wrong answer explains the flows that went wrong?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from labkit.course.demands import Scope
from labkit.course.steps import Step, WrongAnswer
from labkit.policy import Flow, World

if TYPE_CHECKING:
    from labkit.course.violations import Violation


def diagnose(
    step: Step,
    worlds: Mapping[str, tuple[World, Iterable[str]]],
    found: Mapping[str, Iterable[Violation]],
) -> WrongAnswer | None:
    """The first catalogued wrong answer whose flows went wrong as it says; None where none fits.

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
        fits = _some_in if wrong.some else _all_in
        if all(fits(set(scope.flows(pattern)), opened) for pattern in wrong.opens) and all(
            fits(set(scope.flows(pattern)), closed) for pattern in wrong.closes
        ):
            return wrong
    return None


def _all_in(wanted: set[Flow], flows: set[Flow]) -> bool:
    return bool(wanted) and wanted <= flows


def _some_in(wanted: set[Flow], flows: set[Flow]) -> bool:
    return bool(wanted & flows)
