"""KindProvider: make, find, list and end kind clusters, and ask what this machine lacks for them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml

from labkit.cluster.errors import ClusterError, NotFound
from labkit.cluster.providers import DEFAULTS, Finding, Options, Progress, ProvidedCluster
from labkit.cluster.providers.engine import Engine, NoEngine, find_engine
from labkit.cluster.steps import of

from . import binary, nodes
from .ending import end
from .nodes import Node
from .places import Places, known, places


class KindProvider:
    """Clusters that kind makes. `home`: where their kubeconfigs are kept (default: the lab's home)."""

    name = "kind"

    def __init__(self, home: Path | None = None) -> None:
        self._home = home

    def create(
        self, name: str, *, progress: Progress | None = None, options: Options = DEFAULTS
    ) -> ProvidedCluster:
        """Make the cluster, find it, or start its stopped nodes; see `making`."""
        from . import making

        where = places(name, self._home)
        with of(progress).whole() as steps:
            found = making.make(where, options, steps)
        return self._provided(where, found)

    def find(self, name: str) -> ProvidedCluster | None:
        return next((one for one in self.list() if one.name == name), None)

    def list(self) -> Sequence[ProvidedCluster]:
        """The clusters of this home; without any, no engine is asked. One whose engine is silent is listed as stopped."""
        mine = known(self._home)
        if not mine:
            return []
        try:
            all_nodes = nodes.nodes(find_engine())
        except ClusterError:
            all_nodes = []
        return [
            self._provided(where, [node for node in all_nodes if node.cluster == where.kind_name])
            for where in mine
        ]

    def delete(self, name: str) -> None:
        """End the nodes and remove what the cluster has on this machine, also when only half of it is there."""
        where = places(name, self._home)
        engine: Engine | None = None
        try:
            engine = find_engine()
        except NoEngine as problem:
            if not where.folder.exists():
                raise NotFound(_no_such(name), code=404, reason="NotFound") from None
            raise ClusterError(
                f"The cluster {name} is in an engine that does not answer.\n{problem}"
            ) from None
        with where.changing():
            found = nodes.nodes(engine, where.kind_name)
            if not found and not where.folder.exists():
                raise NotFound(_no_such(name), code=404, reason="NotFound")
            end(where, engine, found)

    def export_logs(self, name: str, folder: Path) -> Path:
        """`kind export logs`: the journals of the nodes, the logs of the containers, and what the pods wrote."""
        where = places(name, self._home)
        engine = find_engine()
        if not nodes.nodes(engine, where.kind_name):
            raise NotFound(_no_such(name), code=404, reason="NotFound")
        kind = binary.find_kind()
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(kind.path), "export", "logs", str(folder), "--name", where.kind_name]
        done = subprocess.run(command, capture_output=True, text=True, env=engine.environment, check=False)
        if where.log.exists():
            (folder / "kind-create.log").write_bytes(where.log.read_bytes())
        if done.returncode:
            # Half of the logs of a node that did not boot are worth having: what there is stays.
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            if not any(folder.iterdir()):
                raise ClusterError(f"kind could not export the logs of {name}: {said[-1]}")
        return folder

    def doctor(self) -> Sequence[Finding]:
        """What a kind cluster needs of this machine; nothing is downloaded for the answer."""
        from . import preflight

        return preflight.findings()

    def _provided(self, where: Places, found: Sequence[Node]) -> ProvidedCluster:
        memory = where.remembered()
        ready = memory.get("state") == "ready"
        return ProvidedCluster(
            self.name, where.name, where.kubeconfig, where.context, _server(where.kubeconfig),
            ready and bool(found) and all(node.running for node in found),
            {
                "nodes": [str(node) for node in found],
                "image": found[0].image if found else memory.get("image", ""),
                "config": memory.get("config", ""),
                "started": memory.get("started"),
            },
        )  # fmt: skip


def _server(path: Path) -> str:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return str(data["clusters"][0]["cluster"]["server"])
    except (OSError, yaml.YAMLError, LookupError, TypeError):
        return ""


def _no_such(name: str) -> str:
    return f"There is no kind cluster called {name}. Start it with: labkit up {name} --provider kind"
