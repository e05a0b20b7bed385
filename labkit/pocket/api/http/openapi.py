"""OpenAPI as kubectl reads it for explain, for validation and for three-way merges: v3, and v2 as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from labkit.pocket.api.registry import package_data
from labkit.pocket.api.schema import Schemas
from labkit.pocket.api.store import encode

Obj = dict[str, Any]

INFO = {"title": "Kubernetes", "version": "v1.34.3"}


class OpenApi:
    """The documents of a server, put together from operations and schemas when they are first asked for."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._documents: dict[str, bytes] = {}

    @cached_property
    def _paths(self) -> Mapping[str, Mapping[str, Any]]:
        paths: Mapping[str, Mapping[str, Any]] = package_data("paths")
        return paths

    def document(self, group_version: str) -> bytes | None:
        """/openapi/v3/GROUP_VERSION, such as `apis/apps/v1`; None when there is none."""
        text = self._documents.get(group_version)
        if text is None and group_version in self._paths:
            paths = self._paths[group_version]
            text = encode(
                {
                    "openapi": "3.0.0",
                    "info": INFO,
                    "paths": paths,
                    "components": {"schemas": self._reachable(paths)},
                }
            ).encode()
            self._documents[group_version] = text
        return text

    @cached_property
    def index(self) -> bytes:
        """/openapi/v3: where the documents are, with a hash so that clients can keep them.

        The hash is of what a document is made from: it need not be put together for the index.
        """
        stamp = hashlib.sha256()
        stamp.update(encode(self._schemas.definitions).encode())
        entries = {}
        for group_version, paths in self._paths.items():
            own = stamp.copy()
            own.update(encode(paths).encode())
            entries[group_version] = {
                "serverRelativeURL": f"/openapi/v3/{group_version}?hash={own.hexdigest().upper()}"
            }
        return encode({"paths": entries}).encode()

    @cached_property
    def v2(self) -> bytes:
        """/openapi/v2 as JSON."""
        return encode(self._swagger).encode()

    @cached_property
    def v2_protobuf(self) -> bytes:
        """/openapi/v2 in its protobuf form."""
        from labkit.pocket.api.http.openapiv2 import to_protobuf

        return to_protobuf(self._swagger)

    @cached_property
    def _swagger(self) -> Obj:
        from labkit.pocket.api.http.openapiv2 import swagger  # with YAML; seldom asked for

        return swagger(self._schemas.definitions, INFO)

    def _reachable(self, paths: Any) -> Obj:
        definitions = self._schemas.definitions
        found = set(_references(paths))
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
