"""A teaching lab for zero-trust networking in Kubernetes. In a notebook:

    %load_ext labkit
    from labkit import Lab

    lab = Lab("02-and-or")

Importing this is light; what needs Jupyter, the Kubernetes client or matplotlib is imported when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.course.lab import Lab

__all__ = ["Lab", "load_ipython_extension"]


def __getattr__(name: str) -> Any:
    if name == "Lab":
        from labkit.course.lab import Lab

        return Lab
    raise AttributeError(f"module 'labkit' has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext labkit` calls: registers the magics."""
    from labkit.course import magics

    magics.load(shell)
