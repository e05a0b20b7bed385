"""Which stand-in plays an image, and what a learner reads when there is none. Nothing is ever pulled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.pocket import images


@dataclass(frozen=True)
class Missing:
    """No stand-in: the waiting reason and the message for status and events."""

    reason: str
    message: str


def find(container: Mapping[str, Any]) -> images.Image | Missing:
    """The stand-in for a container's image."""
    reference = container.get("image") or ""
    image = images.find(reference)
    if image is not None:
        return image
    if container.get("imagePullPolicy") == "Never":
        return Missing(
            "ErrImageNeverPull", f'Container image "{reference}" is not present with pull policy of Never'
        )
    message = (
        f'failed to pull image "{reference}": this cluster pulls nothing; it has stand-ins for some images, and none for '
        f"this one. Known images: {', '.join(images.known())}"
    )
    return Missing("ErrImagePull", message)


def provided(container: Mapping[str, Any], image: images.Image) -> str:
    """The Pulled event's message, which says honestly what runs."""
    note = f" ({image.note})" if image.note else ""
    return f'Container image "{container["image"]}" is provided on this machine by a stand-in{note}'
