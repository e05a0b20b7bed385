"""A pocket cluster for the notebooks, and a way to execute them as a learner's kernel does."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Classroom:
    """A lab home with a running cluster, whose notebooks are executed one after the other."""

    home: Path
    kubeconfig: Path | None
    paper: str = ""

    def environment(self, learner: str) -> dict[str, str]:
        given = os.environ | {
            "LABKIT_HOME": str(self.home),
            "LABKIT_ROOT": str(ROOT),
            "LABKIT_LEARNER": learner,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        return given | (
            {"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {"LABKIT_PAPER": self.paper}
        )

    def execute(self, notebook: Any, learner: str) -> Mapping[str, Mapping[str, Any]]:
        """Execute all cells; gives the learner's progress by step. A cell that raises fails the test, with its output."""
        client = NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
        )
        before = dict(os.environ)
        os.environ.update(self.environment(learner))
        try:
            client.execute()
        finally:
            os.environ.clear()
            os.environ.update(before)
        return self.progress(learner)

    def progress(self, learner: str) -> Mapping[str, Mapping[str, Any]]:
        data = json.loads((self.home / "progress" / f"{learner}.json").read_text())
        return {step: record for steps in data["chapters"].values() for step, record in steps.items()}


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="session")
def classroom(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classroom]:
    from labkit.pocket import lifecycle

    home = tmp_path_factory.mktemp("classroom")
    info = lifecycle.up("notebooks", home=home)
    try:
        yield Classroom(home, info.kubeconfig)
    finally:
        lifecycle.down("notebooks", home=home)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def paper_classroom(tmp_path: Path) -> Classroom:
    return Classroom(tmp_path, None, paper="This machine can run no cluster (a test says so).")
