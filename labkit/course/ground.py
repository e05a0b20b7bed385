"""The cluster that a lab stands on: trying flows there, and what is known of its network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from labkit.course.enforcement import Enforcement, Finding
from labkit.course.stage import Stage
from labkit.course.trying import PATIENCE, try_flows
from labkit.course.violations import Observed
from labkit.policy import Flow


class Ground:
    """A cluster, running or on paper. `memory`: the file where findings about networks are kept.

    `network`: what is known of a running cluster's network; None on paper. Errors are the cluster's.
    """

    def __init__(self, cluster: Any, memory: Path) -> None:
        self.cluster = cluster
        self.network = Enforcement(cluster, memory) if cluster.live else None

    def install(self, stage: Stage, say: Callable[[str], None]) -> Finding | None:
        """Install the demo of a stage; meanwhile prove, for a chapter about policies, that the network enforces them."""
        if self.network is None or not stage.chapter.needs_enforcement:
            stage.install()
            return None
        with self.network.trial() as finding:
            stage.put_up()
            found = finding(say)
        stage.await_ready()
        return found

    @property
    def unenforced(self) -> Finding | None:
        """What is remembered of a network that enforces nothing; None where it does, or where nobody knows."""
        finding = self.network.finding() if self.network is not None else None
        return finding if finding is not None and finding.open else None

    def probe(self, flows: Iterable[Flow]) -> Mapping[Flow, Observed]:
        """What the cluster does with flows, once its network has caught up with the policies; nothing on paper."""
        wanted = list(flows)
        if not wanted or not self.cluster.live:
            return {}
        look = self.cluster.snapshot
        patience = PATIENCE if self.unenforced is None else 0.0
        return try_flows(self.probe_once, look(), lambda _: wanted, snapshot=look, patience=patience)[1]

    def probe_once(self, flows: Iterable[Flow]) -> Mapping[Flow, Observed]:
        """What the cluster does with flows at this moment."""
        from labkit.traffic import probe

        found: Mapping[Flow, Observed] = probe(self.cluster, list(flows))
        return found
