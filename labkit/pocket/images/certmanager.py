"""cert-manager's containers: they wait, since the embedded counterpart does the work inside the cluster."""

from __future__ import annotations

from .registry import Image, Program
from .toolbox import TOOLBOX

IMAGES = (
    Image(
        names=(
            "jetstack/cert-manager-controller",
            "jetstack/cert-manager-webhook",
            "jetstack/cert-manager-cainjector",
        ),
        entrypoint=("/app/cmd/waiting",),
        commands={**TOOLBOX, "/app/cmd/waiting": Program("agnhost:pause_container")},
        user="1000:1000",
        note="cert-manager: waits; the embedded cert-manager works inside the cluster",
    ),
)
