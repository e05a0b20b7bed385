"""Probes: what a cluster actually does with a flow."""

from __future__ import annotations

from .observation import Observation
from .probing import observe_table, probe
from .tools import HttpRequest

__all__ = ["HttpRequest", "Observation", "observe_table", "probe"]
