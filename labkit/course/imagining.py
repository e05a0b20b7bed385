"""Worlds that do not exist yet: what a step adds to the one at hand, to ask what would happen then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.course.steps import Chapter, Imagined
from labkit.policy import World


def imagine(world: World, imagined: Imagined, chapter: Chapter) -> World:
    """The world with an imagined world's objects added; short forms of pods get the chapter's ports."""
    return world.replace(*(_added(item, chapter) for item in imagined.add))


def namespaces(chapter: Chapter, imagined: Imagined) -> tuple[str, ...]:
    """The chapter's namespaces, and those that the imagined world adds."""
    return tuple(
        dict.fromkeys(
            (*chapter.namespaces, *(str(item["namespace"]) for item in imagined.add if "namespace" in item))
        )
    )


def _added(item: Mapping[str, Any], chapter: Chapter) -> Mapping[str, Any]:
    if "kind" in item:
        return item
    labels = dict(item.get("labels", {}))
    if "namespace" in item:
        return {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": item["namespace"], "labels": labels},
        }
    namespace, name = item["pod"].split("/")
    ports = [{"containerPort": port, "protocol": protocol} for port, protocol in chapter.ports]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": name, "image": "imagined", "ports": ports}]},
    }
