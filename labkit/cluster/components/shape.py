"""The one shape that all components have, and what travels between them and those who install them."""

from __future__ import annotations

# ruff: noqa: N818 - each says what happened
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import ClusterError
from labkit.cluster.providers import Finding, Progress

#: Seconds that a component has to become ready: images of some hundred megabytes over a slow line.
PATIENCE = 600.0


class ComponentError(ClusterError):
    """A component could not be installed, is broken, or cannot be removed; the message has the pods and events that matter."""


class Refused(ComponentError):
    """A component was not installed, because it cannot work on this cluster: the message has the reason and what to do."""


class Missing(ComponentError):
    """A component is needed that is not there, and that cannot be installed here."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a component is to be installed; the defaults are what the lab's chapters are written for.

    overlays: files laid over the lab's own settings, in the tool's own format (IstioOperator, Helm values); the last wins.
    hub, tag: another registry and another version of the images. extras: parts that are off by default ("ambient", "viz").
    timeout: seconds until it must be ready.
    """

    overlays: tuple[Path, ...] = ()
    hub: str = ""
    tag: str = ""
    extras: frozenset[str] = frozenset()
    timeout: float = PATIENCE

    @classmethod
    def of_environment(cls, name: str, environment: Mapping[str, str] | None = None) -> Options:
        """What the environment says: LABKIT_ISTIO_OVERLAY (files, separated as in PATH), _HUB, _TAG, _WITH (words, by commas)."""
        known = os.environ if environment is None else environment
        prefix = f"LABKIT_{name.upper().replace('-', '_')}_"
        files = [Path(one) for one in known.get(prefix + "OVERLAY", "").split(os.pathsep) if one]
        words = [one.strip() for one in known.get(prefix + "WITH", "").split(",") if one.strip()]
        return cls(
            tuple(files), known.get(prefix + "HUB", ""), known.get(prefix + "TAG", ""), frozenset(words)
        )


class Component(Protocol):
    """Something installed into a cluster that chapters need. Every method may be called again; errors are ClusterError."""

    name: str  # "istio"
    title: str  # "Istio"
    extras: Mapping[str, str]  # optional parts: name and what it is

    def embedded(self, cluster: Cluster) -> bool:
        """Whether this cluster brings components of its own, to be turned on and off; then nothing is installed."""

    def needs(self, cluster: Cluster) -> Sequence[str]:
        """Names of components that must be there first."""

    def remarks(self, cluster: Cluster) -> Sequence[str]:
        """What whoever learns with it should know, such as what stands in for what."""

    def install(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Put it into the cluster, without waiting until it runs. Raises Refused where it cannot work."""

    def wait(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Wait until it serves. Raises ComponentError with what stands in the way."""

    def verify(self, cluster: Cluster) -> Sequence[Finding]:
        """Ask the cluster whether it works; changes nothing that stays."""

    def version(self, cluster: Cluster) -> str | None:
        """The version that the cluster has, whoever installed it; None when it has none."""

    def uninstall(self, cluster: Cluster, progress: Progress, timeout: float = PATIENCE) -> Sequence[str]:
        """Remove everything that `install` brought and what grew out of it; gives notes on what is left to do by hand.

        Raises ComponentError when somebody else installed it.
        """


class Real:
    """What the real components have in common: nothing stands in for them, and most need nothing else."""

    def embedded(self, cluster: Cluster) -> bool:  # noqa: ARG002 - some look at it
        """No: this one is installed."""
        return False

    def needs(self, cluster: Cluster) -> Sequence[str]:  # noqa: ARG002
        """Nothing."""
        return ()

    def remarks(self, cluster: Cluster) -> Sequence[str]:  # noqa: ARG002
        """None."""
        return ()
