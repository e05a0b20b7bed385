"""Stand-ins for container images: Python programs that really listen and really answer where an image would.

A stand-in is data (`Image`): names, entry point, commands, files. The node finds one by reference, writes its files and
`shims` into the container's root and runs its commands. Nothing is pulled; an image without a stand-in is unknown.
"""

from __future__ import annotations

from .registry import Image, Program, find, images, known, preload, repository
from .shim import shims

__all__ = ["Image", "Program", "find", "images", "known", "preload", "repository", "shims"]
