"""Where a cluster keeps its things: one directory below the lab's home, and a lock file beside it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from labkit.pocket.errors import PocketError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z")


def default_home() -> Path:
    """$LABKIT_HOME, or the user's data directory."""
    given = os.environ.get("LABKIT_HOME")
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs  # only here: a cluster's own processes never need it

    return Path(platformdirs.user_data_dir("labkit"))


@dataclass(frozen=True)
class Places:
    """The paths of one cluster. Raises PocketError for a name that cannot be one."""

    name: str
    home: Path

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise PocketError(
                f"{self.name!r} cannot be a cluster's name.",
                "A name has small letters, digits and dashes, begins and ends with a letter or digit, and is at most 40 long.",
                "Choose another, for example: labkit up lab",
            )

    @property
    def clusters(self) -> Path:
        """Where all clusters are."""
        return self.home / "clusters"

    @property
    def directory(self) -> Path:
        """Everything of this cluster."""
        return self.clusters / self.name

    @property
    def change_lock(self) -> Path:
        """Held while the cluster is started or ended."""
        return self.clusters / f".{self.name}.lock"

    @property
    def life_lock(self) -> Path:
        """Held by the daemon as long as it lives."""
        return self.directory / "daemon.lock"

    @property
    def info(self) -> Path:
        """What the daemon says of itself."""
        return self.directory / "daemon.json"

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.directory / "daemon.log"

    @property
    def state(self) -> Path:
        """The API's objects."""
        return self.directory / "state.db"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.directory / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The learner's way in."""
        return self.directory / "kubeconfig"

    @property
    def run(self) -> Path:
        """Where the daemon mounts its tmpfs; always empty when seen from outside."""
        return self.directory / "run"

    @property
    def logs(self) -> Path:
        """The containers' logs."""
        return self.directory / "logs"
