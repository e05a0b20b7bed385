"""Components of a cluster that has counterparts of them built in: turned on and off by an object, instead of being installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import WaitTimeout
from labkit.cluster.providers import Finding, Progress
from labkit.cluster.steps import of

from .shape import PATIENCE, Component, ComponentError, Missing, Options

_API_VERSION = "pocket.labkit.dev/v1"
_KIND = "Component"
_RESOURCE = "components.pocket.labkit.dev"
_PATIENCE = 60.0  # seconds until what is built in has to run


class Embedded:
    """A component that is the cluster's own where it serves components of its own, and the real one elsewhere."""

    def __init__(self, real: Component) -> None:
        self._real = real
        self.name = real.name
        self.title = real.title
        self.extras: Mapping[str, str] = real.extras

    def embedded(self, cluster: Cluster) -> bool:
        """Whether the cluster has components of its own."""
        return _serves(cluster)

    def needs(self, cluster: Cluster) -> Sequence[str]:
        """Nothing where it is built in."""
        return () if _serves(cluster) else self._real.needs(cluster)

    def remarks(self, cluster: Cluster) -> Sequence[str]:
        """What the built-in one stands in for."""
        if not _serves(cluster):
            return self._real.remarks(cluster)
        said = ((cluster.get(_RESOURCE, self.name) or {}).get("status") or {}).get("standsInFor")
        return [f"It stands in for {said}"] if said else []

    def install(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Turn it on, or install it. Raises Missing where the cluster has no counterpart of it."""
        if not _serves(cluster):
            self._real.install(cluster, progress, options)
            return
        steps = of(progress)
        if options.extras:
            steps.warn(
                f"This cluster's own {self.title} has no optional parts; left out: {', '.join(sorted(options.extras))}."
            )
        steps.begin(f"Turning on this cluster's own {self.title}")
        cluster.apply({"apiVersion": _API_VERSION, "kind": _KIND, "metadata": {"name": self.name}})

    def wait(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Until it is ready. Raises Missing, ComponentError with what the cluster says about it."""
        if not _serves(cluster):
            self._real.wait(cluster, progress, options)
            return
        of(progress).begin(f"Waiting for {self.title}")
        try:
            [found] = cluster.wait(
                _RESOURCE, self.name, condition=_decided, timeout=min(options.timeout, _PATIENCE)
            )
        except WaitTimeout:
            found = cluster.get(_RESOURCE, self.name) or {}
        ready = _ready(found)
        if ready.get("status") == "True":
            return
        if ready.get("reason") in _NEVER:
            cluster.delete(_RESOURCE, self.name, wait=None)  # it would promise something for ever
            raise Missing(_no_counterpart(self.title, str(ready.get("message", ""))))
        raise ComponentError(
            f"{self.title} does not get ready: {ready.get('message') or 'the cluster says nothing about it'}"
        )

    def verify(self, cluster: Cluster) -> Sequence[Finding]:
        """What the cluster says about it."""
        if not _serves(cluster):
            return self._real.verify(cluster)
        found = cluster.get(_RESOURCE, self.name)
        if found is None:
            return [Finding(f"{self.title} is turned on", False, "it is not", f"labkit install {self.name}")]
        ready = _ready(found)
        return [
            Finding(f"{self.title} is ready", ready.get("status") == "True", str(ready.get("message", "")))
        ]

    def version(self, cluster: Cluster) -> str | None:
        """The version that the built-in one goes by, or that is installed."""
        if not _serves(cluster):
            return self._real.version(cluster)
        found = cluster.get(_RESOURCE, self.name)
        if found is None or _ready(found).get("status") != "True":
            return None
        return str((found.get("status") or {}).get("version") or "built in").removeprefix("v")

    def uninstall(self, cluster: Cluster, progress: Progress, timeout: float = PATIENCE) -> Sequence[str]:
        """Turn it off, or remove it."""
        if not _serves(cluster):
            return self._real.uninstall(cluster, progress, timeout)
        of(progress).begin(f"Turning off this cluster's own {self.title}")
        if not cluster.delete(_RESOURCE, self.name, wait=timeout):
            raise ComponentError(f"{self.title} is not turned on.")
        return []


#: Reasons of a condition that no waiting mends.
_NEVER = ("Unknown", "NotEmbedded")


def _serves(cluster: Cluster) -> bool:
    return cluster.kinds.known(_API_VERSION, _KIND) is not None


def _ready(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == "Ready"), {})


def _decided(obj: Mapping[str, Any]) -> bool:
    ready = _ready(obj)
    return ready.get("status") == "True" or ready.get("reason") in _NEVER


def _no_counterpart(title: str, message: str) -> str:
    said = f": {message}" if message else ""
    return (
        f"This cluster has no counterpart of {title} built in{said}."
        " Take a cluster that it can be installed into: labkit up NAME --provider kind"
    )
