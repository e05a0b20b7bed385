"""A cluster as the lab sees it: apply, delete, read, wait, run commands, and take a snapshot for the policy engine.

Objects are plain dicts throughout. Nothing here knows which provider made the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from labkit.policy import ObjectKey, SourceMap, World

from .client import MERGE_PATCH, Client, Query
from .errors import Invalid, NotFound
from .execution import ExecResult, execute
from .kinds import Kind, Kinds
from .starting import PATIENCE, until_started
from .waiting import Condition, until
from .writing import WRITE, Applied, Object, Objects, Writer, key_of

Listed = list[Object]

_PAGE = 500
_SNAPSHOT = ("namespaces", "nodes", "pods", "services", "endpointslices", "networkpolicies")


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
        self._writer = Writer(client, self.kinds, self.namespace)

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
        return self._writer.apply(objects, source, namespace)

    def replace(
        self, objects: Objects, source: str = "<yaml>", *, namespace: str | None = None
    ) -> list[Applied]:
        """Make the objects exactly these, dropping what others have added to them; create those that are missing.

        For starting over. Arguments and errors as for `apply`.
        """
        return self._writer.replace(objects, source, namespace)

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
        return bool(self._writer.delete([(found, key)], wait, grace))

    def delete_objects(
        self,
        objects: Objects,
        *,
        namespace: str | None = None,
        wait: float | None = 60.0,
        grace: int | None = None,
    ) -> list[ObjectKey]:
        """Delete objects (given as for `apply`); those that do not exist are passed over. Returns what was deleted."""
        pairs = self._writer.read(objects, "<yaml>", namespace)
        return self._writer.delete([(self.kinds.of(obj), key_of(obj)) for obj, _ in pairs], wait, grace)

    def patch(self, kind: str, name: str, body: Mapping[str, Any], *, namespace: str | None = None) -> Object:
        """Merge `body` into an object (JSON merge patch: null removes). Raises NotFound, Invalid."""
        found = self.kinds.named(kind)
        path = found.path(self._where(found, namespace), name)
        return dict(
            self.client.request("PATCH", path, query=WRITE, body=dict(body), content_type=MERGE_PATCH)
        )

    # Reading

    def _where(self, kind: Kind, namespace: str | None) -> str | None:
        return (namespace or self.namespace) if kind.namespaced else None

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None when there is none. Raises NotFound when the server does not know the kind."""
        found = self.kinds.named(kind)
        try:
            return dict(self.client.request("GET", found.path(self._where(found, namespace), name)))
        except NotFound:
            return None

    def list(
        self, kind: str, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> list[Object]:
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

    def wait_ready(
        self,
        objects: Objects,
        *,
        namespace: str | None = None,
        timeout: float = 60.0,
        patience: float = PATIENCE,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """Wait until all these (pods, Deployments, namespaces, ...) are ready, each for `timeout` seconds.

        Raises CannotStart once a pod of theirs has been stuck for `patience` seconds (its image cannot be pulled, say;
        a pull that takes long is not that), WaitTimeout that says why not. `progress` is told what is waited for.
        """
        read = [(self.kinds.of(obj), obj) for obj, _ in self._writer.read(objects, "<yaml>", namespace)]
        until_started(
            self.client, self.kinds.named("pods"), read, timeout=timeout, patience=patience, progress=progress
        )

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
        """Run a command in a container (default: the one that kubectl takes) and return its output and exit code.

        Raises ExecError when it could not be started, NotFound for no such pod, WaitTimeout after `timeout` seconds.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        words = list(command)
        try:
            return execute(
                self.client, namespace, pod, words, container=container, stdin=data, timeout=timeout
            )
        except Invalid:
            if container is not None:
                raise
        # A pod of several containers, and none was named: the one that kubectl takes.
        chosen = self._default_container(namespace, pod)
        return execute(self.client, namespace, pod, words, container=chosen, stdin=data, timeout=timeout)

    def _default_container(self, namespace: str, pod: str) -> str:
        found = self.client.request("GET", self.kinds.named("pods").path(namespace, pod))
        annotations = found["metadata"].get("annotations") or {}
        return str(
            annotations.get("kubectl.kubernetes.io/default-container")
            or found["spec"]["containers"][0]["name"]
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
        return self._writer.sources(objects)
