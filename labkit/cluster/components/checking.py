"""Before something is installed: what the cluster has, and whether that goes together. After it: until it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from labkit.cluster.cluster import Cluster
from labkit.cluster.providers import Finding
from labkit.cluster.steps import Steps

from .compatibility import KUBERNETES, Severity, objections
from .evidence import troubles
from .shape import ComponentError, Options, Refused

_AGAIN_SECONDS = 0.5


def there(cluster: Cluster, *, besides: str = "") -> dict[str, str]:
    """Versions of what the cluster has: Kubernetes, and every component but one."""
    from . import get, names

    found = {KUBERNETES: cluster.version()}
    for name in names():
        if name != besides and (version := get(name).version(cluster)):
            found[name] = version
    return found


def refuse_what_fails(cluster: Cluster, name: str, version: str, options: Options, steps: Steps) -> None:
    """Raises Refused with every reason; what is only untried is told as a warning."""
    found = objections(name, version, there(cluster, besides=name), options.extras)
    refusals = [one.message for one in found if one.severity is Severity.REFUSE]
    if refusals:
        raise Refused("\n".join(refusals))
    for one in found:
        steps.warn(one.message)


def until_ok(
    cluster: Cluster, ask: Callable[[Cluster], Finding], namespaces: Iterable[str], *, timeout: float
) -> None:
    """Ask again until the finding is good. Raises ComponentError with it, and with what these namespaces show."""
    deadline = time.monotonic() + timeout
    while not (found := ask(cluster)).ok:
        if time.monotonic() > deadline:
            lines = troubles(cluster, namespaces)
            text = f"{found.title}: this does not hold after {timeout:g} s: {found.explanation}"
            raise ComponentError("\n".join([text, *lines]))
        time.sleep(_AGAIN_SECONDS)  # a webhook that answers is no object that could be watched
