"""Providers make, find and delete clusters; above this folder nobody knows which one made the cluster at hand.

A provider is one module with a class that fulfils `Provider`. A further one is a further module and a line in `_MODULES`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from labkit.cluster.errors import ClusterError

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ProvidedCluster:
    """A cluster as its provider sees it. `detail` has what only this provider knows (a pid, a node image)."""

    provider: str
    name: str
    kubeconfig: Path | None
    context: str
    server: str
    running: bool
    detail: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "provider": self.provider, "name": self.name, "running": self.running, "context": self.context,
            "server": self.server, "kubeconfig": str(self.kubeconfig) if self.kubeconfig else None, **self.detail,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a provider needs of this machine: whether it is there, and the command that would help.

    `advice`: a cluster may well work without it; it is told, and nothing is refused for it.
    """

    title: str
    ok: bool
    explanation: str = ""
    remedy: str = ""
    advice: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """How a cluster is to be made, where its provider has a choice. `chosen` names those that differ from the default."""

    image: str = ""  # of the nodes
    config: str = ""  # a configuration's name or file
    retain: bool = False  # keep what a failed creation leaves, to look into it
    export_kubeconfig: bool = False  # also merge the way in into the learner's own kubeconfig
    offline: bool = (
        False  # give it stand-ins for the images that its nodes lack, so that nothing has to be pulled
    )
    wait: float | None = None  # seconds for the nodes to become ready; None: as the provider thinks right

    @property
    def chosen(self) -> list[str]:
        """The options that somebody set, as the command line spells them."""
        return [
            f"--{one.name.replace('_', '-')}"
            for one in fields(self)
            if getattr(self, one.name) != one.default
        ]

    def none_for(self, provider: str) -> None:
        """For a provider that has no choices. Raises ClusterError naming those that were made."""
        if self.chosen:
            raise ClusterError(
                f"{', '.join(self.chosen)}: the provider {provider} has no such choice. It is there for --provider kind."
            )


DEFAULTS = Options()


class Provider(Protocol):
    """What every provider can do. Errors are ClusterError.

    A `progress` that is `labkit.cluster.steps.Steps` is told more: when a step ends, and news within one.
    """

    name: str

    def create(
        self, name: str, *, progress: Progress | None = None, options: Options = DEFAULTS
    ) -> ProvidedCluster:
        """Make the cluster, or find it when it is there; returns when its API answers.

        Interrupted (Ctrl-C), it leaves nothing half made.
        """

    def find(self, name: str) -> ProvidedCluster | None:
        """The cluster of that name, None when there is none."""

    def list(self) -> Sequence[ProvidedCluster]:
        """All clusters of this provider."""

    def delete(self, name: str) -> None:
        """End the cluster and remove what it has. Raises NotFound."""

    def export_logs(self, name: str, folder: Path) -> Path:
        """Put what the cluster has written about itself into a folder, and return it. Raises NotFound."""

    def doctor(self) -> Sequence[Finding]:
        """What this machine has and lacks for the provider."""


_MODULES = {
    "pocket": "pocket:PocketProvider",
    "kind": "kind:KindProvider",
    "existing": "existing:ExistingProvider",
}


def names() -> list[str]:
    """The providers there are, the default first."""
    return list(_MODULES)


def get(name: str = "pocket") -> Provider:
    """A provider by name. Raises KeyError with the names there are."""
    try:
        module, _, class_name = _MODULES[name].partition(":")
    except KeyError:
        raise KeyError(f'there is no provider "{name}"; there are: {", ".join(_MODULES)}') from None
    found: Provider = getattr(importlib.import_module(f"{__name__}.{module}"), class_name)()
    return found


def connect_existing(kubeconfig: str | Path | None = None, context: str | None = None) -> Cluster:
    """Connect to a cluster that a kubeconfig names, whoever made it.

    LABKIT_ALLOW_ANY_CLUSTER=1 in the environment also admits one that does not look like a lab's. Raises NotALab, NoSuchContext.
    """
    from .existing import ExistingProvider

    allow_any = os.environ.get("LABKIT_ALLOW_ANY_CLUSTER", "") not in ("", "0")
    return ExistingProvider(kubeconfig, allow_any=allow_any).connect(context)
