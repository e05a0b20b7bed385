"""Whether the learner's cluster enforces policies: proved once for a cluster and its network, remembered, proved anew on doubt.

The trial itself is `labkit.traffic.canary`; what a learner is told where nothing is enforced is `labkit.course.unenforced`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.course.files import write_json

if TYPE_CHECKING:
    from labkit.traffic.canary import Proof

FORMAT = "labkit-networks/1"
_KEPT = 50  # clusters come and go; the oldest are forgotten

Say = Callable[[str], None]


@dataclass(frozen=True)
class Finding:
    """What a trial found. `outcome`: "enforced", "open" or "unknown". The rest as in `labkit.traffic.canary.Proof`."""

    outcome: str
    network: str
    known: bool
    traces: tuple[str, ...]
    why: str
    proved: str

    @property
    def open(self) -> bool:
        """The network was seen to let through what a policy stops."""
        return self.outcome == "open"


class Enforcement:
    """What is known of one running cluster's network. `memory`: the file where findings are kept, by cluster."""

    def __init__(self, cluster: Any, memory: Path) -> None:
        self._cluster = cluster
        self._memory = memory
        self._uid = ""
        self._finding: Finding | None = None

    def finding(self) -> Finding | None:
        """What is remembered of this cluster; None where nothing is. Raises ClusterUnreachable."""
        if self._finding is None:
            kept = self._read().get(self._identity())
            self._finding = _finding(kept) if kept else None
        return self._finding

    @contextmanager
    def trial(self) -> Iterator[Callable[[Say], Finding]]:
        """Begin a trial where one is needed; what the context gives waits for its finding. Meanwhile other things may start.

        A network that enforced is believed as long as it is the same network; one that did not is tried again each time, for
        somebody may have mended it. Raises ClusterUnreachable.
        """
        from labkit.traffic import canary, networks

        known = self.finding()
        believed = known is not None and known.outcome == "enforced"
        if known is not None and believed and known.traces == networks.network(self._cluster).traces:
            yield lambda _say: known
            return
        with canary.Canary(self._cluster) as one:
            yield lambda say: self._keep(one.watch(say=say))

    def prove(self, say: Say = lambda _: None) -> Finding:
        """A trial now, whatever is remembered. Raises ClusterUnreachable."""
        from labkit.traffic import canary

        return self._keep(canary.prove(self._cluster, say=say))

    def _keep(self, proof: Proof) -> Finding:
        found = Finding(
            proof.outcome.value,
            proof.network.name,
            proof.network.known,
            proof.network.traces,
            proof.why,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._finding = found
        if found.outcome != "unknown":  # that a trial could not be made says nothing about the next one
            clusters = self._read() | {self._identity(): asdict(found)}
            newest = sorted(clusters.items(), key=lambda item: str(item[1].get("proved")))[-_KEPT:]
            write_json(self._memory, {"format": FORMAT, "clusters": dict(newest)})
        return found

    def _identity(self) -> str:
        """The uid of kube-system: it stays as long as the cluster does, and no other cluster has it."""
        from labkit.cluster import ClusterError, ClusterUnreachable

        if not self._uid:
            try:
                found = self._cluster.get("Namespace", "kube-system") or {}
                self._uid = found.get("metadata", {}).get("uid", "")
            except ClusterUnreachable:
                raise
            except ClusterError:
                pass  # not allowed to look
            self._uid = self._uid or str(self._cluster.client.server)
        return self._uid

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self._memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            return {}
        clusters = data.get("clusters")
        return dict(clusters) if isinstance(clusters, dict) else {}


def _finding(kept: Mapping[str, Any]) -> Finding | None:
    try:
        return Finding(**{**kept, "traces": tuple(kept["traces"])})
    except (KeyError, TypeError):
        return None  # another version of the lab wrote it
