"""What a new cluster begins with: the four namespaces, the Service `kubernetes`, and kube-dns.

What exists is kept, so that a learner's edits survive a restart; what has been deleted comes back, as
kube-apiserver and kubeadm do for the first two.
"""

from __future__ import annotations

import asyncio
import logging
from importlib import resources
from string import Template

import yaml

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.controllers.cluster import ClusterFacts
from labkit.pocket.controllers.reconcile import Obj

log = logging.getLogger(__name__)

NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")
_EVERY = 10.0


def bootstrap(api: Api, facts: ClusterFacts) -> None:
    """Create what is missing. Harmless when repeated."""
    # `default` comes last: while it is missing the cluster has not been begun, or not to the end.
    is_new = api.find("namespaces", NAMESPACES[-1]) is None
    for name in NAMESPACES:
        if is_new and name == NAMESPACES[-1]:
            for obj in _kube_dns(facts):
                _ensure(api, obj)
        _ensure(api, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    _ensure_api_service(api, facts)


async def run(api: Api, facts: ClusterFacts) -> None:
    """Bring back what must be there when somebody has deleted it (`kubectl delete all --all`), as kube-apiserver
    does every ten seconds."""
    while True:
        await asyncio.sleep(_EVERY)
        try:
            bootstrap(api, facts)
        except ApiError as error:
            log.warning("what every cluster has could not be kept: %s", error.message)


def _ensure(api: Api, obj: Obj) -> None:
    resource = api.resource_for(obj["apiVersion"], obj["kind"])
    metadata = obj["metadata"]
    if api.find(resource, metadata["name"], metadata.get("namespace")) is not None:
        return
    try:
        api.create(resource, obj, metadata.get("namespace"))
    except ApiError as error:
        log.error("%s %s could not be created: %s", obj["kind"], metadata["name"], error.message)


def _kube_dns(facts: ClusterFacts) -> list[Obj]:
    text = (resources.files(__package__) / "kube-dns.yaml").read_text(encoding="utf-8")
    loader = getattr(
        yaml, "CSafeLoader", yaml.SafeLoader
    )  # the one in C is ten times faster, where it is built
    filled = Template(text).substitute(domain=facts.domain, dns_service_ip=facts.dns_service_ip)
    return list(yaml.load_all(filled, Loader=loader))


def _ensure_api_service(api: Api, facts: ClusterFacts) -> None:
    """The Service `kubernetes` and where it leads: the API's port on the node
    (pkg/controlplane/reconcilers)."""
    labels = {"component": "apiserver", "provider": "kubernetes"}
    metadata = {"name": "kubernetes", "namespace": "default"}
    _ensure(
        api,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**metadata, "labels": labels},
            "spec": {
                "clusterIP": facts.api_service_ip,
                "ports": [
                    {"name": "https", "port": 443, "protocol": "TCP", "targetPort": facts.api_port},
                ],
                "sessionAffinity": "None",
                "type": "ClusterIP",
            },
        },
    )
    port = {"name": "https", "port": facts.api_port, "protocol": "TCP"}
    _keep(
        api,
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                **metadata,
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
            },
            "subsets": [{"addresses": [{"ip": facts.node_ip}], "ports": [port]}],
        },
    )
    _keep(
        api,
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [facts.node_ip], "conditions": {"ready": True}}],
            "ports": [port],
        },
    )


def _keep(api: Api, obj: Obj) -> None:
    """Create it, or bring it back to what it must say: nothing works in a cluster where this is wrong."""
    metadata = obj["metadata"]
    resource = api.resource_for(obj["apiVersion"], obj["kind"])
    if api.find(resource, metadata["name"], metadata["namespace"]) is None:
        _ensure(api, obj)
        return

    def change(copy: Obj) -> Obj:
        copy["metadata"]["labels"] = metadata["labels"]
        return {**copy, **{key: value for key, value in obj.items() if key != "metadata"}}

    api.modify(resource, metadata["name"], metadata["namespace"], change)
