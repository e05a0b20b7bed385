"""What can go wrong with images; the message says what is wrong, where, and what to do."""

from __future__ import annotations

from labkit.cluster.errors import ClusterError


class ImageError(ClusterError):
    """An image that cannot be built, read, found or loaded."""
