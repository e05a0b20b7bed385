"""Pocket and a real cluster, asked the same at the same time: what differs is listed in tests/parity/known.yaml.

The same questions are compared with recordings in tests/parity/, where no container engine is needed. Here is also shown that
the recordings are what a real cluster answers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from labkit.cluster.providers.engine import Engine
from tests.parity.asked import Asked, asked
from tests.parity.conftest import TIMED, Answers
from tests.parity.conftest import cluster as cluster  # the fixture: a pocket cluster
from tests.parity.parts import PARTS
from tests.parity.recording import difference, known_differences, recording

from .conftest import KindCluster

Given = dict[str, Any]  # answers, by case

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


class Both:
    """What the real cluster answers, and what pocket answers."""

    def __init__(self, real: Asked, pocket: Asked) -> None:
        self.clusters = (real, pocket)
        with ThreadPoolExecutor(2) as pool:
            self.real, self.pocket = pool.map(lambda one: Answers(one, list(PARTS)), self.clusters)

    def differing(self, part: str, compare: Callable[[Given, Given], dict[str, str]]) -> dict[str, str]:
        """What `compare` finds between the two answers. What happens in time is asked twice: a busy kubelet leaves things out."""
        found = compare(self.real[part], self.pocket[part])
        if found and part in TIMED:
            self.close()
            again = compare(*(self._again(part, one) for one in self.clusters))
            found = {case: why for case, why in found.items() if case in again}
        return found

    @staticmethod
    def _again(part: str, cluster: Asked) -> Given:
        ask = PARTS[part]
        if namespace := getattr(sys.modules[ask.__module__], "NAMESPACE", None):
            cluster.kubectl("wait", "--for=delete", f"namespace/{namespace}", "--timeout=120s")
        return ask(cluster)

    def close(self) -> None:
        """Wait for what is still being asked."""
        for one in (self.real, self.pocket):
            one.close()


@pytest.fixture(scope="module")
def both(real: Asked, cluster: Asked) -> Iterator[Both]:
    """Both clusters, being asked."""
    asking = Both(real, cluster)
    yield asking
    asking.close()


@pytest.mark.parametrize("part", PARTS)
def test_pocket_answers_as_a_real_cluster_does(part: str, both: Both) -> None:
    def compare(real: Given, pocket: Given) -> dict[str, str]:
        cases = {**real, **pocket, **known_differences(part)}
        found = {case: difference(part, case, real.get(case), pocket.get(case)) for case in cases}
        return {case: why for case, why in found.items() if why}

    wrong = both.differing(part, compare)
    assert not wrong, "\n".join(wrong.values())


@pytest.mark.parametrize("part", PARTS)
def test_the_recording_is_what_a_real_cluster_answers(part: str, both: Both) -> None:
    def compare(real: Given, _pocket: Given) -> dict[str, str]:
        recorded = recording(part).answers
        return {
            case: f"{case}\n  - {recorded.get(case)}\n  + {real.get(case)}"
            for case in {**recorded, **real}
            if recorded.get(case) != real.get(case)
        }

    stale = both.differing(part, compare)
    assert not stale, "record anew (python -m tests.parity.record):\n" + "\n".join(stale.values())
