"""OpenAPI as kubectl reads it for explain, for validation and for three-way merges: v3, and v2 as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from labkit.pocket.api.registry import Registry, Resource, package_data
from labkit.pocket.api.schema import Schemas
from labkit.pocket.api.store import encode

Obj = dict[str, Any]

INFO = {"title": "Kubernetes", "version": "v1.34.3"}


class OpenApi:
    """The documents of a server, put together from operations and schemas when they are first asked for, and anew
    when custom resources have changed."""

    def __init__(self, schemas: Schemas, registry: Registry) -> None:
        self._schemas = schemas
        self._registry = registry
        self._documents: dict[str, bytes] = {}
        self._custom: dict[str, bytes] = {}
        self._generation = registry.generation

    @cached_property
    def _paths(self) -> Mapping[str, Mapping[str, Any]]:
        paths: Mapping[str, Mapping[str, Any]] = package_data("paths")
        return paths

    def _refresh(self) -> None:
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._custom.clear()

    def _custom_resources(self) -> dict[str, list[Resource]]:
        """Those of each group version that has nothing built in."""
        found: dict[str, list[Resource]] = {}
        for resource in self._registry:
            place = f"apis/{resource.group}/{resource.version}"
            if resource.custom is not None and place not in self._paths:
                found.setdefault(place, []).append(resource)
        return found

    def document(self, group_version: str) -> bytes | None:
        """/openapi/v3/GROUP_VERSION, such as `apis/apps/v1`; None when there is none."""
        self._refresh()
        text = self._documents.get(group_version) or self._custom.get(group_version)
        if text is None and group_version in self._paths:
            text = self._documents[group_version] = self._put_together(self._paths[group_version], {})
        elif text is None:
            resources = self._custom_resources().get(group_version)
            if resources:
                from labkit.pocket.api.http import customopenapi  # most clusters have no such resources

                own = {
                    name: one for kind in resources for name, one in customopenapi.definitions(kind).items()
                }
                text = self._custom[group_version] = self._put_together(customopenapi.paths(resources), own)
        return text

    def _put_together(self, paths: Mapping[str, Any], own: Mapping[str, Any]) -> bytes:
        schemas = self._reachable({"paths": paths, "own": own}, own)
        document = {"openapi": "3.0.0", "info": INFO, "paths": paths, "components": {"schemas": schemas}}
        return encode(document).encode()

    @property
    def index(self) -> bytes:
        """/openapi/v3: where the documents are, with a hash so that clients can keep them.

        The hash is of what a document is made from: it need not be put together for the index.
        """
        self._refresh()
        text = self._custom.get("")
        if text is None:
            entries = dict(self._hashes)
            for place in self._custom_resources():
                document = self.document(place) or b""
                entries[place] = hashlib.sha256(document).hexdigest().upper()
            text = self._custom[""] = encode(
                {
                    "paths": {
                        place: {"serverRelativeURL": f"/openapi/v3/{place}?hash={stamp}"}
                        for place, stamp in entries.items()
                    }
                }
            ).encode()
        return text

    @cached_property
    def _hashes(self) -> dict[str, str]:
        stamp = hashlib.sha256()
        stamp.update(encode(self._schemas.definitions).encode())
        hashes = {}
        for group_version, paths in self._paths.items():
            own = stamp.copy()
            own.update(encode(paths).encode())
            hashes[group_version] = own.hexdigest().upper()
        return hashes

    @property
    def v2(self) -> bytes:
        """/openapi/v2 as JSON."""
        self._refresh()
        text = self._custom.get("v2")
        if text is None:
            text = self._custom["v2"] = encode(self._swagger()).encode()
        return text

    @property
    def v2_protobuf(self) -> bytes:
        """/openapi/v2 in its protobuf form."""
        from labkit.pocket.api.http.openapiv2 import to_protobuf

        self._refresh()
        text = self._custom.get("v2.protobuf")
        if text is None:
            text = self._custom["v2.protobuf"] = to_protobuf(self._swagger())
        return text

    def _swagger(self) -> Obj:
        from labkit.pocket.api.http import customopenapi
        from labkit.pocket.api.http.openapiv2 import swagger  # with YAML; seldom asked for

        own = {
            name: one
            for resources in self._custom_resources().values()
            for resource in resources
            for name, one in customopenapi.definitions(resource).items()
        }
        return swagger({**self._schemas.definitions, **own}, INFO)

    def _reachable(self, paths: Any, own: Mapping[str, Any]) -> Obj:
        definitions = {**self._schemas.definitions, **own}
        found = set(_references(paths)) | set(own)
        queue = list(found)
        while queue:
            for name in _references(definitions[queue.pop()]):
                if name not in found:
                    found.add(name)
                    queue.append(name)
        return {name: definitions[name] for name in sorted(found)}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference.rpartition("/")[2]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
