"""What goes wrong with a pocket cluster as a whole, in words for the person who started it."""

from __future__ import annotations


class PocketError(Exception):
    """A cluster could not be started, found or ended: what was seen, why, and what to do."""

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__("\n".join(part for part in (what, why, fix) if part))
        self.what = what
        self.why = why
        self.fix = fix


class NotSupported(PocketError):  # noqa: N818 - it says what is the matter
    """This machine cannot run a pocket cluster as it is; `labkit doctor` says more."""


class NoSuchCluster(PocketError):  # noqa: N818
    """There is no cluster of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no cluster called {name!r}.", fix=f"Start it with: labkit up {name}")
        self.name = name


class StartFailed(Exception):  # noqa: N818
    """A daemon cannot start; `stage` tells which advice to give. It never leaves the daemon's process."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
