"""The anywidget classes: traits and assets only. What they show is computed elsewhere; what they are asked goes to callbacks.

Made on first use, because importing ipywidgets costs more than all of labkit.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from labkit.widgets.assets import module, style


@cache
def graph_widget() -> Any:
    """Traits: `picture` (picture.py), `view` (picture.View), `reasons` (reason records by "port|source|destination")."""
    import anywidget
    from traitlets import Dict, Unicode

    class TrafficGraphWidget(anywidget.AnyWidget):  # type: ignore[misc]
        """The traffic graph in the browser."""

        _esm = module("graph")
        _css = style("graph")
        picture = Dict().tag(sync=True)
        view = Dict().tag(sync=True)
        reasons = Dict().tag(sync=True)
        still = Unicode().tag(sync=True)

    return TrafficGraphWidget


@cache
def table_widget() -> Any:
    """Traits: `table` (table.py), `layers`, `predicted`, `revealed`, `view`, `reasons`."""
    import anywidget
    from traitlets import Bool, Dict, Unicode

    class TruthTableWidget(anywidget.AnyWidget):  # type: ignore[misc]
        """The truth table in the browser."""

        _esm = module("table")
        _css = style("table")
        table = Dict().tag(sync=True)
        layers = Dict().tag(sync=True)
        predicted = Dict().tag(sync=True)
        revealed = Bool().tag(sync=True)
        view = Dict().tag(sync=True)
        reasons = Dict().tag(sync=True)
        still = Unicode().tag(sync=True)

    return TruthTableWidget


@cache
def check_widget() -> Any:
    """Traits: `task`, `state`, `progress`, `result`, `hints` (check.py)."""
    import anywidget
    from traitlets import Dict, Unicode

    class CheckPanelWidget(anywidget.AnyWidget):  # type: ignore[misc]
        """The check panel in the browser."""

        _esm = module("check")
        _css = style("check")
        task = Dict().tag(sync=True)
        state = Unicode("idle").tag(sync=True)
        progress = Dict().tag(sync=True)
        result = Dict().tag(sync=True)
        hints = Dict().tag(sync=True)
        still = Unicode().tag(sync=True)

    return CheckPanelWidget


@cache
def steps_widget() -> Any:
    """Traits: `task`, `steps`, `warnings`, `closed`, `beat` (steps.py)."""
    import anywidget
    from traitlets import Bool, Dict, Int, List, Unicode

    class StepsWidget(anywidget.AnyWidget):  # type: ignore[misc]
        """The steps in the browser."""

        _esm = module("steps")
        _css = style("steps")
        task = Dict().tag(sync=True)
        steps = List().tag(sync=True)
        warnings = List().tag(sync=True)
        closed = Bool(False).tag(sync=True)
        beat = Int(0).tag(sync=True)
        still = Unicode().tag(sync=True)

    return StepsWidget
