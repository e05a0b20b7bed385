"""One pocket cluster for all comparisons. Its parts are asked all at once: most of their time is waiting."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from labkit.pocket import lifecycle
from tests.parity.asked import Asked, asked
from tests.parity.parts import PARTS

TIMED = ("objects", "states", "streams", "watches")


@pytest.fixture(scope="session")
def cluster(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A pocket cluster, running."""
    home = tmp_path_factory.mktemp("parity")
    info = lifecycle.up("parity", home=home)
    try:
        yield asked(info.kubeconfig, tmp_path_factory.mktemp("asked"))
    finally:
        lifecycle.down("parity", home=home)


class Answers:
    """What a cluster answers, part by part."""

    def __init__(self, cluster: Asked, parts: list[str]) -> None:
        self._pool = ThreadPoolExecutor(len(PARTS))
        # What happens in time is asked first, and what makes objects whose names others rehearse; the rest takes all of
        # the machine.
        timed = {part: self._pool.submit(PARTS[part], cluster) for part in TIMED if part in parts}

        def after(part: str) -> dict[str, Any]:
            wait(timed.values())
            return PARTS[part](cluster)

        self._asked = timed | {
            part: self._pool.submit(after, part) for part in PARTS if part in parts and part not in TIMED
        }

    def __getitem__(self, part: str) -> dict[str, Any]:
        return self._asked[part].result()

    def close(self) -> None:
        """Wait for those that are still being asked."""
        self._pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest, cluster: Asked) -> Iterator[Answers]:
    """Pocket's answers, to the parts that the tests of this run need."""
    wanted = {item.callspec.params.get("part") for item in request.session.items if hasattr(item, "callspec")}
    asking = Answers(cluster, [str(part) for part in wanted])
    try:
        yield asking
    finally:
        asking.close()
