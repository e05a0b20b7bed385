"""From the tags that manifests have, for people to read, to what a cluster shall run: the same bytes for everybody.

On a cluster that has to pull, `name:tag` becomes `name:tag@sha256:...` of `clusters/images.toml`. Where the image lies on the
nodes already (a stand-in, a bundle, `kind load`), the tag stays, since such an image has no digest that a node could find it by.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, overload

from labkit.cluster.errors import ClusterError

from . import loaded, table
from .errors import ImageError
from .reference import Reference, canonical

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster

Object = Mapping[str, Any]
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_IMAGE = re.compile(r"(?P<before>\bimage:[ \t]+)(?P<quote>[\"']?)(?P<name>[^\s\"'#,}]+)(?P=quote)")


@overload
def pinned(objects: str, cluster: Cluster) -> str: ...
@overload
def pinned(objects: Iterable[Object], cluster: Cluster) -> list[dict[str, Any]]: ...
def pinned(objects: str | Iterable[Object], cluster: Cluster) -> str | list[dict[str, Any]]:
    """The objects, or a manifest's text line by line, with the images of this cluster.

    Images that the table does not have stay as they are, and so does everything on a cluster that pulls nothing. In objects,
    `imagePullPolicy` becomes IfNotPresent where nothing or Always was said of an image that the nodes have, so that no pull is
    tried in vain. Raises ClusterUnreachable.
    """
    names = Names.of(cluster)
    if isinstance(objects, str):
        return _IMAGE.sub(
            lambda m: f"{m['before']}{m['quote']}{names.of_image(m['name'])}{m['quote']}", objects
        )
    return [_pinned(obj, names) for obj in objects]


def pinned_names(objects: str | Iterable[Object], cluster: Cluster) -> list[str]:
    """The images of a manifest that `pinned` names by digest on this cluster, as the manifest names them."""
    names = Names.of(cluster)
    if isinstance(objects, str):
        images = [found["name"] for found in _IMAGE.finditer(objects)]
    else:
        images = [
            str(each.get("image", "")) for obj in objects for each in _containers(copy.deepcopy(dict(obj)))
        ]
    return sorted({image for image in images if image and names.of_image(image) != image})


class Names:
    """What an image is called on one cluster. `here`: references in full that its nodes have; `entries`: None pulls nothing."""

    def __init__(self, entries: table.Table | None, here: frozenset[str]) -> None:
        self.entries, self.here = entries, here

    @classmethod
    def of(cls, cluster: Cluster) -> Names:
        """Ask the cluster. Without a table (labkit without its folder `clusters`) nothing is changed."""
        if not cluster.live:
            return cls(None, frozenset())
        nodes = loaded.nodes(cluster)
        if _pulls_nothing(nodes):
            return cls(None, frozenset())
        try:
            entries = table.read()
        except ImageError:
            raise  # a table that is wrong, and not one that is not there
        except ClusterError:
            return cls(None, frozenset())
        return cls(entries, frozenset(loaded.read(cluster)) | loaded.on_all(nodes))

    def of_image(self, image: str) -> str:
        """The reference for a container."""
        if self.entries is None or Reference.parse(image).digest or self.has(image):
            return image
        entry = self.entries.find(image)
        return f"{image}@{entry.digest}" if entry and entry.digest else image

    def has(self, image: str) -> bool:
        """Whether the nodes have it already."""
        return canonical(image) in self.here


def _pulls_nothing(nodes: Iterable[Object]) -> bool:
    """The embedded cluster runs stand-ins whatever tag or digest is named, and its kubelet says who it is."""
    runtimes = [
        node.get("status", {}).get("nodeInfo", {}).get("containerRuntimeVersion", "") for node in nodes
    ]
    return bool(runtimes) and all(name.startswith("pocket://") for name in runtimes)


def _pinned(obj: Object, names: Names) -> dict[str, Any]:
    result = copy.deepcopy(dict(obj))
    for container in _containers(result):
        image = str(container.get("image", ""))
        if not image:
            continue
        if names.has(image) and container.get("imagePullPolicy", "Always") == "Always":
            container["imagePullPolicy"] = "IfNotPresent"
        container["image"] = names.of_image(image)
    return result


def _containers(obj: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every container of a pod, of a pod template wherever it is, and of a List's items."""
    for item in obj.get("items") or []:
        if isinstance(item, dict):
            yield from _containers(item)
    spec = obj.get("spec")
    while isinstance(spec, dict):
        for field in _CONTAINERS:
            yield from (each for each in spec.get(field) or [] if isinstance(each, dict))
        inner = spec.get("jobTemplate") or spec.get("template")
        spec = inner.get("spec") if isinstance(inner, dict) else None
