"""pause: the image that does nothing until it is told to end."""

from __future__ import annotations

from .registry import Image, Program
from .toolbox import TOOLBOX

IMAGES = (
    Image(
        names=("pause",),
        entrypoint=("/pause",),
        commands={**TOOLBOX, "/pause": Program("agnhost:pause_container")},
        user="65535:65535",
        note="pause: waits for a signal and ends",
    ),
)
