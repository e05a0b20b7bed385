"""What every namespace has from the start: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`.

Upstream: pkg/controller/serviceaccount/serviceaccounts_controller.go and
pkg/controller/certificates/rootcacertpublisher. Both are made again when somebody deletes them.
"""

from __future__ import annotations

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.controllers.cluster import ClusterFacts
from labkit.pocket.controllers.reconcile import Key, Obj, Reconciler, Seen

CA_CONFIG_MAP = "kube-root-ca.crt"
_ANNOTATION = "kubernetes.io/description"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as "
    "the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
    "Kubernetes clusters."
)


async def run(api: Api, facts: ClusterFacts) -> None:
    """Work until cancelled."""
    reconciler = Reconciler(api, "serviceaccount", lambda key: reconcile(api, facts, key))
    reconciler.watch("namespaces", lambda seen: [("", seen.object["metadata"]["name"])])
    reconciler.watch("serviceaccounts", lambda seen: _namespace_of(seen, "default"))
    reconciler.watch("configmaps", lambda seen: _namespace_of(seen, CA_CONFIG_MAP))
    await reconciler.run()


def _namespace_of(seen: Seen, name: str) -> list[Key]:
    metadata = seen.object["metadata"]
    return [("", metadata["namespace"])] if metadata["name"] == name else []


def reconcile(api: Api, facts: ClusterFacts, key: Key) -> None:
    """See that one namespace has both."""
    _, name = key
    namespace = api.find("namespaces", name)
    if namespace is None or namespace["metadata"].get("deletionTimestamp"):
        return
    if api.find("serviceaccounts", "default", name) is None:
        _create(api, "serviceaccounts", name, {"metadata": {"name": "default"}})
    if facts.ca_certificate:
        _publish(api, facts.ca_certificate, name)


def _publish(api: Api, certificate: str, namespace: str) -> None:
    data = {"ca.crt": certificate}
    found = api.find("configmaps", CA_CONFIG_MAP, namespace)
    if found is None:
        metadata = {"name": CA_CONFIG_MAP, "annotations": {_ANNOTATION: _DESCRIPTION}}
        _create(api, "configmaps", namespace, {"metadata": metadata, "data": data})
    elif found.get("data") != data:

        def change(copy: Obj) -> Obj:
            copy["data"] = data
            return copy

        api.modify("configmaps", CA_CONFIG_MAP, namespace, change)


def _create(api: Api, resource: str, namespace: str, obj: Obj) -> None:
    kind = api.resource(resource).kind
    try:
        api.create(resource, {"apiVersion": "v1", "kind": kind, **obj}, namespace)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
