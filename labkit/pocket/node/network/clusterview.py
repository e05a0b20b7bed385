"""What the network knows of the cluster: the objects it watches, read once, and which of its two tables a
change touches.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Any

from labkit.policy.model import Pod, read_namespace, read_pod
from labkit.policy.networkpolicy import CompiledPolicy, PolicyError, compile_policy

Obj = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""

log = logging.getLogger(__name__)

POLICIES, NAMESPACES, PODS = "networkpolicies.networking.k8s.io", "namespaces", "pods"
SERVICES, SLICES = "services", "endpointslices.discovery.k8s.io"
WATCHED = (POLICIES, NAMESPACES, PODS, SERVICES, SLICES)


class Touched(Flag):
    """Which tables are out of date."""

    NOTHING = 0
    POLICY = auto()
    SERVICES = auto()


def key_of(obj: Mapping[str, Any]) -> Key:
    """Namespace ("" if none) and name of an object."""
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


@dataclass
class ClusterView:
    """The objects by key. `update` says what an event touches: most pod events (status) touch nothing."""

    policies: dict[Key, CompiledPolicy] = field(default_factory=dict)
    namespaces: dict[str, Mapping[str, str]] = field(default_factory=dict)
    pods: dict[Key, Pod] = field(default_factory=dict)
    uids: dict[Key, str] = field(default_factory=dict)
    services: dict[Key, Obj] = field(default_factory=dict)
    slices: dict[Key, Obj] = field(default_factory=dict)
    _versions: dict[tuple[str, Key], str] = field(default_factory=dict)

    def update(self, resource: str, event: str, obj: Obj) -> Touched:
        """Take in one event of a watch."""
        key = key_of(obj)
        if event == "DELETED":
            return self._forget(resource, key, obj)
        version = str(obj["metadata"].get("resourceVersion", ""))
        if version and self._versions.get((resource, key)) == version:
            return Touched.NOTHING
        self._versions[resource, key] = version
        try:
            return self._read(resource, key, obj)
        except (LookupError, TypeError, ValueError) as error:
            # One object that cannot be read must not stop the enforcement of all others.
            log.error("%s %s/%s cannot be read, what was known of it stays: %s", resource, *key, error)
            return Touched.NOTHING

    def _read(self, resource: str, key: Key, obj: Obj) -> Touched:
        match resource:
            case "pods":
                return self._pod(key, obj)
            case "namespaces":
                labels = read_namespace(obj).labels
                before = self.namespaces.get(key[1])
                self.namespaces[key[1]] = labels
                return Touched.NOTHING if before == labels else Touched.POLICY
            case "services":
                before_spec = self.services.get(key, {}).get("spec")
                self.services[key] = obj
                return Touched.NOTHING if before_spec == obj.get("spec") else Touched.SERVICES
            case _ if resource == SLICES:
                self.slices[key] = obj
                return Touched.SERVICES
            case _:
                return self._policy(key, obj)

    def refresh(self, resource: str, objects: Iterable[Obj]) -> Touched:
        """Take in everything that exists of a resource, and forget what is not among it."""
        touched = Touched.NOTHING
        seen = set()
        for obj in objects:
            seen.add(key_of(obj))
            touched |= self.update(resource, "MODIFIED", obj)
        for known, key in list(self._versions):
            if known == resource and key not in seen:
                touched |= self._forget(resource, key, None)
        return touched

    def _policy(self, key: Key, obj: Obj) -> Touched:
        try:
            compiled = compile_policy(obj)
        except PolicyError as error:
            # The API validates, so this is a policy that our two readings disagree on. Keep what was
            # enforced.
            log.error("NetworkPolicy %s/%s cannot be enforced: %s", *key, error)
            return Touched.NOTHING
        before = self.policies.get(key)
        if before is not None and _same(before, compiled):
            return Touched.NOTHING
        self.policies[key] = compiled
        return Touched.POLICY

    def _pod(self, key: Key, obj: Obj) -> Touched:
        pod = read_pod(obj)
        before = self.pods.get(key)
        self.pods[key] = pod
        self.uids[key] = str(obj["metadata"].get("uid", ""))
        if before is not None and (before.labels, before.ports, before.ended) == (
            pod.labels,
            pod.ports,
            pod.ended,
        ):
            return Touched.NOTHING
        return Touched.POLICY

    def _forget(self, resource: str, key: Key, obj: Obj | None) -> Touched:
        self._versions.pop((resource, key), None)
        match resource:
            case "pods":
                # A pod that is recreated under its name may be seen before the old one's end.
                if obj is None or self.uids.get(key) == obj["metadata"].get("uid", ""):
                    self.pods.pop(key, None)
                    self.uids.pop(key, None)
                return Touched.POLICY
            case "namespaces":
                self.namespaces.pop(key[1], None)
                return Touched.POLICY
            case "services":
                self.services.pop(key, None)
                return Touched.SERVICES
            case _ if resource == SLICES:
                self.slices.pop(key, None)
                return Touched.SERVICES
            case _:
                self.policies.pop(key, None)
                return Touched.POLICY


def _same(one: CompiledPolicy, other: CompiledPolicy) -> bool:
    """Whether two readings mean the same (a status or an annotation changed, not the spec)."""
    return (one.uid, one.pod_selector, one.directions, one.ingress, one.egress) == (
        other.uid,
        other.pod_selector,
        other.directions,
        other.ingress,
        other.egress,
    )
