"""Endpoints and EndpointSlices of Services with a selector: where their traffic goes, as pods come, get
ready and go.

Upstream: pkg/controller/endpoint, k8s.io/endpointslice. Services without a selector are left alone: their
Endpoints or EndpointSlices are somebody else's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.objects import key_of
from labkit.pocket.controllers.backends import (
    HEADLESS,
    Backend,
    Port,
    backends,
    is_headless,
    is_selected,
    selects,
)
from labkit.pocket.controllers.ownership import controller_reference
from labkit.pocket.controllers.reconcile import Key, Obj, Reconciler, Seen, itself

_SLICES = "endpointslices.discovery.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_MANAGER = "endpointslice-controller.k8s.io"
_ENDPOINTS_MANAGED_BY = "endpoints.kubernetes.io/managed-by"
_ENDPOINTS_MANAGER = "endpoint-controller"
_PER_SLICE = 100
_RESERVED = frozenset({SERVICE_NAME, MANAGED_BY, HEADLESS})


async def run(api: Api) -> None:
    """Work until cancelled."""
    reconciler = Reconciler(api, "endpoints", lambda key: reconcile(api, key))
    reconciler.watch("services", itself)
    reconciler.watch("pods", lambda seen: _of_pod(api, seen))
    reconciler.watch("endpoints", lambda seen: _of_endpoints(api, seen))
    reconciler.watch(_SLICES, _of_slice)
    await reconciler.run()


def _of_pod(api: Api, seen: Seen) -> Iterable[Key]:
    namespace = seen.object["metadata"]["namespace"]
    return {
        key_of(service)
        for service in api.list("services", namespace)
        if is_selected(service) and any(selects(service, pod) for pod in seen.states)
    }


def _of_endpoints(api: Api, seen: Seen) -> Iterable[Key]:
    service = api.find("services", seen.object["metadata"]["name"], seen.object["metadata"]["namespace"])
    managed = (seen.object["metadata"].get("labels") or {}).get(_ENDPOINTS_MANAGED_BY) == _ENDPOINTS_MANAGER
    return itself(seen) if managed or (service is not None and is_selected(service)) else ()


def _of_slice(seen: Seen) -> Iterable[Key]:
    labels = seen.object["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY) != _MANAGER or not labels.get(SERVICE_NAME):
        return ()
    return ((seen.object["metadata"]["namespace"], labels[SERVICE_NAME]),)


def reconcile(api: Api, key: Key) -> None:
    """Write one Service's Endpoints and EndpointSlices, where they differ."""
    namespace, name = key
    service = api.find("services", name, namespace)
    if service is None:
        _forget_endpoints(api, namespace, name)
        return  # its slices go with their owner
    if not is_selected(service) or service["metadata"].get("deletionTimestamp"):
        return
    behind = backends(service, api.list("pods", namespace))
    try:
        _write_endpoints(api, service, behind)
        _write_slices(api, service, behind)
    except ApiError as error:
        if error.reason == "Forbidden":
            return  # the namespace goes, and this with it
        raise


# Endpoints


def _forget_endpoints(api: Api, namespace: str, name: str) -> None:
    found = api.find("endpoints", name, namespace)
    if found is None:
        return
    if (found["metadata"].get("labels") or {}).get(_ENDPOINTS_MANAGED_BY) == _ENDPOINTS_MANAGER:
        api.delete("endpoints", name, namespace)


def _write_endpoints(api: Api, service: Obj, behind: Sequence[Backend]) -> None:
    namespace, name = key_of(service)
    labels = dict(service["metadata"].get("labels") or {})
    labels[_ENDPOINTS_MANAGED_BY] = _ENDPOINTS_MANAGER
    labels.pop(HEADLESS, None)
    if is_headless(service):
        labels[HEADLESS] = ""
    wanted = subsets(service, behind)

    def change(copy: Obj) -> Obj | None:
        if (copy["metadata"].get("labels") or {}) == labels and (copy.get("subsets") or []) == wanted:
            return None
        copy["metadata"]["labels"] = labels
        copy.pop("subsets", None)
        if wanted:
            copy["subsets"] = wanted
        return copy

    if api.find("endpoints", name, namespace) is not None:
        api.modify("endpoints", name, namespace, change)
        return
    metadata = {"name": name, "namespace": namespace}
    fresh = change({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata})
    assert fresh is not None
    api.create("endpoints", fresh, namespace)


def subsets(service: Obj, behind: Sequence[Backend]) -> list[Obj]:
    """Addresses grouped by the ports they share, ready ones apart from the others; terminating ones are
    left out."""
    by_address: dict[tuple[str, bool], list[Port]] = defaultdict(list)
    about: dict[str, Backend] = {}
    for backend in behind:
        if backend.terminating and not backend.published:
            continue
        if not backend.ports and not (is_headless(service) and not service["spec"].get("ports")):
            continue
        about[backend.address] = backend
        by_address[backend.address, backend.ready].extend(backend.ports)
    groups: dict[tuple[Port, ...], dict[bool, list[Obj]]] = {}
    for (address, ready), ports in by_address.items():
        backend = about[address]
        entry: Obj = {"ip": address}
        if backend.hostname:
            entry["hostname"] = backend.hostname
        if backend.node:
            entry["nodeName"] = backend.node
        entry["targetRef"] = backend.reference
        ordered = tuple(sorted(ports, key=lambda port: (port.name, port.protocol, port.number)))
        groups.setdefault(ordered, {True: [], False: []})[ready].append(entry)
    result = []
    for ports_of, entries in groups.items():
        subset: Obj = {}
        if entries[True]:
            subset["addresses"] = entries[True]
        if entries[False]:
            subset["notReadyAddresses"] = entries[False]
        if ports_of:
            subset["ports"] = [port.to_dict(always_named=False) for port in ports_of]
        result.append(subset)
    return result


# EndpointSlices


def _write_slices(api: Api, service: Obj, behind: Sequence[Backend]) -> None:
    namespace, name = key_of(service)
    uid = service["metadata"]["uid"]
    existing = [
        found
        for found in api.list(
            _SLICES, namespace, label_selector=f"{SERVICE_NAME}={name},{MANAGED_BY}={_MANAGER}"
        )
        if any(reference["uid"] == uid for reference in found["metadata"].get("ownerReferences") or ())
        and not found["metadata"].get("deletionTimestamp")
    ]
    labels = {k: v for k, v in (service["metadata"].get("labels") or {}).items() if k not in _RESERVED}
    labels |= {SERVICE_NAME: name, MANAGED_BY: _MANAGER}
    if is_headless(service):
        labels[HEADLESS] = ""
    for wanted in slices(service, behind):
        old = _best_match(existing, wanted)
        if old is None:
            _create_slice(api, service, wanted, labels)
            continue
        existing.remove(old)

        def change(copy: Obj, wanted: Obj = wanted) -> Obj | None:
            same = all((copy.get(field) or []) == wanted[field] for field in ("endpoints", "ports"))
            if same and copy["metadata"].get("labels") == labels:
                return None
            copy["metadata"]["labels"] = labels
            copy.update(wanted)
            return copy

        api.modify(_SLICES, old["metadata"]["name"], namespace, change)
    for left in existing:
        api.delete(_SLICES, left["metadata"]["name"], namespace)


def _create_slice(api: Api, service: Obj, wanted: Obj, labels: dict[str, str]) -> None:
    namespace, name = key_of(service)
    metadata = {
        "generateName": f"{name}-",
        "namespace": namespace,
        "labels": labels,
        "ownerReferences": [controller_reference(service)],
    }
    obj = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, **wanted}
    api.create(_SLICES, obj, namespace)


def _best_match(existing: Sequence[Obj], wanted: Obj) -> Obj | None:
    """A slice to write this into: of the same ports, else any of the same family."""
    family = [old for old in existing if old["addressType"] == wanted["addressType"]]
    same = [old for old in family if (old.get("ports") or []) == wanted["ports"]]
    return next(iter(same or family), None)


def slices(service: Obj, behind: Sequence[Backend]) -> list[Obj]:
    """Slices by address family and ports, at most 100 endpoints each; an empty one when there is nothing."""
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    result = []
    for family in families:
        groups: dict[tuple[Port, ...], list[Obj]] = defaultdict(list)
        for backend in behind:
            if backend.family == family:
                groups[backend.ports].append(_endpoint(backend))
        for ports, endpoints in groups.items():
            written = [port.to_dict(always_named=True) for port in ports]
            result += [
                {"addressType": family, "endpoints": endpoints[start : start + _PER_SLICE], "ports": written}
                for start in range(0, len(endpoints), _PER_SLICE)
            ]
        if not groups:
            result.append({"addressType": family, "endpoints": [], "ports": []})
    return result


def _endpoint(backend: Backend) -> Obj:
    endpoint: Obj = {
        "addresses": [backend.address],
        "conditions": {
            "ready": backend.ready,
            "serving": backend.serving,
            "terminating": backend.terminating,
        },
    }
    if backend.hostname:
        endpoint["hostname"] = backend.hostname
    endpoint["targetRef"] = backend.reference
    if backend.node:
        endpoint["nodeName"] = backend.node
    return endpoint
