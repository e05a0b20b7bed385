"""The image that the lab brings along: what its own pods run, and what tries connections where a pod has no tools of its own."""

from __future__ import annotations

from typing import Any

from labkit.cluster import Cluster, ClusterError
from labkit.cluster.images import ImageError, pinned, read

_USED_BY = "probes"  # the word in clusters/images.toml
#: Where there is no table. Kubernetes' own image for network tests: a shell, curl, and `agnhost` itself. The demos run it too.
_DEFAULT = "registry.k8s.io/e2e-test-images/agnhost:2.56"


def probe_image() -> str:
    """The first image of clusters/images.toml that is there for probes. Raises ImageError for a table that is wrong."""
    try:
        entries = read().entries
    except ImageError:
        raise
    except ClusterError:
        return _DEFAULT
    return next((entry.reference for entry in entries if _USED_BY in entry.used), _DEFAULT)


def with_images_of(cluster: Cluster, obj: dict[str, Any]) -> dict[str, Any]:
    """An object with its images named as this cluster has to name them: by digest where it pulls. Raises ClusterUnreachable."""
    return pinned([obj], cluster)[0]


# A container that also the strictest Pod Security Standard admits: trying connections needs no right at all.
RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
