"""Loading an archive into the nodes of a kind cluster, and writing down in the cluster what was loaded."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import ClusterError

from . import loaded
from .archives import Archived, opened
from .base import save
from .errors import ImageError
from .loaded import Loaded
from .single import fitting
from .standins import LABEL

Progress = Callable[[str], None]


def load(
    file: Path, kind_name: str, *, origin: str = loaded.BUNDLE, progress: Progress | None = None
) -> list[Loaded]:
    """Load every image of an archive into every node of the kind cluster called `kind_name` (as `kind get clusters` has it).

    origin: what is written down of images that do not say themselves that they are stand-ins. Raises ClusterError.
    """
    say = progress or (lambda _line: None)
    kind = _Kind(kind_name)
    with kind.cluster() as cluster, tempfile.TemporaryDirectory(prefix="labkit-images-") as folder:
        platform = _platform(cluster)
        with opened(file) as archive:
            fit = fitting(archive, platform, Path(folder) / "one-platform.tar")
        with opened(fit) as archive:
            images = [image for image in archive.images() if image.platform == platform]
            if nameless := [image.digest for image in images if not image.references]:
                raise ImageError(
                    f"{file} has images without a name, which no pod could ask for: {nameless[0]}"
                )
        say(f"Loading {file.name} ({fit.stat().st_size / 1e6:.0f} MB) into the nodes of {kind_name}")
        kind.run("load", "image-archive", str(fit))
        found = [_loaded(image, name, origin) for image in images for name in image.references]
        loaded.record(cluster, found)
        return found


def load_from_engine(image: str, kind_name: str, *, progress: Progress | None = None) -> list[Loaded]:
    """Load an image that the container engine here has. Raises ClusterError."""
    say = progress or (lambda _line: None)
    with tempfile.TemporaryDirectory(prefix="labkit-images-") as folder:
        with _Kind(kind_name).cluster() as cluster:
            platform = _platform(cluster)
        file = Path(folder) / "image.tar"
        say(f"Saving {image}")
        save(image, file, platform)
        return load(file, kind_name, origin=loaded.ENGINE, progress=progress)


@contextmanager
def connected(kind_name: str) -> Iterator[Cluster]:
    """A connection to a kind cluster by kind's name for it. Raises ClusterError."""
    with _Kind(kind_name).cluster() as cluster:
        yield cluster


class _Kind:
    """The program `kind`, for one cluster."""

    def __init__(self, name: str) -> None:
        from labkit.cluster import tools
        from labkit.cluster.providers.engine import find_engine

        self.name = name
        self.program = tools.find("kind")
        self.environment = find_engine().environment  # so that kind asks the engine that answers

    def run(self, *words: str) -> str:
        """kind's output. Raises ImageError with its last words."""
        done = subprocess.run(
            [str(self.program), *words, "--name", self.name], capture_output=True, text=True, errors="replace",
            check=False, stdin=subprocess.DEVNULL, env=self.environment,
        )  # fmt: skip
        if "could not locate any control plane" in done.stderr:
            raise ImageError(
                f"There is no kind cluster called {self.name}. kind lists those there are: kind get clusters"
            )
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            wrong = [line for line in said if line.startswith("ERROR")] or said[-1:] or ["nothing"]
            raise ImageError(
                f"kind {words[0]} failed for the cluster {self.name}:\n"
                + "\n".join(wrong).removeprefix("ERROR: ")
            )
        return done.stdout

    @contextmanager
    def cluster(self) -> Iterator[Cluster]:
        """The cluster by a kubeconfig that is not kept."""
        text = self.run("get", "kubeconfig")
        handle, path = tempfile.mkstemp(prefix="labkit-kubeconfig-")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
            cluster = Cluster.connect(path)
            try:
                yield cluster
            finally:
                cluster.close()
        finally:
            Path(path).unlink(missing_ok=True)


def _platform(cluster: Cluster) -> str:
    """The platform of the nodes. Raises ImageError when they differ: one archive would not do."""
    found = {node["status"]["nodeInfo"]["architecture"] for node in cluster.list("nodes")}
    if len(found) != 1:
        raise ClusterError(
            f"The nodes have no architecture in common: {', '.join(sorted(found)) or 'there are none'}."
        )
    return f"linux/{found.pop()}"


def _loaded(image: Archived, name: str, origin: str) -> Loaded:
    labels = (image.config.get("config") or {}).get("Labels") or {}
    return Loaded(name, loaded.STAND_IN if LABEL in labels else origin, image.digest, image.size)
