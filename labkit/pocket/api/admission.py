"""Admission: the rules that need to see more of the cluster than the one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labkit.pocket.api.errors import forbidden, not_found
from labkit.pocket.api.registry import Resource

if TYPE_CHECKING:
    from labkit.pocket.api.api import Api

Obj = dict[str, Any]


class Admission:
    """The `Cluster` that kinds' rules are given, and the NamespaceLifecycle check that all creations pass."""

    def __init__(self, api: Api, service_cidr: str, *, dry_run: bool = False) -> None:
        self._api = api
        self.dry_run = dry_run
        self.service_cidr = service_cidr

    def find(self, resource: str, name: str, namespace: str | None = None) -> Obj | None:
        """The object, or None."""
        return self._api.find(resource, name, namespace)

    def all(self, resource: str, namespace: str | None = None) -> list[Obj]:
        """All objects of a resource."""
        return self._api.list(resource, namespace)

    def ensure_service_account(self, namespace: str, name: str) -> Obj | None:
        """The ServiceAccount; `default` is made here when its controller has not come to it yet.

        A real server waits for the controller for a moment instead.
        """
        found = self.find("serviceaccounts", name, namespace)
        if found is None and name == "default":
            if self.dry_run:
                return {}
            account = {"metadata": {"name": name, "namespace": namespace}}
            return self._api.create("serviceaccounts", account, namespace)
        return found

    def check_namespace(self, resource: Resource, obj: Obj) -> None:
        """Objects are created in namespaces that exist and are not being deleted. Raises ApiError."""
        namespace = obj["metadata"].get("namespace")
        if not resource.namespaced or not namespace:
            return
        found = self.find("namespaces", namespace)
        if found is None:
            raise not_found("", "namespaces", namespace)
        if found["metadata"].get("deletionTimestamp"):
            raise forbidden(
                resource.group,
                resource.plural,
                obj["metadata"].get("name", ""),
                f"unable to create new content in namespace {namespace} because it is being terminated",
                causes=[
                    {
                        "reason": "NamespaceTerminating",
                        "message": f"namespace {namespace} is being terminated",
                        "field": "metadata.namespace",
                    }
                ],
            )
