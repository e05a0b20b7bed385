"""A chapter's stage on the learner's cluster: its demo and a step's starting policies, whatever somebody has tried out since."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from labkit.course.places import manifest
from labkit.course.steps import Chapter, Step
from labkit.policy import yamlseam

READY_SECONDS = 300  # for images that have to be pulled first, on a cluster that pulls
_GONE_SECONDS = 60.0


def apply_again(cluster: Any, text: str, source: str) -> None:
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


class Stage:
    """The demo of a chapter on one cluster. Every method may be called again at any time; errors are the cluster's.

    say: told what is waited for.
    """

    def __init__(self, chapter: Chapter, cluster: Any, say: Callable[[str], None]) -> None:
        self.chapter, self.cluster, self.say = chapter, cluster, say

    def install(self) -> None:
        """Apply the demo and wait until it runs; where it runs already, this changes nothing."""
        self.put_up()
        self.await_ready()

    def put_up(self) -> None:
        """Apply the demo, without waiting for it; its images are those that this cluster shall run."""
        from labkit.cluster.images import pinned

        for path in self._demo():
            apply_again(self.cluster, pinned(path.read_text(encoding="utf-8"), self.cluster), path.name)

    def await_ready(self) -> None:
        """Wait until the demo runs; on paper nothing runs, and nothing is waited for."""
        from labkit.cluster.images import wait_ready

        for path in self._demo() if self.cluster.live else ():
            text = path.read_text(encoding="utf-8")
            by_tag = partial(apply_again, self.cluster, text, path.name)
            wait_ready(self.cluster, text, by_tag=by_tag, timeout=READY_SECONDS, progress=self.say)

    def _demo(self) -> list[Path]:
        return [manifest(self.chapter.folder, name) for name in self.chapter.demo]

    def begin(self, step: Step) -> None:
        """Put the step's policies in force, and no others in the chapter's namespaces."""
        start: list[tuple[Path, str]] = [
            (path, path.read_text(encoding="utf-8"))
            for path in (manifest(self.chapter.folder, n) for n in step.start)
        ]
        kept = {
            (obj["metadata"]["namespace"], obj["metadata"]["name"])
            for _, text in start
            for obj in yamlseam.load_plain(text)
        }
        self.remove_policies(keep=kept)
        for path, text in start:
            self.cluster.replace(text, path.name)  # and not apply, which keeps what somebody added by hand
        if self.take_away_what_was_made(step):
            self.install()

    def remove_policies(self, keep: Container[tuple[str, str]] = ()) -> None:
        """Delete the policies of the chapter's namespaces, but for those kept, as (namespace, name)."""
        for namespace in self.chapter.namespaces:
            for policy in self.cluster.list("NetworkPolicy", namespace=namespace):
                if (namespace, policy["metadata"]["name"]) not in keep:
                    self.cluster.delete("NetworkPolicy", policy["metadata"]["name"], namespace)

    def take_away_what_was_made(self, step: Step) -> bool:
        """Delete the objects that the step asks for, unless they are as the demo makes them; gives whether any was deleted."""
        demo = self._labels_of_the_demo()
        gone = False
        for wanted in step.objects:
            found = self.cluster.get(wanted["kind"], wanted["name"], wanted.get("namespace"))
            if found is None or demo.get(_identity(found)) == found["metadata"].get("labels", {}):
                continue
            # A pod that a learner made has 30 s to end, unless somebody says otherwise.
            soon = {"grace": 1} if self.cluster.live else {}
            self.cluster.delete(wanted["kind"], wanted["name"], wanted.get("namespace"), **soon)
            gone = True
        return gone

    def restore_labels(self) -> None:
        """Take labels off that somebody put on the demo's pods and namespaces by hand: policies choose by them."""
        for (kind, namespace, name), labels in self._labels_of_the_demo().items():
            found = self.cluster.get(kind, name, namespace or None) if kind in ("Pod", "Namespace") else None
            if found is None:
                continue
            added = set(found["metadata"].get("labels", {})) - set(labels) - {"kubernetes.io/metadata.name"}
            if added:
                change = {"metadata": {"labels": dict.fromkeys(sorted(added))}}
                self.cluster.patch(kind, name, change, namespace=namespace or None)

    def _labels_of_the_demo(self) -> dict[tuple[str, str, str], dict[str, str]]:
        found = (
            obj for path in self._demo() for obj in yamlseam.load_plain(path.read_text(encoding="utf-8"))
        )
        return {_identity(obj): obj["metadata"].get("labels", {}) for obj in found}


def _identity(obj: Mapping[str, Any]) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
