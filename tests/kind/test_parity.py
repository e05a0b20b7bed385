"""Pocket and a real cluster, asked the same at the same time: what differs is listed in tests/parity/known.yaml.

The same questions are compared with recordings in tests/parity/, where no container engine is needed. Here is also shown that
the recordings are what a real cluster answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from labkit.cluster.providers.engine import Engine
from tests.parity.asked import Asked, asked
from tests.parity.conftest import Answers
from tests.parity.conftest import cluster as cluster  # the fixture: a pocket cluster
from tests.parity.parts import PARTS
from tests.parity.recording import difference, known_differences, recording

from .conftest import KindCluster

# Under these names the machine's own base image is as good: it has a shell, sleep, cat.
STAND_INS = ("docker.io/library/busybox:1.37",)
BASE = "offline.lab/base:1"


@pytest.fixture(scope="module")
def real(kind_cluster: KindCluster, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """The session's kind cluster."""
    node = f"{kind_cluster.kind_name}-control-plane"
    for name in STAND_INS:
        # Where there is internet it is pulled instead, and this fails without harm.
        engine.run("exec", node, "ctr", "-n", "k8s.io", "images", "tag", BASE, name, check=False)
    return asked(kind_cluster.kubeconfig, tmp_path_factory.mktemp("real"), kind_cluster.context)


@pytest.fixture(scope="module")
def both(real: Asked, cluster: Asked) -> Iterator[tuple[Answers, Answers]]:
    """What the real cluster answers, and what pocket answers."""
    with ThreadPoolExecutor(2) as pool:
        asking = list(pool.map(lambda one: Answers(one, list(PARTS)), (real, cluster)))
    yield asking[0], asking[1]
    for one in asking:
        one.close()


def shown(differences: dict[str, tuple[Any, Any]]) -> str:
    return "\n".join(f"{case}\n  - {one}\n  + {other}" for case, (one, other) in differences.items())


@pytest.mark.parametrize("part", PARTS)
def test_pocket_answers_as_a_real_cluster_does(part: str, both: tuple[Answers, Answers]) -> None:
    real, pocket = both[0][part], both[1][part]
    wrong = [
        why
        for case in {**real, **pocket, **known_differences(part)}
        if (why := difference(part, case, real.get(case), pocket.get(case)))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", PARTS)
def test_the_recording_is_what_a_real_cluster_answers(part: str, both: tuple[Answers, Answers]) -> None:
    real, recorded = both[0][part], recording(part).answers
    stale = {
        case: (recorded.get(case), real.get(case))
        for case in {**recorded, **real}
        if recorded.get(case) != real.get(case)
    }
    assert not stale, f"record anew (python -m tests.parity.record):\n{shown(stale)}"
