"""The `existing` provider: any cluster that a kubeconfig names, if it looks like one that may be played with."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from labkit.cluster.client import Context, read_context
from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import ClusterError, NoSuchContext, NotALab

from . import DEFAULTS, Finding, Options, Progress, ProvidedCluster
from .engine import container_engine

_LAB_PREFIXES = (
    "kind-",
    "k3d-",
    "labkit-",
    "minikube",
    "docker-desktop",
    "rancher-desktop",
    "colima",
    "orbstack",
)


class ExistingProvider:
    """Finds clusters, makes and deletes none.

    allow_any: also take a context that does not look like a lab cluster. A lesson installs applications, cuts their
    traffic and deletes namespaces, so this is only for whoever knows that nothing else lives there.
    """

    name = "existing"

    def __init__(self, kubeconfig: str | Path | None = None, *, allow_any: bool = False) -> None:
        self._kubeconfig = kubeconfig
        self._allow_any = allow_any

    def connect(self, context: str | None = None) -> Cluster:
        """The cluster of a context (default: the current one). Raises NoSuchContext, NotALab."""
        found = read_context(self._kubeconfig, context)
        self._must_be_a_lab(found)
        return Cluster.connect(self._kubeconfig, found.name)

    def create(
        self, name: str, *, progress: Progress | None = None, options: Options = DEFAULTS
    ) -> ProvidedCluster:
        """Takes the context as it is: an existing cluster is not made. Raises NotALab, ClusterUnreachable."""
        options.none_for(self.name)
        cluster = self.connect(name or None)
        version = cluster.version()
        if progress is not None:
            progress(f"Context {cluster.client.context.name} answers with {version}")
        return self._provided(cluster.client.context, running=True)

    def find(self, name: str) -> ProvidedCluster | None:
        try:
            found = read_context(self._kubeconfig, name)
        except NoSuchContext:
            return None
        return self._provided(found, running=_answers(self._kubeconfig, name))

    def list(self) -> Sequence[ProvidedCluster]:
        """The contexts of the kubeconfig that may be used; that they answer is not asked here."""
        from kubernetes import config

        try:
            contexts, _ = config.list_kube_config_contexts(
                str(self._kubeconfig) if self._kubeconfig else None
            )
        except Exception:  # no kubeconfig at all: no clusters
            return []
        found = []
        for one in contexts:
            try:
                context = read_context(self._kubeconfig, one["name"])
            except NoSuchContext:
                continue  # a context whose credentials cannot be read is none that we can use
            if context.name.startswith(("labkit-", "kind-labkit-")):
                continue  # the provider that made it lists it, and can end it
            if self._allow_any or looks_like_a_lab(context):
                found.append(self._provided(context, running=True))
        return found

    def delete(self, name: str) -> None:
        """Refuses: what labkit did not make it does not delete."""
        raise ClusterError(f'labkit did not make the cluster of context "{name}" and does not delete it')

    def export_logs(self, name: str, folder: Path) -> Path:  # noqa: ARG002 - the protocol has it
        """Refuses: where a cluster that labkit did not make keeps its logs is known to whoever made it."""
        raise ClusterError(
            f'labkit did not make the cluster of context "{name}"; its objects: kubectl cluster-info dump --context {name}'
        )

    def doctor(self) -> Sequence[Finding]:
        """Whether the kubeconfig names a cluster that may be used, and whether it answers."""
        try:
            context = read_context(self._kubeconfig)
        except NoSuchContext as problem:
            why = f"{problem}\nA cluster that kind makes would be one."
            return [
                Finding(
                    "a kubeconfig with a current context", False, why, "kind create cluster --name labkit"
                ),
                container_engine(),
            ]
        lab = self._allow_any or looks_like_a_lab(context)
        return [
            Finding("a kubeconfig with a current context", True, f"{context.name} at {context.server}"),
            Finding("it looks like a lab cluster", lab, "" if lab else _refusal(context)),
            Finding("it answers", not lab or _answers(self._kubeconfig, context.name), context.server),
        ]

    def _must_be_a_lab(self, context: Context) -> None:
        if not self._allow_any and not looks_like_a_lab(context):
            raise NotALab(_refusal(context))

    def _provided(self, context: Context, *, running: bool) -> ProvidedCluster:
        path = Path(self._kubeconfig) if self._kubeconfig else None
        return ProvidedCluster(self.name, context.name, path, context.name, context.server, running, {})


def looks_like_a_lab(context: Context) -> bool:
    """Whether a context is named as the tools that make local clusters name theirs, or its server is this machine."""
    if any(name.startswith(_LAB_PREFIXES) for name in (context.name, context.cluster)):
        return True
    host = urlsplit(context.server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _refusal(context: Context) -> str:
    return (
        f'context "{context.name}" at {context.server} does not look like a lab cluster (kind, k3d, minikube, Docker Desktop, '
        "or a server on this machine). Lessons install applications, cut traffic and delete namespaces. If this cluster is "
        "there for that, say so with LABKIT_ALLOW_ANY_CLUSTER=1 in the environment."
    )


def _answers(kubeconfig: str | Path | None, context: str) -> bool:
    try:
        Cluster.connect(kubeconfig, context).version()
    except ClusterError:
        return False
    return True
