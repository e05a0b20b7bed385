"""A chapter's demo on the learner's cluster: installed as its manifests say, whatever somebody has tried out since."""

from __future__ import annotations

from typing import Any

_GONE_SECONDS = 60.0


def install(cluster: Any, text: str, source: str) -> None:
    """Apply a demo's manifest; where it runs already, this changes nothing.

    What cannot be changed back (a pod's containers, a Deployment's selector) is made anew. Raises ClusterError.
    """
    from labkit.cluster.errors import ApplyError, Invalid

    try:
        cluster.apply(text, source)
    except ApplyError as error:
        if not all(isinstance(problem, Invalid) for _, problem in error.failures):
            raise
        for key, _ in error.failures:
            cluster.delete(key.kind, key.name, key.namespace or None, wait=_GONE_SECONDS, grace=1)
        cluster.apply(text, source)
