"""agnhost: Kubernetes' own test image, which its end-to-end tests and our demos use."""

from __future__ import annotations

from .registry import Image, Program
from .toolbox import TOOLBOX

_AGNHOST = Program("agnhost:main")

IMAGES = (
    Image(
        names=("agnhost",),
        entrypoint=("/agnhost",),
        cmd=("pause",),
        commands={
            **TOOLBOX,
            "/agnhost": _AGNHOST,
            "/agnhost-2": _AGNHOST,
            "/usr/local/bin/agnhost": _AGNHOST,
        },
        files={"/uploads/.keep": ""},
        note="agnhost: pause, netexec, serve-hostname, porter, connect and smaller subcommands answer as upstream's",
    ),
)
