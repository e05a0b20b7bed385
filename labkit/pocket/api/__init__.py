"""The Kubernetes API of the embedded cluster: one schema-driven mechanism for every kind.

`Api` is for callers in this process; `labkit.pocket.api.server.serve` puts it on TLS sockets for kubectl and others.

A request's way: `http` (paths, credentials, bodies, answers) → `Api` → `writing` (reading by `schema`, defaults and
rules of `kinds`, `admission`, `ownership`) → `store` (SQLite, revisions, watches). What is served, its schemas, the
columns of tables and the numbers of protobuf fields are data in `schemas/`, made by scripts/update_schemas.py. To
serve a further kind: name it in that script's SERVED, run it, and write a module in `kinds` if it has behaviour. What
CustomResourceDefinitions define comes through `custom`.
"""

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.registry import Registry, Resource
from labkit.pocket.api.request import Options, User
from labkit.pocket.api.store import Store, StoreBusy, clone
from labkit.pocket.api.watches import Watch

__all__ = [
    "Api",
    "ApiError",
    "Options",
    "Registry",
    "Resource",
    "Store",
    "StoreBusy",
    "User",
    "Watch",
    "clone",
]
