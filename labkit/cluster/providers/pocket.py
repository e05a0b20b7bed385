"""The pocket provider: clusters that run as one daemon each on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from labkit.cluster.errors import ClusterError, NotFound
from labkit.cluster.steps import of

from . import DEFAULTS, Finding, Options, Progress, ProvidedCluster


class PocketProvider:
    """Wraps `labkit.pocket.lifecycle`. `home`: where the clusters are kept (default: as lifecycle decides)."""

    name = "pocket"

    def __init__(self, home: Path | None = None) -> None:
        self._home = home

    def create(
        self, name: str, *, progress: Progress | None = None, options: Options = DEFAULTS
    ) -> ProvidedCluster:
        from labkit.pocket import errors, lifecycle

        options.none_for(self.name)
        with of(progress).whole() as steps:
            try:
                return self._provided(lifecycle.up(name, home=self._home, progress=steps.begin))
            except errors.PocketError as problem:
                raise ClusterError(str(problem)) from problem

    def find(self, name: str) -> ProvidedCluster | None:
        return next((one for one in self.list() if one.name == name), None)

    def list(self) -> Sequence[ProvidedCluster]:
        from labkit.pocket import lifecycle

        return [self._provided(info) for info in lifecycle.list_clusters(self._home)]

    def delete(self, name: str) -> None:
        from labkit.pocket import errors, lifecycle

        try:
            lifecycle.down(name, home=self._home)
        except errors.NoSuchCluster as problem:
            raise NotFound(str(problem), code=404, reason="NotFound") from None
        except errors.PocketError as problem:
            raise ClusterError(str(problem)) from problem

    def export_logs(self, name: str, folder: Path) -> Path:
        """The daemon's log and those of the containers."""
        from labkit.pocket.places import Places, default_home

        found = self.find(name)
        if found is None:
            raise NotFound(f"There is no pocket cluster called {name}.", code=404, reason="NotFound")
        places = Places(name, self._home or default_home())
        folder.mkdir(parents=True, exist_ok=True)
        if places.log.exists():
            shutil.copy(places.log, folder / places.log.name)
        if places.logs.is_dir():
            shutil.copytree(places.logs, folder / places.logs.name, dirs_exist_ok=True)
        return folder

    def doctor(self) -> Sequence[Finding]:
        """What a pocket cluster needs of the kernel, each thing really tried; the remedy is a shell command."""
        from labkit.pocket import preflight

        return [
            Finding(one.what, one.ok, one.why, one.fix_command or "") for one in preflight.checks(self._home)
        ]

    def _provided(self, info: object) -> ProvidedCluster:
        from labkit.pocket.lifecycle import ClusterInfo

        assert isinstance(info, ClusterInfo)
        return ProvidedCluster(
            self.name, info.name, info.kubeconfig, info.context, info.server, info.running,
            {"pid": info.pid, "created": info.created, "started": info.started},
        )  # fmt: skip
