"""Objects into a cluster in an order that works, each recorded before it exists; and waiting until what they are runs.

Server-side apply, because it may be repeated and because CustomResourceDefinitions of a mesh are larger than the annotation that
`kubectl apply` keeps (256 KiB); upstream's instructions say `kubectl create` for that reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.cluster.errors import CannotStart, ClusterError, NotFound, WaitTimeout
from labkit.cluster.steps import Steps

from .evidence import troubles
from .record import Record, Reference
from .serverside import server_side_apply
from .shape import ComponentError

Object = Mapping[str, Any]

_CRD_SECONDS = 60.0

# What must be there before what. Webhooks come last: they can refuse all that comes after them while their server starts.
_ORDER = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role")
LAST = ("APIService", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


def in_order(objects: Iterable[Object]) -> list[Object]:
    """Namespaces, definitions, accounts and roles first; then the rest as given; custom resources after it; webhooks last."""

    def place(obj: Object) -> tuple[int, int]:
        kind, api_version = obj["kind"], obj["apiVersion"]
        if kind in _ORDER:
            return 0, _ORDER.index(kind)
        if kind in LAST:
            return 3, LAST.index(kind)
        return (2, 0) if _is_custom(api_version) else (1, 0)

    return sorted(objects, key=place)


def _is_custom(api_version: str) -> bool:
    group = api_version.rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def apply(
    cluster: Cluster, name: str, objects: Iterable[Object], steps: Steps, *, version: str, title: str
) -> Record:
    """Bring objects in and record which of them were not there before; a record from an earlier try is gone on with.

    Raises ComponentError that names the object and has the server's message.
    """
    ordered = in_order(objects)
    before = Record.read(cluster, name) or Record(name)
    known = set(before.objects)
    steps.begin(f"Looking at what is there of {title}")
    ours = [
        reference
        for obj in ordered
        if (reference := _placed(cluster, obj)) not in known and find(cluster, reference) is None
    ]
    record = Record(name, version, (*before.objects, *ours), before.automatic, before.extras)
    record.write(cluster)  # before the first of them exists, so that whatever happens can be taken back
    steps.begin(f"Applying {len(ordered)} objects of {title} {version}".rstrip())
    waiting = [obj for obj in ordered if obj["kind"] == "CustomResourceDefinition"]
    for obj in ordered:
        if waiting and obj["kind"] not in ("Namespace", "CustomResourceDefinition"):
            _await_definitions(cluster, waiting)
            waiting = []
        try:
            server_side_apply(cluster, obj)
        except ClusterError as problem:
            raise ComponentError(
                f"{title}: the cluster does not accept {Reference.of(obj)}: {problem}",
                code=problem.code,
                reason=problem.reason,
                status=problem.status,
            ) from None
    _await_definitions(cluster, waiting)
    steps.end()
    return record


def _placed(cluster: Cluster, obj: Object) -> Reference:
    """Which object this will be. A namespace is filled in only where the manifest leaves it out of a core kind."""
    reference = Reference.of(obj)
    if reference.namespace or _is_custom(reference.api_version) or obj["kind"] in (*_ORDER[:2], *LAST):
        return reference
    kind = cluster.kinds.of(obj)
    where = cluster.namespace if kind.namespaced else ""
    return Reference(reference.api_version, reference.kind, where, reference.name)


def _await_definitions(cluster: Cluster, definitions: Sequence[Object]) -> None:
    for obj in definitions:
        name = obj["metadata"]["name"]
        cluster.wait(
            "customresourcedefinitions.apiextensions.k8s.io",
            name,
            condition="Established",
            timeout=_CRD_SECONDS,
        )


def await_workloads(cluster: Cluster, record: Record, steps: Steps, *, title: str, timeout: float) -> None:
    """Wait until every Deployment, DaemonSet and StatefulSet of a record is ready.

    Raises ComponentError with the pods and events that matter: early where a pod can never start, else after `timeout` seconds.
    """
    wanted = [one for one in record.objects if one.kind in ("Deployment", "DaemonSet", "StatefulSet")]
    live = [found for one in wanted if (found := find(cluster, one)) is not None]
    steps.begin(
        f"Waiting for {title}: {', '.join(obj['metadata']['name'] for obj in live) or 'nothing to start'}"
    )
    try:
        cluster.wait_ready(live, timeout=timeout, patience=min(timeout, IMAGE_PATIENCE), progress=steps.note)
    except WaitTimeout as late:
        text = explained(cluster, f"{title} does not start.", late, record.namespaces())
        raise ComponentError(f"{text}\n{_IMAGES}" if isinstance(late, CannotStart) else text) from None
    steps.end()


_IMAGES = (
    "Where an image cannot be pulled, the nodes do not reach its registry: bring the images in a box (labkit bundle load BOX)"
    " or by yourself (kind load docker-image IMAGE), then do the same again."
)
#: A pull is given up only after this: a registry that is slow to answer gets more than one chance.
IMAGE_PATIENCE = 45.0


def explained(cluster: Cluster, what: str, problem: ClusterError, namespaces: Iterable[str]) -> str:
    """What failed, why as the wait saw it, and the pods and events of these namespaces that say more."""
    return "\n".join(filter(None, (what, str(problem), *troubles(cluster, namespaces))))


def find(cluster: Cluster, reference: Reference) -> dict[str, Any] | None:
    """The object as the server has it, None where it or its kind is not there."""
    kind = cluster.kinds.known(reference.api_version, reference.kind)
    if kind is None:
        return None
    try:
        found = cluster.client.request("GET", kind.path(reference.namespace or None, reference.name))
    except NotFound:
        return None
    return {"apiVersion": reference.api_version, "kind": reference.kind, **found}
