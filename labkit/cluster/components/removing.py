"""Taking a component away: all that its record has, what grew out of that, and then the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import WaitTimeout
from labkit.cluster.steps import Steps

from .applying import LAST
from .record import Record, Reference
from .shape import ComponentError

_GONE_SECONDS = 180.0
# What stands between people and the API goes first.
_FIRST_TO_GO = LAST


def remove(
    cluster: Cluster,
    record: Record,
    steps: Steps,
    *,
    title: str,
    grown: Iterable[Reference] = (),
    timeout: float = _GONE_SECONDS,
) -> None:
    """Take away everything of a record, then what grew out of it, then the record; returns when it is gone.

    Custom resources go first, while everything still runs: an operator may have to work on their end.
    Raises ComponentError that names what does not go.
    """
    groups = {one.name.partition(".")[2] for one in record.objects if one.kind == "CustomResourceDefinition"}
    spaces = set(record.namespaces())
    first = [one for one in record.objects if one.kind in _FIRST_TO_GO]
    custom = [one for one in record.objects if one.group in groups]
    rest = [
        one
        for one in record.objects
        if one not in custom and one not in first and one.namespace not in spaces
    ]
    try:
        steps.begin(f"Removing the resources of {title}")
        delete(cluster, custom, timeout)
        steps.begin(f"Removing the webhooks of {title}")
        delete(cluster, first, timeout)
        steps.begin(f"Removing {len(rest)} objects of {title}")
        # A namespace takes what is in it along. The roles go with it: nothing has to clean up any more.
        delete(cluster, rest, timeout)
        delete(cluster, [one for one in grown if one.namespace not in spaces], timeout)
    except WaitTimeout as late:
        raise ComponentError(
            f"{title} is not gone after {timeout:g} s: {late}{_finalizers(late.last)}\n"
            "Nothing is lost: the same command goes on where this one stopped."
        ) from None
    record.erase(cluster)
    steps.end()


def delete(cluster: Cluster, references: Iterable[Reference], timeout: float) -> None:
    """Delete what exists of these and wait until it is gone. Raises WaitTimeout."""
    # What has no kind any more is gone with it.
    known = [one.stub() for one in references if cluster.kinds.known(one.api_version, one.kind)]
    cluster.delete_objects(known, wait=timeout, grace=1)


def _finalizers(last: Mapping[str, Any] | None) -> str:
    held = (last or {}).get("metadata", {}).get("finalizers") or []
    return f" (held by {', '.join(held)}: whoever should let go of it does not run)" if held else ""
