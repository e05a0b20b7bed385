"""EndpointSlices for Endpoints that somebody wrote by hand, so that a Service without a selector works
as well.

Upstream: k8s.io/endpointslice's sibling pkg/controller/endpointslicemirroring.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.objects import key_of
from labkit.pocket.controllers.backends import HEADLESS
from labkit.pocket.controllers.endpoints import MANAGED_BY, SERVICE_NAME
from labkit.pocket.controllers.ownership import controller_reference
from labkit.pocket.controllers.reconcile import Key, Obj, Reconciler, Seen, itself

_SLICES = "endpointslices.discovery.k8s.io"
_MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
_NOT_COPIED = frozenset(
    {
        "endpoints.kubernetes.io/last-change-trigger-time",
        "kubectl.kubernetes.io/last-applied-configuration",
    }
)


async def run(api: Api) -> None:
    """Work until cancelled."""
    reconciler = Reconciler(api, "endpoint slice mirroring", lambda key: reconcile(api, key))
    reconciler.watch("endpoints", itself)
    reconciler.watch("services", itself)
    reconciler.watch(_SLICES, _of_slice)
    await reconciler.run()


def _of_slice(seen: Seen) -> Iterable[Key]:
    labels = seen.object["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY) != _MANAGER or not labels.get(SERVICE_NAME):
        return ()
    return ((seen.object["metadata"]["namespace"], labels[SERVICE_NAME]),)


def reconcile(api: Api, key: Key) -> None:
    """Write the slices of one Endpoints object."""
    namespace, name = key
    selector = f"{SERVICE_NAME}={name},{MANAGED_BY}={_MANAGER}"
    existing = api.list(_SLICES, namespace, label_selector=selector)
    wanted = _wanted(api, namespace, name)
    by_shape = {_shape(found): found for found in existing}
    try:
        for obj in wanted:
            found = by_shape.pop(_shape(obj), None)
            if found is None:
                api.create(_SLICES, obj, namespace)
            else:
                _update(api, found, obj)
        for left in by_shape.values():
            api.delete(_SLICES, left["metadata"]["name"], namespace)
    except ApiError as error:
        if error.reason != "Forbidden":  # the namespace goes, and this with it
            raise


def _shape(obj: Obj) -> str:
    """What makes a slice the same slice: its family and ports."""
    return f"{obj['addressType']} {obj.get('ports') or []}"


def _update(api: Api, found: Obj, wanted: Obj) -> None:
    def change(copy: Obj) -> Obj:
        copy["endpoints"] = wanted["endpoints"]
        copy["metadata"]["labels"] = wanted["metadata"]["labels"]
        return copy

    namespace, name = key_of(found)
    api.modify(_SLICES, name, namespace, change)


def _wanted(api: Api, namespace: str, name: str) -> list[Obj]:
    """The slices that the Endpoints ask for; none when they are a controller's or not wanted."""
    endpoints = api.find("endpoints", name, namespace)
    service = api.find("services", name, namespace)
    if endpoints is None or service is None or service["spec"].get("selector"):
        return []
    metadata = endpoints["metadata"]
    labels = dict(metadata.get("labels") or {})
    if labels.get(SKIP) == "true" or metadata.get("deletionTimestamp"):
        return []
    labels.pop(HEADLESS, None)
    labels |= {SERVICE_NAME: name, MANAGED_BY: _MANAGER}
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in _NOT_COPIED}
    result = []
    for subset in endpoints.get("subsets") or ():
        ports = [{"name": "", "protocol": "TCP", **port} for port in subset.get("ports") or ()]
        families: dict[str, list[Obj]] = {}
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                family = f"IPv{ip_address(address['ip']).version}"
                families.setdefault(family, []).append(_endpoint(address, ready=ready))
        result += [
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "generateName": f"{name}-",
                    "namespace": namespace,
                    "labels": labels,
                    "annotations": annotations,
                    "ownerReferences": [controller_reference(endpoints)],
                },
                "addressType": family,
                "endpoints": found,
                "ports": ports,
            }
            for family, found in families.items()
        ]
    return result


def _endpoint(address: Obj, *, ready: bool) -> Obj:
    endpoint: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint
