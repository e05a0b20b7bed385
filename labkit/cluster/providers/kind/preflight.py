"""Preflight (first version)."""

from __future__ import annotations

from collections.abc import Sequence

from labkit.cluster.errors import ClusterError
from labkit.cluster.providers import Finding
from labkit.cluster.providers.engine import Engine, container_engine

from . import binary
from .binary import Kind
from .config import KindConfig

IMAGE_VARIABLE = "LABKIT_KIND_IMAGE"


def default_image(engine: Engine, config: KindConfig) -> str:
    """The node image: LABKIT_KIND_IMAGE, what the configuration names (""), or the pinned one."""
    import os

    from labkit.cluster import tools

    if given := os.environ.get(IMAGE_VARIABLE):
        return given
    if all(config.images):
        return ""
    pinned = tools.node_image()
    here = engine.run("image", "inspect", "--format", "{{.Id}}", pinned.tagged, check=False).returncode == 0
    return pinned.tagged if here else pinned.pinned


def checked(engine: Engine, kind: Kind, config: KindConfig, image: str) -> list[Finding]:  # noqa: ARG001
    """What is worth a warning. Raises ClusterError for what is certain to fail."""
    if why := binary.too_old(kind):
        raise ClusterError(why)
    return []


def findings() -> Sequence[Finding]:
    """For the doctor."""
    return [container_engine()]
