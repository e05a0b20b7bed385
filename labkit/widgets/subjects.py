"""What a picture needs to know of a World: who is there, with which labels, isolated for which direction, behind which Service.

Takes a `labkit.policy.World` (or anything shaped like it); gives plain `Subject` records, sorted, so that pictures do not jump.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Labels that controllers write and no lesson is about; they would fill the nodes.
_MACHINE_LABELS = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "kubernetes.io/metadata.name",
        "pod-template-generation",
    }
)


@dataclass(frozen=True)
class Subject:
    """A pod ("ns/name") or an address outside the cluster (its IP; `namespace` is None)."""

    id: str
    name: str
    namespace: str | None
    labels: Mapping[str, str]
    ingress_isolated: bool = False
    egress_isolated: bool = False
    host_network: bool = False
    services: tuple[str, ...] = ()
    phase: str = ""

    @property
    def label_lines(self) -> tuple[str, ...]:
        """Labels a person wrote, as "key=value"."""
        return tuple(
            f"{key}={value}" for key, value in sorted(self.labels.items()) if key not in _MACHINE_LABELS
        )


def is_external(endpoint: str) -> bool:
    """Whether an endpoint of a Flow is an address outside the cluster."""
    try:
        ipaddress.ip_address(endpoint)
    except ValueError:
        return False
    return True


def namespace_labels(world: Any) -> dict[str, dict[str, str]]:
    """Labels of every namespace of the world, without the name label that every namespace has."""
    found: dict[str, dict[str, str]] = {}
    for namespace in _values(world.namespaces):
        labels = dict(getattr(namespace, "labels", None) or {})
        found[namespace.name] = {key: value for key, value in labels.items() if key not in _MACHINE_LABELS}
    return dict(sorted(found.items()))


def subjects(
    world: Any, externals: Iterable[str] = (), namespaces: Iterable[str] | None = None
) -> list[Subject]:
    """Pods sorted by namespace and name, then externals in the order given. `namespaces` restricts the pods shown."""
    wanted = None if namespaces is None else set(namespaces)
    policies = list(_values(world.policies))
    services = list(_values(getattr(world, "services", ())))
    found = []
    for pod in sorted(_values(world.pods), key=lambda pod: (pod.namespace, pod.name)):
        if (wanted is not None and pod.namespace not in wanted) or getattr(pod, "ended", False):
            continue
        labels = dict(getattr(pod, "labels", None) or {})
        directions = {
            _direction(direction)
            for policy in policies
            if policy.namespace == pod.namespace and policy.pod_selector.matches(labels)
            for direction in policy.directions
        }
        host = bool(getattr(pod, "host_network", False))
        found.append(
            Subject(
                id=f"{pod.namespace}/{pod.name}",
                name=pod.name,
                namespace=pod.namespace,
                labels=labels,
                # A host-network pod is not subject to policies on the reading that most implementations share.
                ingress_isolated="ingress" in directions and not host,
                egress_isolated="egress" in directions and not host,
                host_network=host,
                services=tuple(sorted(service.name for service in services if _backs(service, pod, labels))),
                phase=str(getattr(pod, "phase", "") or ""),
            )
        )
    found += [
        Subject(id=address, name=address, namespace=None, labels={}) for address in dict.fromkeys(externals)
    ]
    return found


def _values(collection: Any) -> Iterable[Any]:
    return collection.values() if isinstance(collection, Mapping) else collection


def _direction(direction: Any) -> str:
    return str(getattr(direction, "value", direction)).lower()


def _backs(service: Any, pod: Any, labels: Mapping[str, str]) -> bool:
    if service.namespace != pod.namespace:
        return False
    selector = getattr(service, "selector", None)
    if not selector:
        return False
    if hasattr(selector, "matches"):
        return bool(selector.matches(labels)) and not getattr(selector, "is_empty", False)
    return all(labels.get(key) == value for key, value in dict(selector).items())
