"""Calico by its operator, on a cluster made without a network of its own. The nodes are ready when it is.

The order of the manifests is that of `clusters/components.toml` (it differs from version to version: 3.29 has the definitions in
tigera-operator.yaml, 3.30 in operator-crds.yaml, 3.32 in v1_crd_projectcalico_org.yaml).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import NotFound, WaitTimeout
from labkit.cluster.images.pinning import pinned
from labkit.cluster.providers import Finding, Progress
from labkit.cluster.steps import of
from labkit.cluster.waiting import Condition
from labkit.policy import yamlseam

from . import applying
from .checking import refuse_what_fails
from .record import Record, Reference
from .removing import remove
from .shape import PATIENCE, ComponentError, Options, Real, Refused
from .sources import Pinned, Sources

_OPERATOR = "operator.tigera.io/v1"
_KEPT = (
    "Installation",
    "APIServer",
)  # of custom-resources.yaml; Goldmane and Whisker watch flows, and cost a lab too much
_NAMESPACES = ("calico-system", "calico-apiserver", "tigera-operator")
_POLICY_SYNC = (
    "/var/run/nodeagent"  # where Felix tells application layer policy; upstream's instructions use this path
)


class Calico(Real):
    """A cluster's network, with policies of its own besides Kubernetes': tiers, global policies, staged policies."""

    name = "calico"
    title = "Calico"
    extras: Mapping[str, str] = {
        "alp": "Felix gives policies to application layer policy (the proxies' side comes with Istio)"
    }

    def __init__(self, sources: Sources | None = None) -> None:
        self._sources = sources or Pinned()

    def install(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Apply definitions, operator, and what the operator shall make. Raises Refused on a cluster that has a network."""
        steps = of(progress)
        if Record.read(cluster, self.name) is None:
            _refuse_another_network(cluster)
        steps.begin(f"Finding {self.title}'s manifests")
        texts = self._sources.manifests(self.name, steps)
        refuse_what_fails(cluster, self.name, texts.version, options, steps)
        objects = [obj for file, text in texts.files for obj in yamlseam.load_plain(text, file)]
        fitted = [_fitted(obj, pod_subnet(cluster), options) for obj in objects if _wanted(obj)]
        applying.apply(
            cluster, self.name, pinned(fitted, cluster), steps, version=texts.version, title=self.title
        )

    def wait(self, cluster: Cluster, progress: Progress, options: Options) -> None:
        """Until the operator says that all is available and every node is ready. Raises ComponentError."""
        steps = of(progress)
        record = Record.read(cluster, self.name) or Record(self.name)
        spaces = [*record.namespaces(), *_NAMESPACES]
        applying.await_workloads(cluster, record, steps, title=self.title, timeout=options.timeout)
        try:
            steps.begin("Waiting for the operator to set up Calico")
            for name in self._reported(record):
                steps.note(name)
                cluster.wait("tigerastatuses", name, condition="Available", timeout=options.timeout)
            if "alp" in options.extras:
                steps.begin("Letting Felix serve application layer policy")
                _serve_application_layer_policy(cluster)
            steps.begin("Waiting for every node to be ready")
            cluster.wait("nodes", condition="ready", timeout=options.timeout)
        except WaitTimeout as late:
            said = _degraded(cluster)
            text = applying.explained(cluster, "Calico does not get ready.", late, dict.fromkeys(spaces))
            raise ComponentError("\n".join([text, *said])) from None
        steps.end()

    def _reported(self, record: Record) -> list[str]:
        """What the operator reports on, by what it was told to make."""
        kinds = {one.kind for one in record.objects}
        return ["calico"] + (["apiserver"] if "APIServer" in kinds else [])

    def verify(self, cluster: Cluster) -> Sequence[Finding]:
        """The operator has no complaint, an agent is ready on every node. Whether policies are enforced only traffic tells."""
        return [_operator(cluster), _agents(cluster)]

    def version(self, cluster: Cluster) -> str | None:
        """What the operator says it has made, or what an agent was started from."""
        found = _installation(cluster)
        if found is None:
            agents = cluster.get("daemonsets", "calico-node", "kube-system")  # installed by manifest alone
            return None if agents is None else _tag(agents)
        return str((found.get("status") or {}).get("calicoVersion", "unknown")).removeprefix("v")

    def uninstall(self, cluster: Cluster, progress: Progress, timeout: float = PATIENCE) -> Sequence[str]:
        """Have the operator take down what it made, then remove it and the definitions. The cluster is without a network then."""
        record = Record.read(cluster, self.name)
        if record is None:
            raise ComponentError(
                "Calico was not installed by labkit, so labkit leaves it: pods would lose their network."
            )
        made = _made_by_the_operator(cluster)
        remove(cluster, record, of(progress), title=self.title, grown=made, timeout=timeout)
        note = (
            "The cluster has no network now, and pods that run keep what they had. Calico leaves routes, interfaces and"
            " /etc/cni/net.d on the nodes: make the cluster anew to be rid of those."
        )
        return [note]


def pod_subnet(cluster: Cluster) -> str:
    """The addresses that the cluster's pods get, as it was made; "" when it does not say."""
    found = cluster.get("configmaps", "kubeadm-config", "kube-system")
    text = (found or {}).get("data", {}).get("ClusterConfiguration", "")
    for document in yamlseam.load_plain(text) if text else []:
        return str((document.get("networking") or {}).get("podSubnet") or "")
    return ""


def _serve_application_layer_policy(cluster: Cluster) -> None:
    change = {"spec": {"policySyncPathPrefix": _POLICY_SYNC}}
    # By Calico's own API server where there is one; the definitions behind it serve the same object.
    for kind in ("felixconfigurations.projectcalico.org", "felixconfigurations.crd.projectcalico.org"):
        try:
            cluster.patch(kind, "default", change)
        except NotFound:
            continue
        return
    raise ComponentError(
        "Calico runs, but has no FelixConfiguration default: application layer policy cannot be turned on."
    )


def _refuse_another_network(cluster: Cluster) -> None:
    """A second network beside the first would leave every pod that runs unreachable. Raises Refused."""
    ready = Condition.named("ready", "Node").holds
    assert ready is not None
    nodes = [node["metadata"]["name"] for node in cluster.list("nodes") if ready(node)]
    if not nodes:
        return
    agents = [one["metadata"]["name"] for one in cluster.list("daemonsets", "kube-system")]
    known = ", ".join(name for name in agents if name != "kube-proxy") or "unknown"
    raise Refused(
        f"Calico is not installed: this cluster has a network already ({known}), for its nodes are ready"
        f" ({', '.join(nodes)}). Calico has to come first. Make a cluster without a network of its own:\n"
        "  labkit up calico --provider kind --config calico\n"
        "  labkit install calico --cluster calico"
    )


def _wanted(obj: Mapping[str, Any]) -> bool:
    return obj["apiVersion"] != _OPERATOR or obj["kind"] in _KEPT


def _fitted(obj: Mapping[str, Any], subnet: str, options: Options) -> dict[str, Any]:
    """The Installation with the pod addresses that the cluster was made with, and another registry if one is asked for."""
    if obj["apiVersion"] != _OPERATOR or obj["kind"] != "Installation":
        return dict(obj)
    spec = dict(obj.get("spec") or {})
    if options.hub:
        spec["registry"] = options.hub.rstrip("/") + "/"
    network = dict(spec.get("calicoNetwork") or {})
    pools = [dict(one) for one in network.get("ipPools") or []]
    for pool, part in zip(pools, filter(None, subnet.split(",")), strict=False):
        pool["cidr"] = part
    if pools:
        spec["calicoNetwork"] = network | {"ipPools": pools}
    return {**obj, "spec": spec}


def _installation(cluster: Cluster) -> dict[str, Any] | None:
    """What the operator was told and has made; asked by its path, since most clusters have no such kind to be found."""
    return applying.find(cluster, Reference(_OPERATOR, "Installation", "", "default"))


def _statuses(cluster: Cluster) -> list[dict[str, Any]]:
    """The operator's reports. Raises NotFound where there is no operator."""
    listed = cluster.client.request("GET", f"/apis/{_OPERATOR}/tigerastatuses")
    return [dict(one) for one in listed.get("items") or []]


def _tag(daemon_set: Mapping[str, Any]) -> str:
    image = str(daemon_set["spec"]["template"]["spec"]["containers"][0]["image"])
    return image.partition("@")[0].rpartition(":")[2].removeprefix("v") or "unknown"


def _operator(cluster: Cluster) -> Finding:
    title = "the operator has no complaint"
    try:
        statuses = _statuses(cluster)
    except NotFound:
        return Finding(title, True, "Calico was installed without its operator")
    bad = _degraded(cluster)
    names = ", ".join(one["metadata"]["name"] for one in statuses)
    return Finding(
        title, not bad and bool(statuses), "; ".join(bad) or f"available: {names}", "kubectl get tigerastatus"
    )


def _degraded(cluster: Cluster) -> list[str]:
    """What the operator says of what is not available."""
    try:
        statuses = _statuses(cluster)
    except NotFound:
        return []
    found = []
    for one in statuses:
        conditions = {c["type"]: c for c in (one.get("status") or {}).get("conditions") or []}
        if conditions.get("Available", {}).get("status") == "True":
            continue
        words = [
            conditions[kind].get("message", "") for kind in ("Degraded", "Progressing") if kind in conditions
        ]
        found.append(
            f"  the operator on {one['metadata']['name']}: {next(filter(None, words), 'not available')}"
        )
    return found


def _agents(cluster: Cluster) -> Finding:
    title = "an agent is ready on every node"
    nodes = len(cluster.list("nodes"))
    for namespace in ("calico-system", "kube-system"):
        found = cluster.get("daemonsets", "calico-node", namespace)
        if found is not None:
            ready = (found.get("status") or {}).get("numberReady", 0)
            why = f"{ready} of {nodes} nodes"
            return Finding(
                title, ready >= nodes, why, "" if ready >= nodes else f"kubectl describe pods -n {namespace}"
            )
    return Finding(title, False, "there is no DaemonSet calico-node", "labkit install calico")


def _made_by_the_operator(cluster: Cluster) -> Iterable[Reference]:
    """What is not in a manifest: the operator's namespaces, its roles and its API service."""
    found = [Reference("v1", "Namespace", "", name) for name in _NAMESPACES]
    kinds = (
        "clusterroles", "clusterrolebindings", "apiservices.apiregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io", "customresourcedefinitions.apiextensions.k8s.io",
    )  # fmt: skip
    for kind in kinds:
        found += [Reference.of(one) for one in cluster.list(kind) if _is_calico(one["metadata"]["name"])]
    return found


def _is_calico(name: str) -> bool:
    return name.startswith(("calico-", "tigera-")) or name.endswith(
        ("projectcalico.org", ".operator.tigera.io")
    )
