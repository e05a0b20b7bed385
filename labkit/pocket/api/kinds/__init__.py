"""One small module for each kind that has behaviour in the API server; a kind without one lives by its schema."""

from __future__ import annotations

from labkit.pocket.api.custom import definitions
from labkit.pocket.api.kinds import (
    configuration,
    endpoints,
    eventrules,
    namespaces,
    networkpolicies,
    others,
    pods,
    services,
    workloads,
)
from labkit.pocket.api.kinds.rules import Rules
from labkit.pocket.api.registry import Resource

GENERIC = Rules()

RULES: dict[str, Rules] = {
    "configmaps": configuration.CONFIG_MAP,
    definitions.CRDS: definitions.RULES,
    "deployments.apps": workloads.DEPLOYMENT,
    "endpoints": endpoints.ENDPOINTS,
    "endpointslices.discovery.k8s.io": endpoints.ENDPOINT_SLICE,
    "events": eventrules.RULES,
    "events.events.k8s.io": eventrules.RULES,
    "leases.coordination.k8s.io": others.LEASE,
    "namespaces": namespaces.RULES,
    "networkpolicies.networking.k8s.io": networkpolicies.RULES,
    "nodes": others.NODE,
    "pods": pods.RULES,
    "replicasets.apps": workloads.REPLICA_SET,
    "secrets": configuration.SECRET,
    "serviceaccounts": others.SERVICE_ACCOUNT,
    "services": services.RULES,
}
"""By qualified resource name."""


def rules_for(resource: Resource) -> Rules:
    """The rules of a resource; the generic ones when it has none of its own."""
    if resource.custom is not None:
        return resource.custom.rules
    return RULES.get(resource.qualified, GENERIC)
