"""Istio, rendered by istioctl from `clusters/istio/lab.yaml` and applied here: so that all of it can be removed again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import ClusterError, Invalid, NotFound
from labkit.cluster.images.pinning import pinned
from labkit.cluster.providers import Finding, Progress
from labkit.cluster.steps import of

from . import applying
from .checking import injected, refuse_what_fails, until_ok
from .commands import rendered, run
from .evidence import troubles
from .record import Record, Reference
from .removing import remove
from .serverside import dry_run_create
from .shape import PATIENCE, ComponentError, Options, Real
from .sources import Pinned, Sources

_NAMESPACE = "istio-system"
_ROOT_CONFIG_MAP = (
    "istio-ca-root-cert"  # istiod writes one into every namespace, labelled istio.io/config=true
)
_WEBHOOK_SECONDS = 60.0


class Istio(Real):
    """The service mesh: istiod, its definitions and webhooks. Pods of namespaces labelled for it get sidecars."""

    name = "istio"
    title = "Istio"
    extras: Mapping[str, str] = {
        "ambient": "ztunnel on every node instead of sidecars",
        "ingress": "an ingress gateway (a ClusterIP Service: reach it by port-forward)",
    }

    def __init__(self, sources: Sources | None = None) -> None:
        self._sources = sources or Pinned()

    def install(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Render and apply. Raises Refused, and ComponentError with istioctl's words."""
        steps = of(progress)
        steps.begin("Finding istioctl")
        tool = self._sources.tool("istioctl", steps)
        version = options.tag or _version_of(tool)
        refuse_what_fails(cluster, self.name, version, options, steps)
        steps.begin(f"Rendering {self.title} {version}")
        objects = rendered(run(tool, ["manifest", "generate", *self.arguments(options)]))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}}
        if not any(Reference.of(obj) == Reference.of(namespace) for obj in objects):
            objects.insert(0, namespace)
        applying.apply(cluster, self.name, pinned(objects, cluster), steps, version=version, title=self.title)

    def arguments(self, options: Options) -> Iterator[str]:
        """What `istioctl manifest generate` is given: the lab's settings, then the overlays, then hub and tag."""
        files = [self._sources.settings("istio/lab.yaml")]
        files += [self._sources.settings(f"istio/with-{extra}.yaml") for extra in sorted(options.extras)]
        for path in (*files, *options.overlays):
            yield from ("-f", str(path))
        for field, value in (("hub", options.hub), ("tag", options.tag)):
            if value:
                yield from ("--set", f"{field}={value}")

    def wait(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Until istiod runs and its webhooks answer. Raises ComponentError."""
        steps = of(progress)
        record = Record.read(cluster, self.name) or Record(self.name)
        applying.await_workloads(cluster, record, steps, title=self.title, timeout=options.timeout)
        for title, ask in (("injector", _injects), ("validation", _validates)):
            steps.begin(f"Waiting for Istio's {title} to answer")
            until_ok(cluster, ask, [_NAMESPACE], timeout=min(options.timeout, _WEBHOOK_SECONDS))
        steps.end()

    def verify(self, cluster: Cluster) -> Sequence[Finding]:
        """istiod runs, the injector adds a sidecar to a pod, the validator refuses a broken policy."""
        return [_istiod(cluster), _injects(cluster), _validates(cluster)]

    def version(self, cluster: Cluster) -> str | None:
        """What istiod answers, or, while it does not, the tag of its image."""
        found = cluster.get("deployments", "istiod", _NAMESPACE)
        if found is None:
            return None
        return _asked(cluster) or _tag(found["spec"]["template"]["spec"]["containers"][0]["image"])

    def uninstall(self, cluster: Cluster, progress: Progress, timeout: float = PATIENCE) -> Sequence[str]:
        """Remove the control plane, the definitions with every policy of theirs, and the root certificates in all namespaces."""
        record = Record.read(cluster, self.name)
        if record is None:
            raise ComponentError(
                "Istio was not installed by labkit, so labkit does not remove it. `istioctl uninstall --purge` does."
            )
        left = list(_meshed(cluster))
        remove(cluster, record, of(progress), title=self.title, grown=_grown(cluster), timeout=timeout)
        if not left:
            return []
        names = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
        return [
            f"These pods keep their sidecars until they are made anew: {names}. For a Deployment: kubectl rollout restart."
        ]


def _version_of(tool: Path) -> str:
    said = run(tool, ["version", "--remote=false"], timeout=30)
    found = re.search(r"\d+\.\d+[\w.+-]*", said.stdout)
    if said.code != 0 or found is None:
        raise ComponentError(said.failure() if said.code else f"{tool} does not say which version it is.")
    return found[0]


def _tag(image: str) -> str:
    return image.partition("@")[0].rpartition(":")[2] or "unknown"


def _asked(cluster: Cluster) -> str:
    """istiod's own answer about its version, through the API server; "" when it gives none."""
    path = f"/api/v1/namespaces/{_NAMESPACE}/services/istiod:15014/proxy/version"
    try:
        text = cluster.client.raw("GET", path, timeout=5).decode("utf-8", "replace")
    except ClusterError:
        return ""
    found = re.match(r"v?(\d+\.\d+[\w.]*(-(alpha|beta|rc)[\w.]*)?)", text.strip())
    return found[1] if found else ""


def _istiod(cluster: Cluster) -> Finding:
    title = "istiod runs"
    found = cluster.get("deployments", "istiod", _NAMESPACE)
    if found is None:
        return Finding(title, False, f"there is no Deployment {_NAMESPACE}/istiod", "labkit install istio")
    ready = (found.get("status") or {}).get("readyReplicas", 0)
    why = "; ".join(line.strip() for line in troubles(cluster, [_NAMESPACE])) if not ready else ""
    return Finding(title, bool(ready), why, "" if ready else f"kubectl describe pods -n {_NAMESPACE}")


def _injects(cluster: Cluster) -> Finding:
    return injected(
        cluster,
        title="a pod gets a sidecar",
        proxy="istio-proxy",
        asking={"labels": {"sidecar.istio.io/inject": "true"}},
        injector="istiod",
        namespace=_NAMESPACE,
        missing="the injector left a pod without one that asks for it: its webhook has no certificate yet, or is gone",
    )


def _validates(cluster: Cluster) -> Finding:
    """Offers a policy that Istio's own validation refuses, without keeping it should it be taken."""
    title = "a broken policy is refused"
    policy: dict[str, Any] = {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "labkit-asks", "namespace": "default"},
        # No server reads this from the schema: that a DENY policy needs rules is known to istiod alone.
        "spec": {"action": "DENY"},
    }
    remedy = "kubectl get validatingwebhookconfigurations"
    try:
        dry_run_create(cluster, policy)
    except NotFound:
        return Finding(
            title,
            False,
            "Istio's definitions are missing",
            "labkit install istio",
        )
    except (Invalid, ClusterError) as problem:
        refused = "admission webhook" in str(problem)
        return Finding(title, refused, str(problem), "" if refused else remedy)
    return Finding(title, False, "it was taken: the validation webhook does not work", remedy)


def _grown(cluster: Cluster) -> list[Reference]:
    """What istiod has made outside of its own namespace."""
    found = cluster.list("configmaps", label_selector="istio.io/config=true")
    return [
        Reference("v1", "ConfigMap", one["metadata"]["namespace"], one["metadata"]["name"])
        for one in found
        if one["metadata"]["name"].startswith((_ROOT_CONFIG_MAP, "istio-ca-crl"))
    ]


def _meshed(cluster: Cluster) -> Iterator[str]:
    for pod in cluster.list("pods"):
        spec = pod["spec"]
        names = [one["name"] for one in (*(spec.get("initContainers") or []), *spec["containers"])]
        if "istio-proxy" in names and pod["metadata"]["namespace"] != _NAMESPACE:
            yield f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
