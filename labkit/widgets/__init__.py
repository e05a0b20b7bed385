"""What the learner sees: traffic graph, truth table, check panel, steps of long work; each a widget, a still picture and a text.

Importing this is cheap: ipywidgets, anywidget and matplotlib are loaded when a widget or a figure is asked for,
and where they are absent SVG, HTML and text still work.
"""

from labkit.widgets.check import CheckPanel, Report
from labkit.widgets.display import LiveUnavailable, Viewable, static_only
from labkit.widgets.graph import TrafficGraph
from labkit.widgets.steps import StepsView
from labkit.widgets.table import TruthTableView

__all__ = [
    "CheckPanel",
    "LiveUnavailable",
    "Report",
    "StepsView",
    "TrafficGraph",
    "TruthTableView",
    "Viewable",
    "static_only",
]
