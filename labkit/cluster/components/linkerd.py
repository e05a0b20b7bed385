"""Linkerd, rendered by its own CLI and applied here. Open-source releases are edges by date; edge-26.6.3 is 2.20.

From 2.18 on whoever installs Linkerd first brings the Gateway API's definitions; then definitions, then the control plane.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import ClusterError
from labkit.cluster.images.pinning import pinned
from labkit.cluster.providers import Finding, Progress
from labkit.cluster.steps import Steps, of

from . import applying
from .checking import container_names, injected, refuse_what_fails, until_ok
from .commands import Said, rendered, run
from .record import Record
from .removing import remove
from .shape import PATIENCE, ComponentError, Options, Real, Refused
from .sources import Pinned, Sources

_NAMESPACE = "linkerd"
_PROBE = "linkerd-destination"
_CONFIG = "linkerd-config"
_CREATED_BY = "linkerd.io/created-by"
_CHECK_SECONDS = 120.0
_WEBHOOK_SECONDS = 60.0
_EDGE = re.compile(r"(?:edge|stable)-\d+\.\d+\.\d+")


class Linkerd(Real):
    """The service mesh of small proxies; they come into pods annotated linkerd.io/inject: enabled."""

    name = "linkerd"
    title = "Linkerd"
    extras: Mapping[str, str] = {"viz": "metrics, tap and the dashboard"}

    def __init__(self, sources: Sources | None = None) -> None:
        self._sources = sources or Pinned()

    def needs(self, cluster: Cluster) -> Sequence[str]:  # noqa: ARG002 - the shape of all components
        """The Gateway API, since 2.18."""
        return ("gateway-api",)

    def install(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Check as `linkerd check --pre` does, then apply definitions, control plane and, if asked for, viz."""
        steps = of(progress)
        steps.begin("Finding the linkerd command")
        tool = self._sources.tool("linkerd", steps)
        version = options.tag or _version_of(tool)
        refuse_what_fails(cluster, self.name, version, options, steps)
        there = cluster.get("configmaps", _CONFIG, _NAMESPACE) is not None
        if not there:
            steps.begin("Asking linkerd check --pre")
            _refuse(
                _checked(run(tool, ["check", "--pre", "-o", "json"], cluster=cluster, timeout=_CHECK_SECONDS))
            )
        self._apply(cluster, steps, run(tool, ["install", "--crds"], cluster=cluster), version, "definitions")
        # An install that broke off is gone on with by `upgrade`: it keeps the certificates that `install` would make anew.
        verb = "upgrade" if there else "install"
        self._apply(
            cluster, steps, run(tool, [verb, *self._arguments(options)], cluster=cluster), version, ""
        )
        if "viz" in options.extras:
            self._apply(cluster, steps, run(tool, ["viz", "install"], cluster=cluster), version, "viz")

    def _apply(self, cluster: Cluster, steps: Steps, said: Said, version: str, part: str) -> None:
        objects = pinned(rendered(said), cluster)
        title = f"{self.title} {part}".strip()
        applying.apply(cluster, self.name, objects, steps, version=version, title=title)

    def _arguments(self, options: Options) -> Iterator[str]:
        for path in (self._sources.settings("linkerd/lab.yaml"), *options.overlays):
            yield from ("--values", str(path))
        if options.hub:
            yield from ("--registry", options.hub)
        if options.tag:
            yield from ("--set", f"linkerdVersion={options.tag}")

    def wait(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Until the control plane runs and the injector answers. Raises ComponentError."""
        steps = of(progress)
        record = Record.read(cluster, self.name) or Record(self.name)
        applying.await_workloads(cluster, record, steps, title=self.title, timeout=options.timeout)
        steps.begin("Waiting for the proxy injector to answer")
        until_ok(cluster, _injects, record.namespaces(), timeout=min(options.timeout, _WEBHOOK_SECONDS))
        steps.end()

    def verify(self, cluster: Cluster) -> Sequence[Finding]:
        """The injector adds a proxy to a pod; and what `linkerd check` finds, where the command is at hand."""
        found = [_injects(cluster)]
        try:
            tool = self._sources.tool("linkerd")
            said = run(tool, ["check", "-o", "json"], cluster=cluster, timeout=_CHECK_SECONDS)
        except ClusterError as problem:
            return [*found, Finding("linkerd check was asked", True, f"it was not: {problem}")]
        return [*found, *_checked(said)]

    def version(self, cluster: Cluster) -> str | None:
        """What the CLI wrote onto the control plane, or what upstream's chart labels it with."""
        found = cluster.get("deployments", _PROBE, _NAMESPACE)
        if found is None:
            return None
        metadata = found["metadata"]
        words = (
            f"{(metadata.get('annotations') or {}).get(_CREATED_BY, '')}"
            f" {(metadata.get('labels') or {}).get('app.kubernetes.io/version', '')}"
        )
        match = _EDGE.search(words)
        return match[0] if match else words.split()[-1] if words.split() else "unknown"

    def uninstall(self, cluster: Cluster, progress: Progress, timeout: float = PATIENCE) -> Sequence[str]:
        """Remove viz, control plane and definitions with every policy of theirs."""
        record = Record.read(cluster, self.name)
        if record is None:
            raise ComponentError(
                "Linkerd was not installed by labkit, so labkit leaves it. `linkerd uninstall | kubectl delete -f -` removes it."
            )
        left = list(_meshed(cluster, record.namespaces()))
        remove(cluster, record, of(progress), title=self.title, timeout=timeout)
        if not left:
            return []
        names = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
        return [
            f"These pods keep their proxies until they are made anew: {names}. For a Deployment: kubectl rollout restart."
        ]


def _version_of(tool: Path) -> str:
    said = run(tool, ["version", "--client", "--short"], timeout=30)
    found = _EDGE.search(said.stdout)
    if said.code != 0 or found is None:
        raise ComponentError(said.failure() if said.code else f"{tool} does not say which version it is.")
    return found[0]


def _checked(said: Said) -> list[Finding]:
    """What `linkerd check -o json` says, one finding per failed check and one for all that hold. Raises ComponentError."""
    try:
        answer: Mapping[str, Any] = json.loads(said.stdout)
        checks = [
            (category["categoryName"], one)
            for category in answer["categories"]
            for one in category.get("checks") or []
        ]
    except (ValueError, KeyError, TypeError):
        raise ComponentError(
            said.failure() if said.code else f"`{said.command}` said nothing that can be read."
        ) from None
    failed = [(where, one) for where, one in checks if one.get("result") == "error"]
    warned = [one for _, one in checks if one.get("result") == "warning"]
    good = len(checks) - len(failed) - len(warned)
    summary = f"{good} checks hold" + (f", {len(warned)} warn" if warned else "")
    return [Finding("linkerd check", not failed, summary)] * (not failed) + [
        Finding(
            f"{where}: {one.get('description', '')}",
            False,
            str(one.get("error", "")),
            str(one.get("hint", "")),
        )
        for where, one in failed
    ]


def _refuse(findings: Sequence[Finding]) -> None:
    failed = [one for one in findings if not one.ok]
    if failed:
        lines = [f"  {one.title}: {one.explanation} {one.remedy}".rstrip() for one in failed]
        raise Refused("\n".join(["Linkerd cannot work on this cluster, says linkerd check --pre:", *lines]))


def _injects(cluster: Cluster) -> Finding:
    return injected(
        cluster,
        title="a pod gets a proxy",
        proxy="linkerd-proxy",
        asking={"annotations": {"linkerd.io/inject": "enabled"}},
        injector="linkerd-proxy-injector",
        namespace="linkerd",
        missing="the injector left a pod without one that asks for it",
    )


def _meshed(cluster: Cluster, own: Sequence[str]) -> Iterator[str]:
    for pod in cluster.list("pods"):
        if "linkerd-proxy" in container_names(pod) and pod["metadata"]["namespace"] not in own:
            yield f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
