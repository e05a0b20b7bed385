"""A workshop in a box: what chapters need (tools, manifests, images, Python packages) in one file, for rooms without wifi.

`create` makes a box where there is internet, `load` brings it onto a laptop where there is none; after that, clusters made with
kind get the box's images by themselves (`load_into`).
"""

from __future__ import annotations

from .boxes import listed
from .contents import BoxedImage, Contents, Part
from .errors import BoxError, DamagedBox, NoRoom
from .loading import Loading, load
from .making import Recipe, create
from .ready import load_into, loaded_boxes, loaded_images

__all__ = [
    "BoxError",
    "BoxedImage",
    "Contents",
    "DamagedBox",
    "Loading",
    "NoRoom",
    "Part",
    "Recipe",
    "create",
    "listed",
    "load",
    "load_into",
    "loaded_boxes",
    "loaded_images",
]
