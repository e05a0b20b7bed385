"""What can go wrong with a box."""

from __future__ import annotations

# ruff: noqa: N818 - each says what happened
from labkit.cluster.errors import ClusterError


class BoxError(ClusterError):
    """A box cannot be made, read or loaded; the message says what to do."""


class DamagedBox(BoxError):
    """A part of the box is not what its list of contents says."""


class NoRoom(BoxError):
    """The disk has too little room; said before anything is written."""
