"""Writing objects: apply as kubectl does, replace, delete; and where what was applied stands in its text."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.policy import ObjectKey, SourceMap, load

from . import threeway
from .client import MERGE_PATCH, STRATEGIC_PATCH, Client
from .errors import ApplyError, ClusterError, ClusterUnreachable, Conflict, Invalid, NotFound
from .kinds import Kind, Kinds
from .waiting import Condition, until

Object = dict[str, Any]
Objects = str | Mapping[str, Any] | Iterable[Mapping[str, Any]]

WRITE = {"fieldManager": "labkit", "fieldValidation": "Strict"}
_ATTEMPTS = 3

#: API groups whose kinds the server patches strategically: its own, not those of CustomResourceDefinitions.
_OWN_GROUPS = {
    "", "apps", "batch", "autoscaling", "policy",
    "networking.k8s.io", "discovery.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io", "scheduling.k8s.io",
    "coordination.k8s.io", "node.k8s.io", "events.k8s.io", "admissionregistration.k8s.io", "certificates.k8s.io",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one object: `action` is "created", "configured" or "unchanged"; `object` as the server has it.

    Unpacks as (key, action), which is what is told to a learner.
    """

    key: ObjectKey
    action: str
    object: Object

    def __iter__(self) -> Iterator[Any]:
        return iter((self.key, self.action))

    def __str__(self) -> str:
        return f"{self.key} {self.action}"


@dataclass(frozen=True, slots=True)
class _Source:
    """Where an object's fields stand in what was applied, as long as the object is still that."""

    map: SourceMap
    uid: str
    generation: int


class Writer:
    """Writes to one cluster, and remembers the text that objects came from. Thread-safe."""

    def __init__(self, client: Client, kinds: Kinds, namespace: str) -> None:
        self._client = client
        self._kinds = kinds
        self._namespace = namespace
        self._sources: dict[ObjectKey, _Source] = {}
        self._lock = threading.Lock()

    def read(
        self, objects: Objects, source: str, namespace: str | None
    ) -> list[tuple[Object, SourceMap | None]]:
        """Objects with their namespace filled in, and where they stand in their text. Raises YamlError, NotFound, Invalid."""
        pairs: list[tuple[Object, SourceMap | None]]
        if isinstance(objects, str):
            pairs = [(item.object, item.source) for item in load(objects, source)]
        elif isinstance(objects, Mapping):
            pairs = [(dict(objects), None)]
        else:
            pairs = [(dict(item), None) for item in objects]
        filled: list[tuple[Object, SourceMap | None]] = []
        for obj, lines in pairs:
            try:
                kind = self._kinds.of(obj)
            except (NotFound, Invalid) as problem:
                raise _with_line(problem, lines, "kind") from None
            metadata = dict(obj.get("metadata") or {})
            if kind.namespaced and not metadata.get("namespace"):
                metadata["namespace"] = namespace or self._namespace
            filled.append(({**obj, "metadata": metadata}, lines))
        return filled

    def apply(self, objects: Objects, source: str, namespace: str | None) -> list[Applied]:
        return self._each(objects, source, namespace, self._apply_one)

    def replace(self, objects: Objects, source: str, namespace: str | None) -> list[Applied]:
        return self._each(objects, source, namespace, self._replace_one)

    def _each(
        self,
        objects: Objects,
        source: str,
        namespace: str | None,
        act: Callable[[Object, ObjectKey], Applied],
    ) -> list[Applied]:
        done: list[Applied] = []
        failures: list[tuple[Any, ClusterError]] = []
        for obj, lines in self.read(objects, source, namespace):
            key = key_of(obj)
            try:
                if not key.name:
                    raise Invalid("resource name may not be empty: the object has no metadata.name")
                result = act(obj, key)
            except ClusterUnreachable:
                raise  # so it would be for each of the others
            except ClusterError as problem:
                failures.append((key, _with_line(problem, lines)))
                continue
            done.append(result)
            if lines is not None:
                metadata = result.object.get("metadata", {})
                with self._lock:
                    self._sources[key] = _Source(
                        lines, metadata.get("uid", ""), metadata.get("generation", 0)
                    )
        if failures:
            raise ApplyError(done, failures)
        return done

    def _apply_one(self, obj: Object, key: ObjectKey) -> Applied:
        kind = self._kinds.of(obj)
        desired = threeway.annotated(obj)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._apply_now(kind, key, desired)
            except Conflict:  # somebody was faster: look again
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _apply_now(self, kind: Kind, key: ObjectKey, desired: Object) -> Applied:
        path = kind.path(key.namespace, key.name)
        try:
            live = self._client.request("GET", path)
        except NotFound:
            return self._create(kind, key, desired)
        strategic = kind.api_version.rpartition("/")[0] in _OWN_GROUPS
        change = threeway.patch(threeway.last_applied(live), desired, live, strategic=strategic)
        if not change:
            return Applied(key, "unchanged", live)
        content = STRATEGIC_PATCH if strategic else MERGE_PATCH
        now = self._client.request("PATCH", path, query=WRITE, body=change, content_type=content)
        return Applied(key, _action(live, now), now)

    def _create(self, kind: Kind, key: ObjectKey, obj: Object) -> Applied:
        return Applied(
            key, "created", self._client.request("POST", kind.path(key.namespace), query=WRITE, body=obj)
        )

    def _replace_one(self, obj: Object, key: ObjectKey) -> Applied:
        kind = self._kinds.of(obj)
        desired = threeway.annotated(obj)
        path = kind.path(key.namespace, key.name)
        try:
            live = self._client.request("GET", path)
        except NotFound:
            return self._create(kind, key, desired)
        desired["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        if kind.kind == "Service":  # the address was given by the server and cannot be changed
            held = {name: live["spec"][name] for name in ("clusterIP", "clusterIPs") if name in live["spec"]}
            desired["spec"] = {**held, **desired.get("spec", {})}
        now = self._client.request("PUT", path, query=WRITE, body=desired)
        return Applied(key, _action(live, now), now)

    def delete(
        self, targets: list[tuple[Kind, ObjectKey]], wait: float | None, grace: int | None
    ) -> list[ObjectKey]:
        """Delete what exists of these, all at once, then wait until they are gone. Raises WaitTimeout."""
        deleted = []
        for kind, key in targets:
            uid = self._delete_one(kind, key, grace)
            if uid is not None:
                deleted.append((kind, key, uid))
        for kind, key, uid in deleted if wait is not None else []:
            gone = Condition.gone(uid)
            until(self._client, kind, key.namespace, name=key.name, condition=gone, timeout=wait or 0)
        return [key for _, key, _ in deleted]

    def _delete_one(self, kind: Kind, key: ObjectKey, grace: int | None) -> str | None:
        """The uid of what is being deleted, None when there is no such object."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        try:
            answer = self._client.request("DELETE", kind.path(key.namespace, key.name), body=body)
        except NotFound:
            return None
        with self._lock:
            self._sources.pop(key, None)
        return str(answer.get("metadata", {}).get("uid") or answer.get("details", {}).get("uid") or "")

    def sources(self, objects: Iterable[Mapping[str, Any]]) -> dict[ObjectKey, SourceMap]:
        """Where the fields of these live objects stand in the text they were applied from, if they are still that."""
        found: dict[ObjectKey, SourceMap] = {}
        with self._lock:
            for obj in objects:
                key, metadata = key_of(obj), obj.get("metadata", {})
                source = self._sources.get(key)
                if source and (source.uid, source.generation) == (
                    metadata.get("uid", ""),
                    metadata.get("generation", 0),
                ):
                    found[key] = source.map
        return found


def key_of(obj: Mapping[str, Any]) -> ObjectKey:
    """The key of an object whose namespace is filled in."""
    metadata = obj.get("metadata") or {}
    return ObjectKey(obj["kind"], metadata.get("namespace") or "", metadata.get("name") or "")


def _action(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    same = before["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion")
    return "unchanged" if same else "configured"


def _with_line(problem: ClusterError, lines: SourceMap | None, field: str = "") -> ClusterError:
    """The same error, with the lines of the text that it is about where the server names fields."""
    if lines is None:
        return problem
    fields = [field] if field else [name for name, _ in getattr(problem, "fields", [])]
    fields += re.findall(r'unknown field "([^"]+)"', problem.message)
    places = []
    for name in dict.fromkeys(filter(None, fields)):
        line = lines.nearest(name)
        if line:
            places.append(f"\n  {lines.name}, line {line}: {lines.quote(line)}")
    if places:
        text = problem.message + "".join(places)
        return type(problem)(text, code=problem.code, reason=problem.reason, status=problem.status)
    return problem
