"""Which path of the API a kind has: asked of the server once per group version, and remembered."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .client import Client
from .errors import Invalid, NotFound

#: Where a bare name ("pods", "NetworkPolicy", "deploy") is looked for first; then in every group the server has.
_FIRST = (
    "v1",
    "apps/v1",
    "networking.k8s.io/v1",
    "discovery.k8s.io/v1",
    "batch/v1",
    "rbac.authorization.k8s.io/v1",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind as the server serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    names: frozenset[str]  # everything it answers to, lower case

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """The path of the collection, an object in it, or an object's subresource."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        where = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        rest = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{where}/{self.plural}{rest}"


class Kinds:
    """The kinds of one server. Thread-safe."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._groups: dict[str, list[Kind]] = {}
        self._preferred: list[str] = []

    def of(self, obj: Mapping[str, Any]) -> Kind:
        """The kind of an object, by its apiVersion and kind. Raises Invalid or NotFound in kubectl's words."""
        api_version, kind = obj.get("apiVersion"), obj.get("kind")
        for field, value in (("apiVersion", api_version), ("kind", kind)):
            if not value or not isinstance(value, str):
                raise Invalid(f"the object has no {field}", code=400, reason="BadRequest")
        if found := self.known(str(api_version), str(kind)):
            return found
        raise NotFound(
            f'no matches for kind "{kind}" in version "{api_version}"' + self._hint(str(kind), str(api_version)),
            code=404, reason="NotFound",
        )  # fmt: skip

    def known(self, api_version: str, kind: str) -> Kind | None:
        """The kind by its apiVersion and kind, None where the server does not have it; costs one request at most."""
        for one in self._in(api_version):
            if one.kind == kind:
                return one
        with self._lock:
            self._groups.pop(api_version, None)  # it may be registered later
        return None

    def named(self, name: str) -> Kind:
        """A kind by any of its names: "pods", "pod", "po", "Pod", "deployments.apps". Raises NotFound."""
        wanted, _, group = name.lower().partition(".")
        if found := self._search(wanted, group):
            return found
        with self._lock:  # it may have been defined since we asked
            self._groups.clear()
            self._preferred = []
        if found := self._search(wanted, group):
            return found
        raise NotFound(f'the server doesn\'t have a resource type "{name}"', code=404, reason="NotFound")

    def _search(self, wanted: str, group: str) -> Kind | None:
        for api_version in (*_FIRST, *self._all_groups()):
            if group and api_version.partition("/")[0] != group:
                continue
            for one in self._in(api_version):
                if wanted in one.names:
                    return one
        return None

    def _hint(self, kind: str, asked: str) -> str:
        found = self._search(kind.lower(), "")
        return f" ({kind} is in {found.api_version})" if found and found.api_version != asked else ""

    def _in(self, api_version: str) -> list[Kind]:
        with self._lock:
            if api_version in self._groups:
                return self._groups[api_version]
        root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        try:
            listed = self._client.request("GET", root)
        except NotFound:
            return []
        kinds = [
            Kind(
                api_version, item["kind"], item["name"], item.get("namespaced", False),
                frozenset({item["name"], item["kind"].lower(), item.get("singularName", "").lower(),
                           *item.get("shortNames", [])} - {""}),
            )
            for item in listed.get("resources", [])
            if "/" not in item["name"]
        ]  # fmt: skip
        with self._lock:
            self._groups[api_version] = kinds
        return kinds

    def _all_groups(self) -> list[str]:
        if not self._preferred:
            groups = self._client.request("GET", "/apis").get("groups", [])
            self._preferred = [group["preferredVersion"]["groupVersion"] for group in groups]
        return self._preferred
