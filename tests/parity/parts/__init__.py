"""What is compared, part by part: each asks a cluster and gives its answers by case, settled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.parity.asked import Asked
from tests.parity.parts import calls, generated, manifests, objects, states, streams, tables, watches

PARTS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    module.NAME: module.ask
    for module in (calls, manifests, generated, objects, states, streams, tables, watches)
}
"""Name -> ask."""

RECORDED = {**PARTS, "cells": tables.cells}
"""What is recorded: the parts, and what is compared without a cluster."""
