"""Discovery: what is served, in the aggregated form that kubectl asks for and in the plain one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from labkit.pocket.api.custom.serving import VERBS
from labkit.pocket.api.registry import Registry, Resource, Subresource

Obj = dict[str, Any]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def wants_aggregated(accept: str) -> bool:
    """Whether the Accept header names the aggregated form."""
    for clause in accept.replace(" ", "").split(","):
        media, *parameters = clause.split(";")
        if media == "application/json" and {
            "g=apidiscovery.k8s.io",
            "v=v2",
            "as=APIGroupDiscoveryList",
        } <= set(parameters):
            return True
    return False


def _grouped(resources: Iterable[Resource]) -> dict[str, dict[str, list[Resource]]]:
    groups: dict[str, dict[str, list[Resource]]] = {}
    for resource in resources:
        groups.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
    return groups


def aggregated(registry: Registry, *, core: bool) -> Obj:
    """APIGroupDiscoveryList of /api (core) or /apis."""
    items = []
    for group, versions in _grouped(registry).items():
        if (group == "") != core:
            continue
        items.append(
            {
                "metadata": {"name": group} if group else {},
                "versions": [
                    {
                        "version": version,
                        "resources": [_aggregated_resource(resource) for resource in resources],
                        "freshness": "Current",
                    }
                    for version, resources in versions.items()
                ],
            }
        )
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated_resource(resource: Resource) -> Obj:
    entry: Obj = {
        "resource": resource.plural,
        # Empty means: the group and version this entry stands under.
        "responseKind": (
            {"group": "", "version": "", "kind": resource.kind}
            if resource.custom is None
            else {"group": resource.group, "version": resource.version, "kind": resource.kind}
        ),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": _verbs(resource),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": (
                    {"group": sub.group, "version": sub.version, "kind": sub.kind}
                    if _is_foreign(resource, sub) or resource.custom is not None
                    else {"group": "", "version": "", "kind": sub.kind}
                ),
                "verbs": sorted(sub.verbs),
            }
            for sub in resource.subresources.values()
        ]
    return entry


def _verbs(resource: Resource) -> list[str]:
    return sorted(resource.verbs) if resource.custom is None else list(VERBS)


def _is_foreign(resource: Resource, sub: Subresource) -> bool:
    return (sub.group, sub.version) != (resource.group, resource.version)


def api_versions(server: str) -> Obj:
    """APIVersions: the plain answer of /api."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}],
    }


def group(registry: Registry, name: str) -> Obj | None:
    """APIGroup: the plain answer of /apis/GROUP."""
    versions = _grouped(registry).get(name)
    if not name or not versions:
        return None
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": entries,
        "preferredVersion": entries[0],
    }


def group_list(registry: Registry) -> Obj:
    """APIGroupList: the plain answer of /apis."""
    groups = []
    for name in _grouped(registry):
        entry = group(registry, name)
        if entry is not None:
            groups.append({key: value for key, value in entry.items() if key not in ("kind", "apiVersion")})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def resource_list(registry: Registry, group_name: str, version: str) -> Obj | None:
    """APIResourceList: the answer of /api/v1 and /apis/GROUP/VERSION."""
    resources = _grouped(registry).get(group_name, {}).get(version)
    if not resources:
        return None
    entries: list[Obj] = []
    for resource in resources:
        entry: Obj = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": _verbs(resource),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        entries.append(entry)
        for sub in resource.subresources.values():
            foreign = {"group": sub.group, "version": sub.version} if _is_foreign(resource, sub) else {}
            entries.append(
                {
                    "name": f"{resource.plural}/{sub.name}",
                    "singularName": "",
                    "namespaced": resource.namespaced,
                    **foreign,
                    "kind": sub.kind,
                    "verbs": sorted(sub.verbs),
                }
            )
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if group_name else {}),
        "groupVersion": f"{group_name}/{version}" if group_name else version,
        "resources": entries,
    }
