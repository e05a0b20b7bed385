"""The tools that every stand-in has, and the images that are nothing but tools: busybox, alpine, curl, netshoot.

A shell, coreutils and the like are the machine's own, which the node binds read-only. curl is the machine's where it
has one. The small network tools are ours everywhere: they say what BusyBox and friends say in the real images, whatever
this machine has installed.
"""

from __future__ import annotations

import os

from .registry import Image, Program

_PLACES = ("/usr/bin", "/bin", "/usr/sbin", "/sbin")


def _machine_has(name: str) -> bool:
    """Whether the tool lies where every container sees it (a tool in somebody's home does not count)."""
    return any(os.access(f"{place}/{name}", os.X_OK) for place in _PLACES)


#: Ours in every container: path to program.
TOOLBOX: dict[str, Program] = {
    "/usr/local/bin/labkit-probe": Program("probe:main"),
    "/usr/local/bin/wget": Program("wget:main"),
    "/usr/local/bin/nc": Program("nc:main"),
    "/usr/local/bin/dig": Program("dig:dig"),
    "/usr/local/bin/nslookup": Program("dig:nslookup"),
    "/usr/local/bin/host": Program("dig:host"),
    "/usr/local/bin/ping": Program("ping:main"),
    "/usr/local/bin/busybox": Program("busybox:main"),
}

#: Ours only where the tools around a container lack one of that name: name to program, in /usr/local/bin.
IF_MISSING: dict[str, Program] = {
    "curl": Program("curl:main"),
    **dict.fromkeys(("hostname", "telnet", "httpd"), Program("busybox:applet")),
}
TOOLBOX |= {
    f"/usr/local/bin/{name}": program for name, program in IF_MISSING.items() if not _machine_has(name)
}

IMAGES = (
    Image(
        names=("busybox",),
        cmd=("sh",),
        commands=TOOLBOX,
        note="busybox: a shell and the machine's tools, with BusyBox's wget, nc, nslookup and ping of our own",
    ),
    Image(
        names=("alpine",),
        cmd=("/bin/sh",),
        commands=TOOLBOX,
        note="alpine: a shell and the machine's tools; there is no package manager",
    ),
    Image(
        names=("curlimages/curl", "radial/busyboxplus", "curl"),
        entrypoint=("/entrypoint.sh",),
        cmd=("curl",),
        commands={**TOOLBOX, "/entrypoint.sh": Program("entrypoint:curl")},
        user="100",  # upstream: curl_user, who has this number
        note="curl: the machine's curl, or one of our own with the common options and curl's exit codes",
    ),
    Image(
        names=("nicolaka/netshoot", "netshoot", "jessie-dnsutils", "dnsutils"),
        cmd=("/bin/sh",),
        commands=TOOLBOX,
        note="netshoot: a shell with curl, wget, nc, dig, nslookup, host and ping, and whatever else the machine has",
    ),
)
