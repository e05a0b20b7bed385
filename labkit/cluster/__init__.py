"""Talking to a Kubernetes cluster, whoever made it. Only `providers` know one kind of cluster from another."""

from __future__ import annotations

from .cluster import Cluster
from .errors import (
    ApplyError,
    CannotStart,
    ClusterError,
    ClusterUnreachable,
    Conflict,
    Denied,
    ExecError,
    Invalid,
    NoSuchContext,
    NotALab,
    NotFound,
    Unauthorized,
    WaitTimeout,
)
from .execution import ExecResult
from .writing import Applied

__all__ = [
    "Applied",
    "ApplyError",
    "CannotStart",
    "Cluster",
    "ClusterError",
    "ClusterUnreachable",
    "Conflict",
    "Denied",
    "ExecError",
    "ExecResult",
    "Invalid",
    "NoSuchContext",
    "NotALab",
    "NotFound",
    "Unauthorized",
    "WaitTimeout",
]
