"""What the server serves: resources by name and by kind, read from discovery data.

Later kinds and CustomResourceDefinitions come in through `Registry.add`; nothing else knows a list of kinds.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources as package_files
from typing import Any

from labkit.pocket.api.errors import no_such_resource, qualified


@dataclass(frozen=True)
class Subresource:
    """A part of a resource with verbs of its own, such as pods/log; its kind may be another group's."""

    name: str
    group: str
    version: str
    kind: str
    verbs: frozenset[str]


@dataclass(frozen=True)
class Resource:
    """One resource of one version: what discovery tells a client about it."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: frozenset[str] = frozenset()
    subresources: Mapping[str, Subresource] = field(default_factory=dict, hash=False, compare=False)

    @property
    def api_version(self) -> str:
        """`v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`pods`, `deployments.apps`: how messages name it."""
        return qualified(self.group, self.plural)

    @property
    def is_stored(self) -> bool:
        """Whether there are objects of it; reviews and bindings are only answered."""
        return "get" in self.verbs


@cache
def package_data(name: str) -> Any:
    """One of the schemas/*.json.gz files; shared, so not to be changed."""
    file = package_files.files("labkit.pocket.api") / "schemas" / f"{name}.json.gz"
    return json.loads(gzip.decompress(file.read_bytes()))


def read_resource(group: str, version: str, entry: Mapping[str, Any]) -> Resource:
    """A Resource from its entry in an aggregated discovery document."""
    subresources = {}
    for sub in entry.get("subresources", ()):
        kind = sub.get("responseKind") or {}
        subresources[sub["subresource"]] = Subresource(
            name=sub["subresource"],
            group=kind.get("group") or "" if kind.get("version") else group,
            version=kind.get("version") or version,
            kind=kind.get("kind", ""),
            verbs=frozenset(sub["verbs"]),
        )
    return Resource(
        group=group,
        version=version,
        plural=entry["resource"],
        singular=entry.get("singularResource", ""),
        kind=entry["responseKind"]["kind"],
        namespaced=entry["scope"] == "Namespaced",
        short_names=tuple(entry.get("shortNames", ())),
        categories=tuple(entry.get("categories", ())),
        verbs=frozenset(entry["verbs"]),
        subresources=subresources,
    )


class Registry:
    """The resources of a server, in the order in which discovery lists them."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str], Resource] = {}
        self._by_name: dict[str, Resource] = {}

    @classmethod
    def builtin(cls) -> Registry:
        """The kinds of the package data."""
        registry = cls()
        discovery = package_data("discovery")
        for root in ("api", "apis"):
            for group in discovery[root]["items"]:
                name = group["metadata"].get("name", "")
                for version in group["versions"]:
                    for entry in version["resources"]:
                        registry.add(read_resource(name, version["version"], entry))
        return registry

    def add(self, resource: Resource) -> None:
        """Serve a resource; the first version added of a name is the one meant by the bare name."""
        self._by_path[resource.group, resource.version, resource.plural] = resource
        self._by_kind.setdefault((resource.api_version, resource.kind), resource)
        self._by_name.setdefault(resource.qualified, resource)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_path.values())

    def at(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource under a URL."""
        return self._by_path.get((group, version, plural))

    def named(self, name: str) -> Resource:
        """`pods`, `deployments.apps`, `networkpolicies.networking.k8s.io`. Raises ApiError (404)."""
        found = self._by_name.get(name)
        if found is None:
            raise no_such_resource()
        return found

    def of_kind(self, api_version: str, kind: str) -> Resource:
        """("apps/v1", "Deployment"). Raises ApiError (404)."""
        found = self._by_kind.get((api_version, kind))
        if found is None:
            raise no_such_resource()
        return found

    def has_group(self, group: str) -> bool:
        """Whether anything of the group is served, in whatever version."""
        return any(path[0] == group for path in self._by_path)
