"""Container images of a real cluster: which ones the lab needs, pinned by digest, and stand-ins where they cannot be had.

read()                         the table `clusters/images.toml`
pinned(objects, cluster)       manifests with the images that this cluster shall run
wait_ready(cluster, manifest)  until they do, also where images lie on the nodes that nobody has told of
build(...), load(...)          an archive of stand-ins, without an engine; an archive into a kind cluster
offline.provide(kind_name)     both, for what the cluster lacks
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ImageError
from .pinning import pinned
from .starting import wait_ready
from .table import Entry, Table, read

if TYPE_CHECKING:
    from .building import Built, build
    from .loaded import Loaded
    from .loading import load, load_from_engine

__all__ = [
    "Built",
    "Entry",
    "ImageError",
    "Loaded",
    "Table",
    "build",
    "load",
    "load_from_engine",
    "pinned",
    "read",
    "wait_ready",
]

# Only who builds or loads needs these, and pinning is asked for in every chapter.
_LATER = {
    "Built": "building", "build": "building", "Loaded": "loaded", "load": "loading", "load_from_engine": "loading",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
