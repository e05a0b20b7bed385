"""What this machine is, in the words of those who publish programs: linux/amd64, darwin/arm64."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An operating system and a processor, as Go and container images name them."""

    os: str
    arch: str

    def __str__(self) -> str:
        return f"{self.os}/{self.arch}"

    @classmethod
    def parse(cls, text: str) -> Platform:
        """From "linux/amd64". Raises ValueError."""
        os_, slash, arch = text.partition("/")
        if not (os_ and slash and arch and "/" not in arch):
            raise ValueError(f"{text!r} is not a platform; an example is linux/amd64")
        return cls(os_, arch)


def this_platform() -> Platform:
    """The machine that this runs on; an unknown processor keeps its own name."""
    os_ = "linux" if sys.platform.startswith("linux") else sys.platform
    machine = platform.machine().lower()
    return Platform(os_, _ARCHITECTURES.get(machine, machine or "unknown"))


def container_platform(here: Platform | None = None) -> Platform:
    """What container images of this machine's engine are made for: always Linux, on the same processor."""
    return Platform("linux", (here or this_platform()).arch)
