from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.bundle.world import World, build
from tests.cluster.tools.upstream import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> World:
    made = build(tmp_path / "checkout", upstream)
    monkeypatch.setenv("LABKIT_CLUSTERS", str(made.clusters))
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "here"))
    return made
