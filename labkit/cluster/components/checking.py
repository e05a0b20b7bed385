"""Before something is installed: what the cluster has, and whether that goes together. After it: until it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import ClusterError
from labkit.cluster.providers import Finding
from labkit.cluster.steps import Steps

from .compatibility import KUBERNETES, Severity, objections
from .evidence import troubles
from .serverside import dry_run_create
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


def injected(
    cluster: Cluster,
    *,
    title: str,
    proxy: str,
    asking: Mapping[str, Any],
    injector: str,
    namespace: str,
    missing: str,
) -> Finding:
    """Has a pod made without keeping it, and looks whether a mesh's injector put its proxy into it.

    asking: the labels or annotations with which a pod asks for one. `injector`: the Deployment whose log says why there is none.
    """
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "labkit-asks", "namespace": "default", **asking},
        "spec": {"containers": [{"name": "app", "image": "app"}]},
    }
    try:
        names = container_names(dry_run_create(cluster, pod))
    except ClusterError as problem:
        why = f"the injector does not answer: {problem}"
        return Finding(title, False, why, f"kubectl logs -n {namespace} deploy/{injector}")
    if proxy in names:
        return Finding(title, True, f"containers: {', '.join(names)}")
    return Finding(title, False, missing, "kubectl get mutatingwebhookconfigurations")


def container_names(pod: Mapping[str, Any]) -> list[str]:
    """Names of a pod's containers, those that run first at the front: a proxy may be among either."""
    spec = pod["spec"]
    return [one["name"] for one in (*(spec.get("initContainers") or []), *spec["containers"])]
