"""Which stand-in plays an image, and what a learner reads when there is none. Nothing is ever pulled."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.pocket import images
from labkit.pocket.node.backoff import Backoff

Event = Callable[[str, str, str], None]
_ERROR_SHOWN = 1.0  # seconds: upstream shows the error until it looks at the pod again

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)


@dataclass(frozen=True)
class Missing:
    """No stand-in: the waiting reason, the message for status and events, and the event's own reason if it differs."""

    reason: str
    message: str
    event: str = ""


def find(container: Mapping[str, Any]) -> images.Image | Missing:
    """The stand-in for a container's image."""
    reference = container.get("image") or ""
    wrong = what_is_wrong_with(reference)
    if wrong:
        # pkg/kubelet/images/image_manager.go:EnsureImageExists
        message = f'Failed to apply default image tag "{reference}": couldn\'t parse image name "{reference}": {wrong}'
        return Missing("InvalidImageName", message, "InspectFailed")
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


def what_is_wrong_with(reference: str) -> str:
    """Why no image can have this name, or "" (github.com/distribution/reference:ParseNormalizedNamed)."""
    first, slash, rest = reference.partition("/")
    is_domain = slash and (any(c in first for c in ".:") or first == "localhost" or first != first.lower())
    path = rest if is_domain else reference
    if not is_domain and "/" not in path:
        path = f"library/{path}"
    name = path.partition(":")[0]
    if name != name.lower():
        return f"invalid reference format: repository name ({name}) must be lowercase"
    whole = f"{first}/{path}" if is_domain else path
    return "" if _REFERENCE.fullmatch(whole) else "invalid reference format"


def provided(container: Mapping[str, Any], image: images.Image) -> str:
    """The Pulled event's message, which says honestly what runs."""
    note = f" ({image.note})" if image.note else ""
    return f'Container image "{container["image"]}" is provided on this machine by a stand-in{note}'


async def provide(
    container: Mapping[str, Any], event: Event, wait: Callable[[str, str], None]
) -> images.Image:
    """Return the stand-in; while there is none, let ErrImagePull and ImagePullBackOff take turns, as upstream.

    `event(type, reason, message)` records, `wait(reason, message)` sets the container's waiting state.
    """
    backoff = Backoff()
    reference = container.get("image", "")
    while True:
        found = find(container)
        if isinstance(found, images.Image):
            event("Normal", "Pulled", provided(container, found))
            return found
        failed = time.monotonic()
        if found.reason == "ErrImagePull":
            event("Normal", "Pulling", f'Pulling image "{reference}"')
            event("Warning", "Failed", f'Failed to pull image "{reference}": {found.message}')
        else:
            event("Warning", found.event or found.reason, found.message)
        event("Warning", "Failed", f"Error: {found.reason}")
        wait(found.reason, found.message)
        backoff.tried(failed)
        await asyncio.sleep(_ERROR_SHOWN)
        if found.reason == "ErrImagePull":
            event("Normal", "BackOff", f'Back-off pulling image "{reference}"')
            event("Warning", "Failed", "Error: ImagePullBackOff")
            wait("ImagePullBackOff", f'Back-off pulling image "{reference}": ErrImagePull: {found.message}')
        await asyncio.sleep(backoff.wait(failed, time.monotonic()))
