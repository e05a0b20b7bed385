"""The engine and the course import with the standard library alone: they also run in a browser. `import labkit` is light."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "IPython", "aiohttp", "anywidget", "asyncio", "ipywidgets", "jsonschema", "kubernetes", "matplotlib", "nbformat",
    "pyroute2", "socket", "subprocess", "yaml",
}  # fmt: skip


@pytest.mark.parametrize(
    "module",
    [
        "labkit",
        "labkit.policy",
        "labkit.course",
        "labkit.course.lab",
        "labkit.course.evaluate",
        "labkit.course.answers",
    ],
)
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    code = f"import sys; before = set(sys.modules); import {module}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & {name.partition(".")[0] for name in done.stdout.split()}
