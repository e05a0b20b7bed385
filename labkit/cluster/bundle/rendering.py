"""The images of components: those that their manifests name, and those that their installers render."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator

from labkit.cluster.tools import Cache, Table, fetch, find

from .errors import BoxError
from .wanted import Wanted, images_of, once

_SECONDS = 120
# What istioctl renders names istiod alone; the sidecar of the same release is put into pods by a template. ("auto" stands for it
# in a gateway's manifest.)
_ISTIOD = re.compile(r"(?P<hub>.+)/pilot:(?P<tag>.+)")
_NO_IMAGE = {"auto"}


def component_images(
    wanted: Wanted, table: Table, cache: Cache, tell: Callable[[str], None] | None = None
) -> list[str]:
    """The images of all components that are wanted, each once. Raises BoxError with an installer's own words, ToolError."""
    return [image for image in once(_all(wanted, table, cache, tell)) if image not in _NO_IMAGE]


def _all(wanted: Wanted, table: Table, cache: Cache, tell: Callable[[str], None] | None) -> Iterator[str]:
    for name in wanted.manifests:
        for one in table.component(name).files:
            yield from images_of(fetch(one, cache, progress=tell).read_text(encoding="utf-8"), one.name)
    for name in wanted.components:
        for command in table.components[name].renders:
            if tell:
                tell(f"asking {command[0]} for the images of {name}")
            for image in images_of(_rendered(command, table, tell), " ".join(command[:3])):
                yield image
                if istiod := _ISTIOD.fullmatch(image):
                    yield f"{istiod['hub']}/proxyv2:{istiod['tag']}"


def _rendered(command: tuple[str, ...], table: Table, tell: Callable[[str], None] | None) -> str:
    tool = find(command[0], table=table, progress=tell)
    words = [word.format(clusters=table.path.parent) for word in command[1:]]
    try:
        done = subprocess.run(
            [str(tool), *words], capture_output=True, text=True, errors="replace", timeout=_SECONDS,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise BoxError(f"{command[0]} cannot be asked for its images: {problem}") from None
    if done.returncode:
        raise BoxError(f"{' '.join(command[:3])}: {done.stderr.strip() or done.returncode}")
    return done.stdout
