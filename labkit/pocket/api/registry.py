"""What the server serves: resources by name and by kind, read from discovery data.

Custom resources come and go through `Registry.add` and `remove`; nothing else knows a list of kinds.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources as package_files
from typing import TYPE_CHECKING, Any

from labkit.pocket.api.errors import no_such_resource, qualified

if TYPE_CHECKING:
    from labkit.pocket.api.custom.kind import CustomKind


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
    custom: CustomKind | None = field(default=None, hash=False, compare=False, repr=False)
    """What a CustomResourceDefinition says of it; None for the kinds that are built in."""

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
        self.generation = 0
        """Counts what happens to the custom resources, schemas included."""
        self._listeners: list[Callable[[], None]] = []
        self._builtin_groups: set[str] = set()
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
        """Serve a resource; the first version of a name, in discovery's order, is the one meant by the bare name."""
        self._enter(resource)
        if resource.custom is None:
            self._builtin_groups.add(resource.group)
        else:
            self._index()

    def _enter(self, resource: Resource) -> None:
        self._by_path[resource.group, resource.version, resource.plural] = resource
        self._by_kind.setdefault((resource.api_version, resource.kind), resource)
        self._by_name.setdefault(resource.qualified, resource)

    def remove(self, resource: Resource) -> None:
        """Serve a resource no more."""
        self._by_path.pop((resource.group, resource.version, resource.plural), None)
        self._index()
        self.changed()

    def _index(self) -> None:
        """Bring everything into discovery's order: built-in kinds, then groups by name, newest versions first."""
        from labkit.pocket.api.custom.kind import version_order  # it knows this module

        builtin = [resource for resource in self._by_path.values() if resource.custom is None]
        custom = [resource for resource in self._by_path.values() if resource.custom is not None]
        custom.sort(key=lambda one: (one.group, version_order(one.version), one.plural))
        self._by_path, self._by_kind, self._by_name = {}, {}, {}
        for resource in (*builtin, *custom):
            self._enter(resource)

    def changed(self) -> None:
        """Tell the listeners that what is served is another than before."""
        self.generation += 1
        for listener in list(self._listeners):
            listener()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a function called when custom resources come, change or go; gives the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._by_path.values()))

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

    def serves(self, group: str, version: str, plural: str) -> bool:
        """Whether a path is this server's to answer: of a built-in group every one, of others what is defined."""
        if (group, version, plural) in self._by_path:
            return True
        return group in self._builtin_groups
