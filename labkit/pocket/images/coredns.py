"""coredns: the cluster's DNS, a pod like any other."""

from __future__ import annotations

from .registry import Image, Program
from .toolbox import TOOLBOX

IMAGES = (
    Image(
        names=("coredns/coredns", "coredns"),
        entrypoint=("/coredns",),
        commands={**TOOLBOX, "/coredns": Program("coredns:main")},
        exposed=("53/udp", "53/tcp"),
        note="coredns: the cluster's names from the API; names outside the cluster get SERVFAIL, there is no upstream",
    ),
)
