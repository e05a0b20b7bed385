from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.cluster.tools import download
from labkit.cluster.tools.cache import Cache
from tests.cluster.tools.upstream import Upstream


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with Upstream() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    return Cache.default()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries that are as many as in real life, and short."""
    monkeypatch.setattr(download, "PAUSES", (0.01, 0.01, 0.01, 0.01))
