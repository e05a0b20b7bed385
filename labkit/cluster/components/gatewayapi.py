"""The Gateway API's definitions, from upstream's standard channel. Linkerd needs them, and Istio's waypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labkit.cluster.cluster import Cluster
from labkit.cluster.providers import Finding, Progress
from labkit.cluster.steps import of
from labkit.policy import yamlseam

from . import applying
from .checking import refuse_what_fails
from .record import Record
from .removing import remove
from .shape import PATIENCE, ComponentError, Options, Real
from .sources import Pinned, Sources

_DEFINITION = "httproutes.gateway.networking.k8s.io"
_VERSION = "gateway.networking.k8s.io/bundle-version"
_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


class GatewayApi(Real):
    """Definitions alone: nothing runs."""

    name = "gateway-api"
    title = "Gateway API"
    extras: Mapping[str, str] = {}

    def __init__(self, sources: Sources | None = None) -> None:
        self._sources = sources or Pinned()

    def install(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Apply the standard channel. Raises Refused, ComponentError."""
        steps = of(progress)
        texts = self._sources.manifests(self.name, steps)
        refuse_what_fails(cluster, self.name, texts.version, options, steps)
        objects = [obj for file, text in texts.files for obj in yamlseam.load_plain(text, file)]
        applying.apply(cluster, self.name, objects, steps, version=texts.version, title=self.title)

    def wait(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Until the definitions are served."""
        of(progress).begin(f"Waiting for {self.title}")
        cluster.wait(_DEFINITIONS, _DEFINITION, condition="Established", timeout=options.timeout)

    def verify(self, cluster: Cluster) -> Sequence[Finding]:
        """An HTTPRoute is understood: one without its rules' types is refused."""
        title = "HTTPRoutes are served"
        found = cluster.get(_DEFINITIONS, _DEFINITION)
        served = [one["name"] for one in found["spec"]["versions"] if one.get("served")] if found else []
        why = f"versions {', '.join(served)}" if served else "the definition is missing"
        return [Finding(title, bool(served), why, "" if served else "labkit install gateway-api")]

    def version(self, cluster: Cluster) -> str | None:
        """What the definition itself says."""
        found = cluster.get(_DEFINITIONS, _DEFINITION)
        if found is None:
            return None
        annotations = found["metadata"].get("annotations") or {}
        return str(annotations.get(_VERSION, "unknown")).removeprefix("v")

    def uninstall(self, cluster: Cluster, progress: Progress, timeout: float = PATIENCE) -> Sequence[str]:
        """Remove the definitions, and with them every route and gateway."""
        record = Record.read(cluster, self.name)
        if record is None:
            raise ComponentError(
                "The Gateway API was not installed by labkit, and others may use it: labkit leaves it."
            )
        remove(cluster, record, of(progress), title=self.title, timeout=timeout)
        return []
