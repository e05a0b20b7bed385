"""Waiting for an application to start, and giving up early where one of its pods cannot: an image that nobody can pull, say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from labkit.policy import ObjectKey
from labkit.policy.labels import Selector

from .client import Client
from .errors import CannotStart, WaitTimeout
from .kinds import Kind
from .waiting import Condition, until, why_not_ready

Object = Mapping[str, Any]

# Reasons of a waiting container, as the kubelet words them, that time alone seldom mends. A pull that is under way has
# none of them (ContainerCreating), and CrashLoopBackOff is not here: a program may wait for another in that way.
STUCK = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "ImageInspectError",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
    }
)
#: Seconds after which a stuck pod is given up. A kubelet tries a pull again after 10 s, so it had a second chance.
PATIENCE = 15.0
_LOOK = 3.0  # seconds between two looks at the pods of what is not ready
_OWNERS = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job")


def stuck_reason(pod: Object) -> str:
    """The kubelet's word for what a pod's container is stuck with; "" for a pod that may still start."""
    status = pod.get("status") or {}
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        reason = ((one.get("state") or {}).get("waiting") or {}).get("reason", "")
        if reason in STUCK:
            return str(reason)
    return ""


def until_started(
    client: Client,
    pods: Kind,
    objects: Iterable[tuple[Kind, Object]],
    *,
    timeout: float,
    patience: float = PATIENCE,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Wait until every object is ready, each for `timeout` seconds; `objects` are manifests with their namespaces filled in.

    `pods`: the kind of that name. `progress` is told, every few seconds and only when there is news, what is waited for.
    Raises CannotStart as soon as a pod of theirs has been stuck for `patience` seconds, WaitTimeout with the pods' reasons.
    """
    left = list(objects)
    look = _Look(client, pods, patience, progress)
    while left:
        kind, obj = left[0]
        rule = Condition.named("ready", kind.kind)
        where, name = obj["metadata"].get("namespace"), obj["metadata"]["name"]
        deadline = time.monotonic() + timeout
        while True:
            slice_ = max(0.0, min(_LOOK, deadline - time.monotonic()))
            try:
                until(client, kind, where, name=name, condition=rule, timeout=slice_)
                break
            except WaitTimeout as late:
                unready = look([one for _, one in left])
                if time.monotonic() >= deadline:
                    what = f"{kind.plural} {name}" + (f" in namespace {where}" if where else "")
                    said = _told(unready) if unready else str(late)
                    raise WaitTimeout(f"{what} not ready after {timeout:g} s:\n{said}", late.last) from None
        left.pop(0)


class _Look:
    """Looks at the pods of objects that are not ready, and remembers since when each of them is stuck."""

    def __init__(
        self, client: Client, kind: Kind, patience: float, progress: Callable[[str], None] | None
    ) -> None:
        self._client = client
        self._kind = kind
        self._patience = patience
        self._progress = progress or (lambda _line: None)
        self._since: dict[str, float] = {}
        self._told = ""

    def __call__(self, objects: Sequence[Object]) -> list[Object]:
        """The pods of these objects that are not ready. Raises CannotStart when one is stuck for too long."""
        unready = [pod for pod in self._pods(objects) if not _ready(pod)]
        now = time.monotonic()
        stuck = [pod for pod in unready if stuck_reason(pod)]
        self._since = {pod["metadata"]["uid"]: self._since.get(pod["metadata"]["uid"], now) for pod in stuck}
        if any(now - since >= self._patience for since in self._since.values()):
            raise CannotStart("These pods cannot start:\n" + _told(stuck), [_key(pod) for pod in stuck])
        news = ", ".join(f"{_name(pod)} ({_short(pod)})" for pod in unready)
        if news and news != self._told:
            self._told = news
            self._progress(f"Waiting for {news} ...")
        return unready

    def _pods(self, objects: Sequence[Object]) -> list[Object]:
        wanted: dict[str, list[Callable[[Object], bool]]] = {}
        for obj in objects:
            if belongs := _belongs(obj):
                wanted.setdefault(obj["metadata"].get("namespace", ""), []).append(belongs)
        found: list[Object] = []
        for namespace, rules in wanted.items():
            listed = self._client.request("GET", self._kind.path(namespace)).get("items") or []
            found += [pod for pod in listed if any(rule(pod) for rule in rules)]
        return found


def _belongs(obj: Object) -> Callable[[Object], bool] | None:
    """What tells an object's pods from others; None for a kind that has none."""
    if obj["kind"] == "Pod":
        return lambda pod: bool(pod["metadata"]["name"] == obj["metadata"]["name"])
    selector = (obj.get("spec") or {}).get("selector")
    if obj["kind"] not in _OWNERS or not selector:
        return None
    chosen = Selector.from_object(selector)
    return lambda pod: chosen.matches(pod["metadata"].get("labels") or {})


def _ready(pod: Object) -> bool:
    rule = Condition.named("ready", "Pod").holds
    return bool(pod["metadata"].get("deletionTimestamp")) or (rule is not None and rule(dict(pod)))


def _key(pod: Object) -> ObjectKey:
    return ObjectKey("Pod", pod["metadata"].get("namespace", ""), pod["metadata"]["name"])


def _short(pod: Object) -> str:
    """One word about a pod that is not ready."""
    status = pod.get("status") or {}
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        if waiting := (one.get("state") or {}).get("waiting"):
            return str(waiting.get("reason", "waiting"))
    return "not ready yet" if status.get("phase") == "Running" else str(status.get("phase", "Pending"))


def _told(pods: Iterable[Object]) -> str:
    return "\n".join(f"  {_name(pod)}: {why_not_ready(pod) or _short(pod)}" for pod in pods)


def _name(pod: Object) -> str:
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"
