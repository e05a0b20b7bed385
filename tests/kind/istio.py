"""A real Istio for the tests: its images on the shared kind cluster, and itself installed by labkit when a test asks for it.

    def test_one(istio: IstioKit, kind_cluster: KindCluster, room: str) -> None: ...   # Istio runs; removed after the session
    def test_two(istio_images: IstioKit, kind_cluster: KindCluster) -> None: ...       # only its images and istioctl are there

The images come from an offline folder (LABKIT_OFFLINE_ISTIO, default: beside the repository): pilot-discovery and pilot-agent
of Istio 1.31 with the stock Envoy, which lacks Istio's own extensions; `overlay` turns off what would need them. Identities,
policies, mutual TLS, JWT and injection are Istio's own. Without the folder: skipped, and says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from labkit.cluster import components
from labkit.cluster.components import Options
from labkit.cluster.providers.engine import Engine

from .engines import ROOT, environment

if TYPE_CHECKING:
    from .conftest import KindCluster

TAG = "1.31"
IMAGES = (f"offline.lab/istio/pilot:{TAG}", f"offline.lab/istio/proxyv2:{TAG}")
PIP = sorted((ROOT / "scripts" / "vendor").glob("pip-*.whl"))
#: The image that the offline node has, with python3 and curl, for the ends of a request.
TOOLS_IMAGE = "offline.lab/base:1"


@dataclass(frozen=True)
class IstioKit:
    """An istioctl, and what is laid over the lab's settings so that these images are taken and work."""

    istioctl: Path
    overlay: Path

    def options(self) -> Options:
        """For `labkit.cluster.components`."""
        return Options(overlays=(self.overlay,))

    def variables(self) -> dict[str, str]:
        """The same for the command line, and for `lab.require`."""
        return {"LABKIT_ISTIOCTL": str(self.istioctl), "LABKIT_ISTIO_OVERLAY": str(self.overlay)}


def offline_istio() -> Path | None:
    """The folder that the images are built from: LABKIT_OFFLINE_ISTIO, or beside the repository."""
    folder = Path(os.environ.get("LABKIT_OFFLINE_ISTIO") or ROOT.parent / "shared" / "offline-istio")
    return folder if (folder / "build-images").is_file() else None


@pytest.fixture(scope="session")
def istio_images(
    engine: Engine, kind_cluster: KindCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IstioKit]:
    """Istio's images on the nodes of the shared cluster, built where the engine does not have them (about a minute)."""
    folder = offline_istio()
    if folder is None:
        pytest.skip("no real Istio: there is no folder with it (LABKIT_OFFLINE_ISTIO)")
    if missing := [one for one in ("docker", "zstd") if not shutil.which(one)]:
        pytest.skip(f"no real Istio: building its images needs {', '.join(missing)}")
    work = tmp_path_factory.mktemp("istio")
    had = {one for one in IMAGES if engine.run("image", "inspect", one, check=False).returncode == 0}
    if len(had) == len(IMAGES):
        unpacked = 'zstd -dc --long=28 "$1" | tar x -C "$2" istioctl'
        archive = folder / "istio.tar.zst"
        _run("bash", "-c", f"set -o pipefail; {unpacked}", "bash", archive, work, env=engine.environment)
    else:
        # The script asks python3 for pip, and the lab's own environment has none.
        pip = os.pathsep.join(map(str, PIP))
        _run(folder / "build-images", work, env={**engine.environment, "PYTHONPATH": pip})
    try:
        # `kind load` leaves out what the nodes have already.
        _run(
            "kind", "load", "docker-image", *IMAGES, "--name", kind_cluster.kind_name, env=engine.environment
        )
        kit = IstioKit(work / "istioctl", folder / "istio.yaml")
        with environment(**kit.variables()):
            yield kit
    finally:
        if not had:
            engine.run("rmi", "-f", *IMAGES, f"offline.lab/istio/files:{TAG}", check=False)


@pytest.fixture(scope="session")
def istio_for_the_session(istio_images: IstioKit, kind_cluster: KindCluster) -> Iterator[IstioKit]:
    was_there = components.get("istio").version(kind_cluster.cluster) is not None
    yield istio_images
    if not was_there and components.get("istio").version(kind_cluster.cluster) is not None:
        components.remove(kind_cluster.cluster, "istio")


@pytest.fixture
def istio(istio_for_the_session: IstioKit, kind_cluster: KindCluster) -> IstioKit:
    """Istio runs on the shared cluster, whatever the test before has done to it."""
    components.ensure(kind_cluster.cluster, ["istio"], options={"istio": istio_for_the_session.options()})
    return istio_for_the_session


def _run(*words: str | Path, env: dict[str, str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, f"{words[0]} failed: {done.stderr[-2000:]}"
