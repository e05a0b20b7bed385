"""Whether a cluster's network enforces NetworkPolicy: API servers accept policies also where nobody reads them, so it is proved.

Two pods of our own in a namespace of our own. They reach each other; then a policy closes one of them; then that one must
fall silent, while the other still answers. The namespace is deleted whatever happens.
"""

from __future__ import annotations

import enum
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

from labkit.cluster import Cluster, ClusterError, ClusterUnreachable
from labkit.cluster.images import wait_ready
from labkit.policy import Flow, Verdict

from .images import RESTRICTED, probe_image, with_images_of
from .networks import Network, network
from .probing import probe

PREFIX = "labkit-canary-"
_MINE = {"app.kubernetes.io/managed-by": "labkit", "app.kubernetes.io/component": "canary"}
_LEFT_BEHIND = timedelta(minutes=15)  # older than any trial can last: its process was killed
_PORT = 8080
# An answer comes within milliseconds, and whether the silence is the policy's the open way beside it tells: no need to wait long.
_READING_SECONDS = 0.25
_PAUSE_SECONDS = 0.3
_LATE_SECONDS = 2.0  # most networks have acted by then
_STARTING = "Trying out whether the network enforces policies: waiting for two pods of the lab's own ..."
_CLOSING = "Waiting for the network to act on a policy that closes one of them ..."


class Outcome(enum.StrEnum):
    """What became of the canary."""

    ENFORCED = "enforced"
    OPEN = "open"  # the policy was accepted, and everything went on
    UNKNOWN = "unknown"  # the trial itself could not be made


@dataclass(frozen=True, slots=True)
class Proof:
    """A trial's outcome. `why`: what was seen, or why there was nothing to see. `seconds`: from the policy to the silence."""

    outcome: Outcome
    network: Network
    why: str
    seconds: float = 0.0


class Canary:
    """One trial, as a context: entering sends the pods off, `watch` waits for what becomes of them, leaving cleans up.

    image: what the pods run, agnhost or what takes its arguments (default: `images.probe_image`). Errors of the cluster end in an
    UNKNOWN outcome, but for ClusterUnreachable, which is raised.
    """

    def __init__(self, cluster: Cluster, *, image: str = "") -> None:
        self._cluster = cluster
        self._image = image or probe_image()
        self.namespace = PREFIX + secrets.token_hex(3)
        self._refused: ClusterError | None = None
        self._last: list[Verdict | None] = []
        self._door = Flow(f"{self.namespace}/visitor", f"{self.namespace}/door", _PORT)
        self._control = Flow(f"{self.namespace}/door", f"{self.namespace}/visitor", _PORT)

    def __enter__(self) -> Canary:
        try:
            self._sweep()
            self._cluster.apply([_namespace(self.namespace)])
            pods = [with_images_of(self._cluster, self._pod(name)) for name in ("door", "visitor")]
            self._cluster.apply(pods)
        except ClusterUnreachable:
            raise
        except ClusterError as refused:
            self._refused = refused
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            self._cluster.delete("namespaces", self.namespace, wait=None)
        except ClusterError:
            pass  # it was never made, or the cluster is gone; the next trial sweeps

    def watch(
        self, *, patience: float = 12.0, start: float = 120.0, say: Callable[[str], None] = lambda _: None
    ) -> Proof:
        """The outcome. patience: seconds that the network has to close the door (kindnet takes one or two, pocket none).

        start: seconds for the pods to start, their image's pull included.
        """
        found = network(self._cluster)
        if self._refused is not None:
            return Proof(
                Outcome.UNKNOWN,
                found,
                f"the cluster did not let the lab start two pods of its own: {self._refused}",
            )
        try:
            pods = [self._pod("door"), self._pod("visitor")]
            told = _Once(say)
            wait_ready(
                self._cluster, pods, by_tag=lambda: self._cluster.apply(pods),
                timeout=start, progress=lambda _: told(_STARTING),
            )  # fmt: skip
            if self._until(lambda seen: all(_open(one) for one in seen), patience, equal=1) is None:
                why = "two pods of the lab's own did not reach each other, though no policy of theirs closes them"
                return Proof(Outcome.UNKNOWN, found, why)
            self._cluster.apply([_closed(self.namespace)])
            silent = self._until(
                lambda seen: not _reached(seen[0]) and _open(seen[1]),
                patience,
                equal=2,
                meanwhile=lambda: told(_CLOSING),
            )
        except ClusterUnreachable:
            raise
        except ClusterError as problem:
            return Proof(Outcome.UNKNOWN, found, f"the lab's own two pods could not be tried: {problem}")
        if silent is not None:
            soon = "at once" if silent < 0.1 else f"within {silent:.1f} s"
            why = f"a policy closed a pod of the lab's own {soon}"
            return Proof(Outcome.ENFORCED, found, why, silent)
        if _reached(self._last[0]):
            why = f"a policy that closes a pod was accepted, and {patience:g} s later everybody still reached the pod"
            return Proof(Outcome.OPEN, found, why)
        why = "a policy closed one pod of the lab's own, and the network did not reach the other one either"
        return Proof(Outcome.UNKNOWN, found, why)

    def _until(
        self,
        holds: Callable[[list[Verdict | None]], bool],
        patience: float,
        *,
        equal: int,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> float | None:
        """Try both ways until `holds` for `equal` readings in a row; the seconds to the first of them, None after `patience`."""
        begun = time.monotonic()
        row: list[float] = []
        while True:
            at = time.monotonic() - begun
            seen = probe(
                self._cluster, [self._door, self._control], timeout=_READING_SECONDS, equal=1, most=1
            )
            self._last = [one.verdict for one in seen.values()]
            row = [*row, at] if holds(self._last) else []
            if len(row) >= equal:
                return row[0]
            if at > patience:
                return None
            if not row:
                if at > _LATE_SECONDS:
                    meanwhile()
                time.sleep(_PAUSE_SECONDS)  # nothing tells when a network has read a policy

    def _sweep(self) -> None:
        """Delete what a killed process left behind."""
        before = (datetime.now(UTC) - _LEFT_BEHIND).strftime("%Y-%m-%dT%H:%M:%SZ")
        selector = ",".join(f"{key}={value}" for key, value in _MINE.items())
        for one in self._cluster.list("namespaces", label_selector=selector):
            if one["metadata"]["creationTimestamp"] < before:
                self._cluster.delete("namespaces", one["metadata"]["name"], wait=None)

    def _pod(self, name: str) -> dict[str, Any]:
        """A pod that any namespace admits, and that no mesh takes in."""
        labels = {**_MINE, "labkit": name, "sidecar.istio.io/inject": "false"}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name, "namespace": self.namespace, "labels": labels,
                "annotations": {"linkerd.io/inject": "disabled"},
            },
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "containers": [
                    {
                        "name": name,
                        "image": self._image,
                        "args": ["netexec", f"--http-port={_PORT}"],
                        "ports": [{"containerPort": _PORT}],
                        "securityContext": RESTRICTED,
                    }
                ],
            },
        }  # fmt: skip


class _Once:
    """Tells each line once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._told: set[str] = set()

    def __call__(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._say(line)


def prove(
    cluster: Cluster,
    *,
    image: str = "",
    patience: float = 12.0,
    start: float = 120.0,
    say: Callable[[str], None] = lambda _: None,
) -> Proof:
    """A whole trial, from sending the pods off to cleaning up. Arguments as for Canary. Raises ClusterUnreachable."""
    with Canary(cluster, image=image) as canary:
        return canary.watch(patience=patience, start=start, say=say)


def _open(verdict: Verdict | None) -> bool:
    return verdict is Verdict.OK


def _reached(verdict: Verdict | None) -> bool:
    """Whether a packet arrived, or nothing is known about it."""
    return verdict not in (Verdict.TIMEOUT, Verdict.REFUSED, Verdict.RESET)


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": _MINE}}


def _closed(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed", "namespace": namespace},
        "spec": {"podSelector": {"matchLabels": {"labkit": "door"}}, "policyTypes": ["Ingress"]},
    }
