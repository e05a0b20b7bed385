from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.pocket import lifecycle
from labkit.pocket.errors import NoSuchCluster
from tests.pocket.running import Room, RunningCluster

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def running(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """One cluster for all tests that only need one."""
    home = tmp_path_factory.mktemp("home")
    lifecycle.up("tests", home=home)
    yield RunningCluster("tests", home)
    lifecycle.down("tests", home=home)


@pytest.fixture
def room(running: RunningCluster) -> Iterator[Room]:
    """A namespace of one's own."""
    name = f"room-{next(_numbers)}"
    running.kubectl("create", "namespace", name)
    yield Room(running, name)
    running.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def home(machine: None, tmp_path: Path) -> Iterator[Path]:
    """A lab home of one's own; its clusters are ended afterwards."""
    yield tmp_path
    for cluster in lifecycle.list_clusters(tmp_path):
        with contextlib.suppress(NoSuchCluster):
            lifecycle.down(cluster.name, home=tmp_path)
