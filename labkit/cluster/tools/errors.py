"""What can go wrong on the way to a tool."""

from __future__ import annotations

# ruff: noqa: N818 - each says what happened
from labkit.cluster.errors import ClusterError


class ToolError(ClusterError):
    """A tool or manifest cannot be had, or its table is wrong; the message says what to do."""


class CannotDownload(ToolError):
    """The other side did not give the file: no way to it, an error answer, or it broke off too often."""


class WrongChecksum(ToolError):
    """What came is not what was expected; it has been thrown away."""


class CannotKeep(ToolError):
    """The cache cannot be written: no space left, or no permission."""
