"""The resources that hold objects, each once: what the namespace and garbage controllers look through."""

from __future__ import annotations

from labkit.pocket.api.api import Api
from labkit.pocket.api.kinds.conversion import conversion_for
from labkit.pocket.api.registry import Resource


def stored_resources(api: Api) -> list[Resource]:
    """One resource for each kind of stored object, although several versions may serve it."""
    found: dict[str, Resource] = {}
    for resource in api.registry:
        if resource.is_stored:
            found.setdefault(conversion_for(resource).bucket, resource)
    return list(found.values())
