from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.cluster import Cluster
from labkit.cluster.providers.pocket import PocketProvider
from tests.pocket.running import unsupported

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of a pocket cluster that all tests share, or of the cluster that LABKIT_TEST_KUBECONFIG names."""
    if given := os.environ.get("LABKIT_TEST_KUBECONFIG"):
        yield Path(given)
        return
    if why := unsupported():
        pytest.skip(why)
    provider = PocketProvider(tmp_path_factory.mktemp("home"))
    made = provider.create("cluster-tests")
    assert made.kubeconfig is not None
    yield made.kubeconfig
    provider.delete("cluster-tests")


@pytest.fixture(scope="session")
def cluster(kubeconfig: Path) -> Cluster:
    return Cluster.connect(kubeconfig)


@pytest.fixture
def room(cluster: Cluster) -> Iterator[str]:
    """The name of a namespace of one's own."""
    name = f"room-{next(_numbers)}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.delete("namespaces", name, wait=None)
