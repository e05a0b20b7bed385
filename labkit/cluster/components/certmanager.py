"""cert-manager, from upstream's one manifest: controller, webhook, CA injector and the definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import ClusterError, NotFound
from labkit.cluster.images.pinning import pinned
from labkit.cluster.providers import Finding, Progress
from labkit.cluster.steps import of
from labkit.policy import yamlseam

from . import applying
from .checking import refuse_what_fails, until_ok
from .evidence import troubles
from .record import Record, Reference
from .removing import remove
from .serverside import dry_run_create
from .shape import PATIENCE, ComponentError, Options, Real
from .sources import Pinned, Sources

_NAMESPACE = "cert-manager"
_CONTROLLER = "cert-manager"
_WEBHOOK_SECONDS = (
    90.0  # the CA injector first makes the webhook's certificate and then tells the API server of it
)

# Leader election is in kube-system (upstream's --leader-election-namespace), which stays.
_LEASES = ("cert-manager-controller", "cert-manager-cainjector-leader-election")


class CertManager(Real):
    """Certificates as objects: an Issuer signs, a Certificate asks, a Secret holds the result."""

    name = "cert-manager"
    title = "cert-manager"
    extras: Mapping[str, str] = {}

    def __init__(self, sources: Sources | None = None) -> None:
        self._sources = sources or Pinned()

    def install(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Apply the manifest. Raises Refused, ComponentError."""
        steps = of(progress)
        steps.begin(f"Finding {self.title}'s manifest")
        texts = self._sources.manifests(self.name, steps)
        refuse_what_fails(cluster, self.name, texts.version, options, steps)
        objects = [obj for file, text in texts.files for obj in yamlseam.load_plain(text, file)]
        applying.apply(
            cluster, self.name, pinned(objects, cluster), steps, version=texts.version, title=self.title
        )

    def wait(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Until all Deployments run and the webhook answers, as `cmctl check api` asks it. Raises ComponentError."""
        steps = of(progress)
        record = Record.read(cluster, self.name) or Record(self.name)
        applying.await_workloads(cluster, record, steps, title=self.title, timeout=options.timeout)
        steps.begin("Waiting for the webhook to answer")
        until_ok(cluster, _takes, [_NAMESPACE], timeout=min(options.timeout, _WEBHOOK_SECONDS))
        steps.end()

    def verify(self, cluster: Cluster) -> Sequence[Finding]:
        """The controller runs, a Certificate is taken, one that contradicts itself is refused."""
        return [_controller(cluster), _takes(cluster), _refuses(cluster)]

    def version(self, cluster: Cluster) -> str | None:
        """What upstream's label on the controller says."""
        found = cluster.get("deployments", _CONTROLLER, _NAMESPACE)
        if found is None:
            return None
        labels = found["metadata"].get("labels") or {}
        return str(labels.get("app.kubernetes.io/version", "unknown")).removeprefix("v")

    def uninstall(self, cluster: Cluster, progress: Progress, timeout: float = PATIENCE) -> Sequence[str]:
        """Remove it with all Issuers and Certificates; the Secrets that it has written stay, as they are in use."""
        record = Record.read(cluster, self.name)
        if record is None:
            raise ComponentError(
                "cert-manager was not installed by labkit, so labkit does not remove it."
                " Remove it the way it came: kubectl delete -f its manifest, or helm uninstall."
            )
        kept = cluster.list("secrets", label_selector="controller.cert-manager.io/fao=true")
        secrets = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in kept]
        leases = [Reference("coordination.k8s.io/v1", "Lease", "kube-system", name) for name in _LEASES]
        remove(cluster, record, of(progress), title=self.title, grown=leases, timeout=timeout)
        stays = [name for name in secrets if not name.startswith(f"{_NAMESPACE}/")]
        return [f"These Secrets stay, for whoever uses them: {', '.join(sorted(stays))}."] if stays else []


def _controller(cluster: Cluster) -> Finding:
    title = "the controller runs"
    found = cluster.get("deployments", _CONTROLLER, _NAMESPACE)
    if found is None:
        return Finding(
            title, False, f"there is no Deployment {_NAMESPACE}/{_CONTROLLER}", "labkit install cert-manager"
        )
    ready = bool((found.get("status") or {}).get("readyReplicas", 0))
    why = "" if ready else "; ".join(line.strip() for line in troubles(cluster, [_NAMESPACE]))
    return Finding(title, ready, why, "" if ready else f"kubectl describe pods -n {_NAMESPACE}")


def _certificate(**spec: Any) -> dict[str, Any]:
    """What is offered to the webhook and never kept."""
    base = {"secretName": "labkit-asks", "dnsNames": ["example.test"], "issuerRef": {"name": "none"}}
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "labkit-asks", "namespace": "default"},
        "spec": base | spec,
    }


def _takes(cluster: Cluster) -> Finding:
    title = "a Certificate is taken"
    try:
        dry_run_create(cluster, _certificate())
    except NotFound:
        return Finding(
            title,
            False,
            "the cluster has no Certificate: the definitions are missing",
            "labkit install cert-manager",
        )
    except ClusterError as problem:
        return Finding(
            title, False, str(problem), f"kubectl logs -n {_NAMESPACE} deploy/cert-manager-webhook"
        )
    return Finding(title, True)


def _refuses(cluster: Cluster) -> Finding:
    """A Certificate that asks to be renewed before it is issued: only the webhook knows that this cannot be."""
    title = "a broken Certificate is refused"
    try:
        dry_run_create(cluster, _certificate(duration="2h0m0s", renewBefore="3h0m0s"))
    except ClusterError as problem:
        return Finding(title, "admission webhook" in str(problem), str(problem))
    return Finding(
        title,
        False,
        "it was taken: the validation webhook does not work",
        "kubectl get validatingwebhookconfigurations",
    )
