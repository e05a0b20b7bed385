"""The programs and manifests that the lab uses and does not bring: found on this machine, or fetched once, checked, and kept.

find("kind")                                the path of a program that is new enough
read().component("cert-manager").files      the table; `fetch` gives the path of each file
node_image()                                the node image of clusters made with kind
"""

from __future__ import annotations

from .cache import Cache
from .errors import CannotDownload, CannotKeep, ToolError, WrongChecksum
from .fetching import fetch
from .finding import find
from .machine import Platform, container_platform, this_platform
from .table import Manifests, Needs, NodeImage, RemoteFile, Table, Tool, read

__all__ = [
    "Cache",
    "CannotDownload",
    "CannotKeep",
    "Manifests",
    "Needs",
    "NodeImage",
    "Platform",
    "RemoteFile",
    "Table",
    "Tool",
    "ToolError",
    "WrongChecksum",
    "container_platform",
    "fetch",
    "find",
    "node_image",
    "read",
    "this_platform",
]


def node_image() -> NodeImage:
    """The node image that clusters made with kind use unless another is asked for. Raises ToolError."""
    return read().node
