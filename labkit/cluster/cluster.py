"""A cluster as the lab sees it: apply, delete, read, wait, run commands, and take a snapshot for the policy engine.

Objects are plain dicts throughout. Nothing here knows which provider made the cluster.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.policy import ObjectKey, SourceMap, World, load

from . import threeway
from .client import MERGE_PATCH, STRATEGIC_PATCH, Client, Query
from .errors import ApplyError, ClusterError, Conflict, NotFound
from .execution import ExecResult, execute
from .kinds import Kind, Kinds
from .waiting import Condition, until

Object = dict[str, Any]
Listed = list[Object]
Objects = str | Mapping[str, Any] | Iterable[Mapping[str, Any]]

FIELD_MANAGER = "labkit"
_PAGE = 500
_SNAPSHOT = ("namespaces", "nodes", "pods", "services", "networkpolicies")


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


class Cluster:
    """A connection to one cluster. Thread-safe; cheap to make, the first request connects.

    `live`, `why`: a cluster that runs is live; one that exists on paper only says why there is none.
    """

    live = True
    why = ""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.kinds = Kinds(client)
        self.namespace = client.context.namespace
        self._sources: dict[ObjectKey, _Source] = {}
        self._lock = threading.Lock()

    @classmethod
    def connect(cls, kubeconfig: str | Path | None = None, context: str | None = None) -> Cluster:
        """The cluster of a kubeconfig's context (default: as kubectl chooses). Raises NoSuchContext.

        No request is made: call `version` to know whether it answers.
        """
        return cls(Client(kubeconfig, context))

    def __repr__(self) -> str:
        return f"<Cluster {self.client.context.name} at {self.client.server}>"

    def describe(self) -> str:
        """One line about it, for a learner."""
        return f"Cluster {self.client.context.name} at {self.client.server}"

    def version(self) -> str:
        """The server's version ("v1.34.3"). Raises ClusterUnreachable."""
        return str(self.client.request("GET", "/version", timeout=5)["gitVersion"])

    def close(self) -> None:
        self.client.close()

    # Writing

    def apply(
        self, objects: Objects, source: str = "<yaml>", *, namespace: str | None = None
    ) -> list[Applied]:
        """What `kubectl apply` does, and so that kubectl can go on from it: create, or change only what the manifest changed.

        `objects`: YAML text (its line numbers are kept for explanations, under the name `source`), one object or
        several. Objects without a namespace go to `namespace` (default: the context's). Each object is tried;
        unknown fields are refused. Raises ApplyError with the server's messages when any was not accepted,
        labkit.policy.YamlError for text that is not YAML.
        """
        return self._each(objects, source, namespace, self._apply_one)

    def replace(
        self, objects: Objects, source: str = "<yaml>", *, namespace: str | None = None
    ) -> list[Applied]:
        """Make the objects exactly these, dropping what others have added to them; create those that are missing.

        For starting over. Arguments and errors as for `apply`.
        """
        return self._each(objects, source, namespace, self._replace_one)

    def delete(
        self,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        wait: float | None = 60.0,
        grace: int | None = None,
    ) -> bool:
        """Delete one object; False when there was none.

        `wait`: seconds until it must be gone (None: do not wait). `grace`: seconds that pods have to end.
        Raises WaitTimeout.
        """
        found = self.kinds.named(kind)
        key = ObjectKey(found.kind, self._where(found, namespace) or "", name)
        uid = self._delete_one(found, key, grace)
        if uid is None:
            return False
        self._wait_gone(found, key, uid, wait)
        return True

    def delete_objects(
        self,
        objects: Objects,
        *,
        namespace: str | None = None,
        wait: float | None = 60.0,
        grace: int | None = None,
    ) -> list[ObjectKey]:
        """Delete objects (given as for `apply`); those that do not exist are passed over. Returns what was deleted."""
        deleted: list[tuple[Kind, ObjectKey, str]] = []
        for obj, _ in self._read(objects, "<yaml>", namespace):
            kind, key = self.kinds.of(obj), self._key(obj)
            uid = self._delete_one(kind, key, grace)
            if uid is not None:
                deleted.append((kind, key, uid))
        for kind, key, uid in deleted:
            self._wait_gone(kind, key, uid, wait)
        return [key for _, key, _ in deleted]

    def _delete_one(self, kind: Kind, key: ObjectKey, grace: int | None) -> str | None:
        """The uid of what is being deleted, None when there is no such object."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        try:
            answer = self.client.request("DELETE", kind.path(key.namespace, key.name), body=body)
        except NotFound:
            return None
        with self._lock:
            self._sources.pop(key, None)
        return str(answer.get("metadata", {}).get("uid") or answer.get("details", {}).get("uid") or "")

    def _wait_gone(self, kind: Kind, key: ObjectKey, uid: str, timeout: float | None) -> None:
        if timeout is not None:
            until(
                self.client,
                kind,
                key.namespace,
                name=key.name,
                condition=Condition.gone(uid),
                timeout=timeout,
            )

    def patch(self, kind: str, name: str, body: Mapping[str, Any], *, namespace: str | None = None) -> Object:
        """Merge `body` into an object (JSON merge patch: null removes). Raises NotFound, Invalid."""
        found = self.kinds.named(kind)
        path = found.path(self._where(found, namespace), name)
        return _object(
            self.client.request("PATCH", path, query=_WRITE, body=dict(body), content_type=MERGE_PATCH)
        )

    def _each(
        self,
        objects: Objects,
        source: str,
        namespace: str | None,
        act: Callable[[Object, ObjectKey], Applied],
    ) -> list[Applied]:
        done: list[Applied] = []
        failures: list[tuple[Any, ClusterError]] = []
        for obj, lines in self._read(objects, source, namespace):
            key = self._key(obj)
            try:
                result = act(obj, key)
            except ClusterError as problem:
                failures.append((key, problem))
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
        kind = self.kinds.of(obj)
        desired = threeway.annotated(obj)
        path = kind.path(key.namespace, key.name)
        for attempt in range(3):
            try:
                live = self.client.request("GET", path)
            except NotFound:
                try:
                    return Applied(key, "created", self._create(kind, key, desired))
                except Conflict:
                    if attempt == 2:
                        raise
                    continue  # somebody was faster
            strategic = _is_builtin(kind)
            change = threeway.patch(threeway.last_applied(live), desired, live, strategic=strategic)
            if not change:
                return Applied(key, "unchanged", _object(live))
            content = STRATEGIC_PATCH if strategic else MERGE_PATCH
            try:
                now = self.client.request("PATCH", path, query=_WRITE, body=change, content_type=content)
            except Conflict:
                if attempt == 2:
                    raise
                continue
            same = now["metadata"].get("resourceVersion") == live["metadata"].get("resourceVersion")
            return Applied(key, "unchanged" if same else "configured", _object(now))
        raise AssertionError("unreachable")

    def _create(self, kind: Kind, key: ObjectKey, obj: Object) -> Object:
        return _object(self.client.request("POST", kind.path(key.namespace), query=_WRITE, body=obj))

    def _replace_one(self, obj: Object, key: ObjectKey) -> Applied:
        kind = self.kinds.of(obj)
        desired = threeway.annotated(obj)
        try:
            live = self.client.request("GET", kind.path(key.namespace, key.name))
        except NotFound:
            return Applied(key, "created", self._create(kind, key, desired))
        desired["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        if kind.kind == "Service":  # the address was given by the server and cannot be changed
            held = {name: live["spec"][name] for name in ("clusterIP", "clusterIPs") if name in live["spec"]}
            desired["spec"] = {**held, **desired.get("spec", {})}
        now = self.client.request("PUT", kind.path(key.namespace, key.name), query=_WRITE, body=desired)
        same = now["metadata"].get("resourceVersion") == live["metadata"].get("resourceVersion")
        return Applied(key, "unchanged" if same else "configured", _object(now))

    def _read(
        self, objects: Objects, source: str, namespace: str | None
    ) -> list[tuple[Object, SourceMap | None]]:
        """Objects with their namespace filled in, and where they stand in their text."""
        pairs: list[tuple[Object, SourceMap | None]]
        if isinstance(objects, str):
            pairs = [(item.object, item.source) for item in load(objects, source)]
        elif isinstance(objects, Mapping):
            pairs = [(dict(objects), None)]
        else:
            pairs = [(dict(item), None) for item in objects]
        filled: list[tuple[Object, SourceMap | None]] = []
        for obj, lines in pairs:
            kind = self.kinds.of(obj)
            metadata = dict(obj.get("metadata") or {})
            if kind.namespaced and not metadata.get("namespace"):
                metadata["namespace"] = namespace or self.namespace
            filled.append(({**obj, "metadata": metadata}, lines))
        return filled

    @staticmethod
    def _key(obj: Mapping[str, Any]) -> ObjectKey:
        metadata = obj.get("metadata") or {}
        return ObjectKey(obj["kind"], metadata.get("namespace") or "", metadata.get("name") or "")

    # Reading

    def _where(self, kind: Kind, namespace: str | None) -> str | None:
        return (namespace or self.namespace) if kind.namespaced else None

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None when there is none. Raises NotFound when the server does not know the kind."""
        found = self.kinds.named(kind)
        try:
            return _object(self.client.request("GET", found.path(self._where(found, namespace), name)))
        except NotFound:
            return None

    def list(
        self, kind: str, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> Listed:
        """Objects of a kind in a namespace, or (namespace=None) in all of them."""
        found = self.kinds.named(kind)
        items: list[Object] = []
        token = ""
        while True:
            query: Query = {
                "labelSelector": label_selector,
                "fieldSelector": field_selector,
                "limit": _PAGE,
                "continue": token,
            }
            page = self.client.request("GET", found.path(namespace), query=query)
            items += [
                {"apiVersion": found.api_version, "kind": found.kind, **item}
                for item in page.get("items") or []
            ]
            token = page.get("metadata", {}).get("continue") or ""
            if not token:
                return items

    def events(self, *, namespace: str | None = None, about: ObjectKey | None = None) -> Listed:
        """Events, oldest first; of one object when `about` says which."""
        selector = ""
        if about is not None:
            namespace = about.namespace or namespace
            selector = f"involvedObject.kind={about.kind},involvedObject.name={about.name}"
        found = self.list("events", namespace=namespace, field_selector=selector)
        return sorted(found, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")

    def logs(self, namespace: str, pod: str, *, container: str | None = None, tail: int | None = None) -> str:
        """A container's log."""
        path = self.kinds.named("pods").path(namespace, pod, "log")
        return self.client.raw("GET", path, query={"container": container, "tailLines": tail}).decode(
            "utf-8", "replace"
        )

    # Waiting

    def wait(
        self,
        kind: str,
        name: str | None = None,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        condition: str | Callable[[Object], bool] = "ready",
        timeout: float = 60.0,
    ) -> Listed:
        """Watch until the named object, or every object that the selector finds (at least one), fulfils a condition.

        `condition`: "ready" (a pod ready, a Deployment rolled out, a namespace active, anything else present), "gone",
        a condition type of the status ("Available"), or a function of the object. Returns the objects; raises WaitTimeout.
        """
        found = self.kinds.named(kind)
        wanted = condition if callable(condition) else None
        rule = Condition("the condition", wanted) if wanted else Condition.named(str(condition), found.kind)
        where = self._where(found, namespace)
        return until(
            self.client, found, where, name=name, selector=label_selector, condition=rule, timeout=timeout
        )

    def wait_until_ready(self, namespaces: Iterable[str], timeout: float = 60.0) -> None:
        """Wait until every Deployment of these namespaces is rolled out and every pod is ready. Raises WaitTimeout."""
        for namespace in namespaces:
            for kind in ("deployments", "pods"):
                found = self.kinds.named(kind)
                rule = Condition.named("ready", found.kind)
                until(self.client, found, namespace, condition=rule, timeout=timeout, may_be_none=True)

    def wait_ready(self, objects: Objects, *, namespace: str | None = None, timeout: float = 60.0) -> None:
        """Wait until all these (pods, Deployments, namespaces, ...) are ready. Raises WaitTimeout that says why not."""
        for obj, _ in self._read(objects, "<yaml>", namespace):
            kind, key = self.kinds.of(obj), self._key(obj)
            rule = Condition.named("ready", kind.kind)
            until(self.client, kind, key.namespace, name=key.name, condition=rule, timeout=timeout)

    # Running commands

    def exec(
        self,
        namespace: str,
        pod: str,
        command: Iterable[str],
        *,
        container: str | None = None,
        stdin: bytes | str | None = None,
        timeout: float = 30.0,
    ) -> ExecResult:
        """Run a command in a container and return its output and exit code.

        Raises ExecError when it could not be started, NotFound for no such pod, WaitTimeout after `timeout` seconds.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        return execute(
            self.client, namespace, pod, list(command), container=container, stdin=data, timeout=timeout
        )

    # Understanding

    def snapshot(self) -> World:
        """The objects that decide traffic, as a World for the policy engine, with the lines of what was applied from here."""
        with ThreadPoolExecutor(len(_SNAPSHOT)) as pool:
            lists = list(pool.map(self.list, _SNAPSHOT))
        objects = [item for one in lists for item in one]
        return World.from_objects(objects, self.sources(objects))

    def sources(self, objects: Iterable[Mapping[str, Any]]) -> dict[ObjectKey, SourceMap]:
        """Where the fields of these live objects stand in the text they were applied from, if they are still that."""
        found: dict[ObjectKey, SourceMap] = {}
        with self._lock:
            for obj in objects:
                key, metadata = self._key(obj), obj.get("metadata", {})
                source = self._sources.get(key)
                if source and (source.uid, source.generation) == (
                    metadata.get("uid", ""),
                    metadata.get("generation", 0),
                ):
                    found[key] = source.map
        return found


_WRITE = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}


def _is_builtin(kind: Kind) -> bool:
    """Whether the server knows strategic merge patch for it: its own kinds, not those of CustomResourceDefinitions."""
    group = kind.api_version.rpartition("/")[0]
    return group in _OWN_GROUPS


_OWN_GROUPS = {
    "", "apps", "batch", "autoscaling", "policy",
    "networking.k8s.io", "discovery.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io", "scheduling.k8s.io",
    "coordination.k8s.io", "node.k8s.io", "events.k8s.io", "admissionregistration.k8s.io", "certificates.k8s.io",
}  # fmt: skip


def _object(value: Any) -> Object:
    return dict(value)
