"""Real kind clusters for the tests. All of this folder has the mark `kind`; without a container engine it skips, and says why.

How to use it, from any test in tests/kind/:

    def test_something(kind_cluster: KindCluster, room: str) -> None:
        kind_cluster.cluster.apply(manifest, namespace=room)     # a labkit Cluster
        kind_cluster.kubectl("get", "pods", "-n", room)          # kubectl, CompletedProcess
        kind_cluster.labkit("status", kind_cluster.name)         # the command line on the same home
        kind_cluster.load(archive)                               # an image archive onto its nodes

`kind_cluster` is one for the whole session, single node: work in a namespace of your own (`room` is one, and is deleted) and put
back what is not in it. `engine` is the container engine (labkit's Engine), `kind_image` the node image ("" means the pinned one),
`another_cluster` makes further clusters and ends them. Where there is no internet no image can be pulled; the offline node image
has registry.k8s.io/e2e-test-images/agnhost:2.56 and offline.lab/base:1 inside (imagePullPolicy: IfNotPresent).

Variables: LABKIT_TEST_ENGINE, a DOCKER_HOST to use ("none" for none); LABKIT_OFFLINE_KIND, the folder with a node image and a
script that starts an engine; LABKIT_KIND_IMAGE, the node image; LABKIT_TEST_KIND, the kubeconfig of a standing kind cluster to
share, which saves its start while a test is being written.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labkit.cluster import Cluster
from labkit.cluster.client import read_context
from labkit.cluster.providers import Options
from labkit.cluster.providers.engine import Engine, find_engine
from labkit.cluster.providers.kind import KindProvider
from labkit.cluster.providers.kind.running import terminations_interrupt

from .engines import kind_program, node_image, running_engine
from .istio import istio, istio_for_the_session, istio_images  # noqa: F401 - fixtures: a real Istio

BIN = Path(sys.executable).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker(pytest.mark.kind)


@dataclass(frozen=True)
class KindCluster:
    """A running kind cluster. `name` is labkit's name, `kind_name` kind's; `home` is LABKIT_HOME of its command line."""

    name: str
    kind_name: str
    home: Path
    kubeconfig: Path
    context: str
    cluster: Cluster

    def kubectl(
        self, *words: str, given: str | None = None, check: bool = True, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl on it."""
        return subprocess.run(
            [BIN / "kubectl", "--kubeconfig", self.kubeconfig, *words],
            input=given, capture_output=True, text=True, check=check, timeout=seconds,
        )  # fmt: skip

    def labkit(
        self, *words: str, check: bool = True, seconds: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run labkit with its home (and no other kubeconfig)."""
        env = {**os.environ, "LABKIT_HOME": str(self.home)}
        env.pop("KUBECONFIG", None)
        return subprocess.run(
            [BIN / "labkit", *words], capture_output=True, text=True, check=check, timeout=seconds, env=env
        )

    def load(self, archive: Path) -> None:
        """Put the images of an archive (docker save, OCI) onto all nodes."""
        subprocess.run(
            ["kind", "load", "image-archive", archive, "--name", self.kind_name],
            check=True, capture_output=True, text=True, env=find_engine().environment,
        )  # fmt: skip


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A container engine that answers, with a `kind` on PATH; skips where there can be none."""
    with terminations_interrupt(), running_engine(), kind_program():
        yield find_engine()


@pytest.fixture(scope="session")
def kind_image(engine: Engine) -> Iterator[str]:
    """The node image to make clusters from."""
    with node_image(engine.host) as image:
        yield image


@pytest.fixture(scope="session")
def kind_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LABKIT_HOME of the session's cluster."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def kind_cluster(engine: Engine, kind_image: str, kind_home: Path) -> Iterator[KindCluster]:
    """A single-node cluster that all tests share."""
    if standing := os.environ.get("LABKIT_TEST_KIND"):
        context = read_context(Path(standing), None).name
        kind_name = context.removeprefix("kind-")
        yield KindCluster(
            kind_name.removeprefix("labkit-"),
            kind_name,
            kind_home,
            Path(standing),
            context,
            Cluster.connect(standing),
        )
        return
    with made(f"shared-{uuid.uuid4().hex[:6]}", kind_home, Options(image=kind_image)) as cluster:
        yield cluster


MakeCluster = Callable[..., KindCluster]


@pytest.fixture
def another_cluster(engine: Engine, kind_image: str, tmp_path: Path) -> Iterator[MakeCluster]:
    """A function that makes a further cluster, `another_cluster(config="three-nodes", ...)`; all are ended after the test."""
    with contextlib.ExitStack() as stack:

        def make(config: str = "", **options: object) -> KindCluster:
            chosen = Options(image=kind_image, config=config, **options)  # type: ignore[arg-type]
            return stack.enter_context(made(f"more-{uuid.uuid4().hex[:6]}", tmp_path / "home", chosen))

        yield make


@contextlib.contextmanager
def made(name: str, home: Path, options: Options) -> Iterator[KindCluster]:
    """A cluster for a `with`; it is ended whatever happens."""
    provider = KindProvider(home)
    try:
        found = provider.create(name, options=options)
        assert found.kubeconfig is not None
        cluster = Cluster.connect(found.kubeconfig, found.context)
        yield KindCluster(name, f"labkit-{name}", home, found.kubeconfig, found.context, cluster)
        cluster.close()
    finally:
        if provider.find(name) is not None:
            provider.delete(name)


@pytest.fixture
def room(kind_cluster: KindCluster) -> Iterator[str]:
    """The name of a namespace of one's own in the shared cluster; deleted afterwards."""
    name = f"room-{uuid.uuid4().hex[:6]}"
    kind_cluster.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    kind_cluster.cluster.delete("namespaces", name, wait=None)
