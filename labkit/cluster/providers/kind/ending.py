"""The end of a kind cluster: its nodes, its kubeconfig, its folder, and the network that came with it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from labkit.cluster.providers.engine import Engine

from . import kubeconfig, nodes
from .nodes import Node
from .places import Places


def end(where: Places, engine: Engine, found: Sequence[Node]) -> None:
    """Remove nodes, kubeconfig and folder; the network too when it came with us and nobody is left in it. Raises ClusterError."""
    nodes.remove(engine, found)
    if exported := where.remembered().get("exported"):
        kubeconfig.take_out(where, Path(exported))
    where.forget()
    where.log.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        where.log.parent.rmdir()
    if where.network_mark.exists() and nodes.remove_network(engine):
        where.network_mark.unlink(missing_ok=True)
