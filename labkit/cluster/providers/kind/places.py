"""Where a kind cluster keeps its things: a folder of its own below the lab's home, a lock beside it, and kind's log."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.cluster.errors import ClusterError

PREFIX = "labkit-"


@dataclass(frozen=True)
class Places:
    """The names and paths of one cluster. Make it with `places`, which refuses names that cannot be one."""

    name: str
    home: Path

    @property
    def kind_name(self) -> str:
        """What kind calls the cluster."""
        return PREFIX + self.name

    @property
    def context(self) -> str:
        """What its kubeconfig calls it."""
        return f"kind-{self.kind_name}"

    @property
    def clusters(self) -> Path:
        """Where all kind clusters of this home are."""
        return self.home / "kind"

    @property
    def folder(self) -> Path:
        """Everything of this cluster that is not in the container engine."""
        return self.clusters / self.name

    @property
    def kubeconfig(self) -> Path:
        """The way in, for this cluster alone; only its owner may read it."""
        return self.folder / "kubeconfig"

    @property
    def config(self) -> Path:
        """kind's configuration, as the cluster was made from it."""
        return self.folder / "config.yaml"

    @property
    def lock(self) -> Path:
        """Held while the cluster is made or ended."""
        return self.clusters / f".{self.name}.lock"

    @property
    def log(self) -> Path:
        """What kind said when it last made this cluster. Outside of the folder: it outlives a failure."""
        return self.home / "logs" / f"kind-{self.name}.log"

    @property
    def network_mark(self) -> Path:
        """There when the engine's network `kind` came with a cluster of this home, and goes with the last one."""
        return self.clusters / ".network"

    # What is remembered of the cluster: {"state": "creating" | "ready", "image", "config", "kind", "created", "exported"}

    def remembered(self) -> dict[str, Any]:
        """What is remembered of it; {} when nothing is."""
        try:
            found = json.loads((self.folder / "cluster.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def remember(self, **facts: Any) -> None:
        """Add to what is remembered; whole or not at all."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.folder / "cluster.json.new"
        fresh.write_text(json.dumps({**self.remembered(), **facts}, indent=2) + "\n", encoding="utf-8")
        fresh.replace(self.folder / "cluster.json")

    def forget(self) -> None:
        """Remove the folder, and the folder of all clusters when this was the last."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.clusters.rmdir()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Only one process at a time makes or ends this cluster; the others wait. Raises ClusterError."""
        try:
            self.clusters.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as problem:
            raise ClusterError(
                f"The lab's folder {self.clusters} cannot be made: {problem.strerror}."
                " Choose another with the environment variable LABKIT_HOME."
            ) from None
        while True:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if self.lock.stat().st_ino == os.fstat(descriptor).st_ino:
                    break
            os.close(descriptor)  # whoever had it before has removed the file: ours locks nothing
        try:
            yield
        finally:
            if not self.folder.exists():
                self.lock.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    self.clusters.rmdir()
            os.close(descriptor)


def places(name: str, home: Path | None = None) -> Places:
    """The places of a cluster of that name. Raises ClusterError for a name that cannot be one: the rule of every provider."""
    from labkit.pocket import places as pocket
    from labkit.pocket.errors import PocketError

    try:
        checked = pocket.Places(name, home or pocket.default_home())
    except PocketError as problem:
        raise ClusterError(str(problem)) from None
    return Places(name, checked.home)


def known(home: Path | None = None) -> list[Places]:
    """All kind clusters of this home, by name."""
    somewhere = places("any", home)
    if not somewhere.clusters.is_dir():
        return []
    folders = (path for path in somewhere.clusters.iterdir() if path.is_dir() and path.name[0] != ".")
    return [Places(path.name, somewhere.home) for path in sorted(folders)]
