"""One step of one Deployment: its newest ReplicaSet, the sizes of all of them, what the status says.

Upstream: pkg/controller/deployment (sync.go, rolling.go, recreate.go).
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.objects import key_of
from labkit.pocket.api.store import clone
from labkit.pocket.controllers import deploymentstatus as progress
from labkit.pocket.controllers import rollout
from labkit.pocket.controllers.ownership import controller_of, controller_reference
from labkit.pocket.controllers.pods import is_terminal
from labkit.pocket.controllers.reconcile import Obj

DEPLOYMENTS = "deployments.apps"
REPLICA_SETS = "replicasets.apps"
_COMPONENT = "deployment-controller"


class Rollout:
    """One look at one Deployment: what is there, and the changes made to it on the way."""

    def __init__(self, api: Api, deployment: Obj, owned: Sequence[Obj]) -> None:
        self.api = api
        self.deployment = deployment
        self.namespace, self.name = key_of(deployment)
        by_age = sorted(owned, key=lambda rs: (rs["metadata"]["creationTimestamp"], rs["metadata"]["name"]))
        template = deployment["spec"]["template"]
        self.new = next(
            (rs for rs in by_age if rollout.same_template(rs["spec"]["template"], template)), None
        )
        self.old = [rs for rs in by_age if rs is not self.new]

    @property
    def all(self) -> list[Obj]:
        return [*self.old, *([self.new] if self.new else [])]

    def step(self) -> float | None:
        """Scale, or roll on; then say how it stands."""
        self._note_pause()
        if self.deployment["spec"].get("paused") or self._is_being_scaled():
            self._ensure_new(create=False)
            self._scale()
        elif rollout.is_rolling(self.deployment):
            self._ensure_new(create=True)
            self._roll()
        else:
            self._recreate()
        self._clean_up()
        return self.write_status()

    # The newest ReplicaSet

    def _ensure_new(self, *, create: bool) -> None:
        number = str(max((rollout.revision(rs) for rs in self.old), default=0) + 1)
        if self.new is not None:
            self._refresh_new(self.new, number)
            self._set_revision(rollout.REVISION)
            if not any(c["type"] == "Progressing" for c in self._conditions):
                self._say("FoundNewReplicaSet", f'Found new replica set "{self.new["metadata"]["name"]}"')
            return
        if not create:
            return
        self.new = self._create_new(number)
        self._say("NewReplicaSetCreated", f'Created new replica set "{self.new["metadata"]["name"]}"')
        if rollout.replicas(self.new):
            self._scaled_event(self.new, 0, rollout.replicas(self.new))
        self._set_revision(rollout.REVISION)

    def _create_new(self, number: str) -> Obj:
        spec = self.deployment["spec"]
        collisions = int((self.deployment.get("status") or {}).get("collisionCount") or 0)
        label = rollout.template_hash(rollout.without_hash(spec["template"]), collisions)
        template = clone(spec["template"])
        labels = template.setdefault("metadata", {}).setdefault("labels", {})
        labels[rollout.HASH_LABEL] = label
        selector = clone(spec["selector"])
        selector.setdefault("matchLabels", {})[rollout.HASH_LABEL] = label
        replica_set: Obj = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{self.name}-{label}",
                "namespace": self.namespace,
                "labels": dict(labels),
                "ownerReferences": [controller_reference(self.deployment)],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        }
        if spec.get("minReadySeconds"):
            replica_set["spec"]["minReadySeconds"] = spec["minReadySeconds"]
        size = rollout.new_size(self.deployment, [*self.old, replica_set], replica_set)
        replica_set["spec"]["replicas"] = size
        replica_set["metadata"]["annotations"] = self._annotations(replica_set, number) | self._limits()
        try:
            return self.api.create(REPLICA_SETS, replica_set, self.namespace)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                self._say(
                    "ReplicaSetCreateError",
                    f'Failed to create new replica set "{replica_set["metadata"]["name"]}": {error.message}',
                    status="False",
                )
                self.write_status()
                raise
            # Another object has the name: count the collision, so that the next look takes another.
            status = self.deployment.setdefault("status", {})
            status["collisionCount"] = collisions + 1
            self.write_status()
            raise

    def _annotations(self, replica_set: Obj, number: str) -> dict[str, str]:
        """What a newest ReplicaSet carries besides its limits: the Deployment's annotations, the revision."""
        ours = self.deployment["metadata"].get("annotations") or {}
        annotations = dict(replica_set["metadata"].get("annotations") or {})
        annotations |= {key: value for key, value in ours.items() if key not in rollout.NOT_COPIED}
        before = annotations.get(rollout.REVISION, "")
        if int(before or 0) < int(number):
            annotations[rollout.REVISION] = number
            if before:
                history = annotations.get(rollout.REVISION_HISTORY, "")
                annotations[rollout.REVISION_HISTORY] = f"{history},{before}" if history else before
        return annotations

    def _limits(self) -> dict[str, str]:
        surge, _ = rollout.fenceposts(self.deployment)
        wanted = rollout.replicas(self.deployment)
        return {rollout.DESIRED: str(wanted), rollout.MAXIMUM: str(wanted + surge)}

    def _refresh_new(self, new: Obj, number: str) -> None:
        annotations = self._annotations(new, number)
        min_ready = self.deployment["spec"].get("minReadySeconds", 0)
        same_wait = new["spec"].get("minReadySeconds", 0) == min_ready
        if same_wait and annotations == (new["metadata"].get("annotations") or {}):
            return

        def change(copy: Obj) -> Obj:
            copy["metadata"]["annotations"] = annotations
            if min_ready or "minReadySeconds" in copy["spec"]:
                copy["spec"]["minReadySeconds"] = min_ready
            return copy

        self.new = self.api.modify(REPLICA_SETS, new["metadata"]["name"], self.namespace, change)

    def _set_revision(self, annotation: str) -> None:
        assert self.new is not None
        number = self.new["metadata"]["annotations"][annotation]
        if (self.deployment["metadata"].get("annotations") or {}).get(annotation) == number:
            return

        def change(copy: Obj) -> Obj:
            copy["metadata"].setdefault("annotations", {})[annotation] = number
            return copy

        changed = self.api.modify(DEPLOYMENTS, self.name, self.namespace, change)
        self.deployment["metadata"] = clone(changed["metadata"])

    # Sizes

    def _resize(self, replica_set: Obj, size: int) -> None:
        before = rollout.replicas(replica_set)
        limits = self._limits()

        def change(copy: Obj) -> Obj:
            copy["spec"]["replicas"] = size
            copy["metadata"].setdefault("annotations", {}).update(limits)
            return copy

        changed = self.api.modify(REPLICA_SETS, replica_set["metadata"]["name"], self.namespace, change)
        if self.new is not None and self.new["metadata"]["name"] == changed["metadata"]["name"]:
            self.new = changed
        self.old = [changed if rs is replica_set else rs for rs in self.old]
        if before != size:
            self._scaled_event(changed, before, size)

    def _scaled_event(self, replica_set: Obj, before: int, size: int) -> None:
        direction = "up" if size > before else "down"
        self.api.record_event(
            self.deployment,
            "Normal",
            "ScalingReplicaSet",
            f"Scaled {direction} replica set {replica_set['metadata']['name']} from {before} to {size}",
            _COMPONENT,
        )

    def _is_being_scaled(self) -> bool:
        wanted = str(rollout.replicas(self.deployment))
        return any(
            (rs["metadata"].get("annotations") or {}).get(rollout.DESIRED, wanted) != wanted
            for rs in self.all
            if rollout.replicas(rs)
        )

    def _scale(self) -> None:
        """A change of spec.replicas, or a paused Deployment: templates stay where they are."""
        wanted = rollout.replicas(self.deployment)
        active = [rs for rs in self.all if rollout.replicas(rs)]
        if len(active) <= 1:
            target = active[0] if active else self.new or (self.old[-1] if self.old else None)
            if target is not None:
                self._resize(target, wanted)
            return
        new = self.new
        if new is not None and rollout.replicas(new) == wanted and rollout.available(new) == wanted:
            for rs in [rs for rs in self.old if rollout.replicas(rs)]:
                self._resize(rs, 0)
            self._resize(new, wanted)
        elif rollout.is_rolling(self.deployment):
            sizes = rollout.proportional_sizes(self.deployment, active)
            for rs in active:
                self._resize(rs, sizes[rs["metadata"]["name"]])

    def _roll(self) -> None:
        assert self.new is not None
        wanted, now = rollout.replicas(self.deployment), rollout.replicas(self.new)
        size = wanted if now > wanted else rollout.new_size(self.deployment, self.all, self.new)
        if size != now:
            self._resize(self.new, size)
            return
        active = [rs for rs in self.old if rollout.replicas(rs)]
        sizes = rollout.shrink_old(self.deployment, self.new, active)
        for rs in active:
            if rs["metadata"]["name"] in sizes:
                self._resize(rs, sizes[rs["metadata"]["name"]])

    def _recreate(self) -> None:
        active = [rs for rs in self.old if rollout.replicas(rs)]
        if active:
            self._ensure_new(create=False)
            for rs in active:
                self._resize(rs, 0)
            return
        if self._old_pods_run():
            self._ensure_new(create=False)
            return
        self._ensure_new(create=True)
        assert self.new is not None
        if rollout.replicas(self.new) != rollout.replicas(self.deployment):
            self._resize(self.new, rollout.replicas(self.deployment))

    def _old_pods_run(self) -> bool:
        old = {rs["metadata"]["uid"] for rs in self.old}
        for pod in self.api.list("pods", self.namespace):
            reference = controller_of(pod)
            if reference is not None and reference["uid"] in old and not is_terminal(pod):
                return True
        return False

    def _clean_up(self) -> None:
        """Forget old ReplicaSets beyond revisionHistoryLimit, once the rollout is complete."""
        limit = self.deployment["spec"].get("revisionHistoryLimit", 10)
        status = progress.calculated(self.deployment, self.all, self.new)
        if limit is None or not progress.is_complete(self.deployment, status):
            return
        idle = [
            rs
            for rs in self.old
            if not rollout.replicas(rs)
            and not (rs.get("status") or {}).get("replicas")
            and (rs.get("status") or {}).get("observedGeneration", 0) >= rs["metadata"].get("generation", 1)
            and not rs["metadata"].get("deletionTimestamp")
        ]
        idle.sort(key=rollout.revision)
        for rs in idle[: max(len(idle) - limit, 0)]:
            self.api.delete(REPLICA_SETS, rs["metadata"]["name"], self.namespace, propagation="Background")
            self.old = [other for other in self.old if other is not rs]

    # Status

    @property
    def _conditions(self) -> list[Obj]:
        conditions: list[Obj] = (self.deployment.get("status") or {}).get("conditions") or []
        return conditions

    def _say(self, reason: str, message: str, status: str = "True") -> None:
        """Set the condition Progressing in what is written at the end."""
        if progress.deadline(self.deployment) is None:
            return
        self.deployment.setdefault("status", {})["conditions"] = progress.with_condition(
            self._conditions, "Progressing", status, reason, message
        )

    def _note_pause(self) -> None:
        current = next((c for c in self._conditions if c["type"] == "Progressing"), None)
        reason = current.get("reason") if current else None
        if reason == "ProgressDeadlineExceeded":
            return
        paused = bool(self.deployment["spec"].get("paused"))
        if paused and reason != "DeploymentPaused":
            self._say("DeploymentPaused", "Deployment is paused", status="Unknown")
        elif not paused and reason == "DeploymentPaused":
            self._say("DeploymentResumed", "Deployment is resumed", status="Unknown")

    def write_status(self) -> float | None:
        """Write what there is to say; gives the seconds until a standstill would be a failure."""
        status = progress.calculated(self.deployment, self.all, self.new)
        if not self.deployment["spec"].get("paused"):
            status = progress.with_progress(self.deployment, status, self.new)
        status = progress.with_replica_failure(status, self.all, self.new)

        def change(copy: Obj) -> Obj:
            copy["status"] = status
            return copy

        stored = self.api.find(DEPLOYMENTS, self.name, self.namespace)
        if stored is not None and (stored.get("status") or {}) != status:
            self.api.modify(DEPLOYMENTS, self.name, self.namespace, change, subresource="status")
        return progress.seconds_until_judged(self.deployment, status)
