"""The Kubernetes API of the embedded cluster: one schema-driven mechanism for every kind.

`Api` is for callers in this process, `serve` puts it on TLS sockets for kubectl and other clients.
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
