"""Parts of objects with verbs of their own that are neither status nor streams: scale, binding, eviction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit.pocket.api.errors import bad_request, conflict, invalid
from labkit.pocket.api.fields import invalid as invalid_field
from labkit.pocket.api.fields import not_supported, required
from labkit.pocket.api.objects import now
from labkit.pocket.api.registry import Resource
from labkit.pocket.api.request import Options
from labkit.policy.labels import Selector

if TYPE_CHECKING:
    from labkit.pocket.api.api import Api

Obj = dict[str, Any]


@dataclass(frozen=True)
class ScalePaths:
    """Where an object has the numbers that its Scale shows."""

    spec_replicas: str
    status_replicas: str
    selector: str

    @classmethod
    def of(cls, scale: Mapping[str, str]) -> ScalePaths:
        """From the scale subresource of a CustomResourceDefinition."""
        return cls(
            scale.get("specReplicasPath", ""),
            scale.get("statusReplicasPath", ""),
            scale.get("labelSelectorPath", ""),
        )


def scale_of(obj: Obj, paths: ScalePaths | None = None) -> Obj:
    """The autoscaling/v1 Scale of a Deployment, a ReplicaSet and their like, or of what has it elsewhere."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    if paths is None:
        desired = spec.get("replicas", 0)
        status: Obj = {"replicas": (obj.get("status") or {}).get("replicas", 0)}
        selector = str(Selector.from_object(spec.get("selector")))
    else:
        desired = _at(paths.spec_replicas, obj) or 0
        status = {"replicas": _at(paths.status_replicas, obj) or 0}
        selector = str(_at(paths.selector, obj) or "")
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: metadata[field] for field in kept if field in metadata},
        "spec": {"replicas": desired} if desired else {},
        "status": status,
    }


def _at(path: str, obj: Obj) -> Any:
    place: Any = obj
    for part in path.strip(".").split("."):
        place = place.get(part) if isinstance(place, dict) else None
    return place


def _put(path: str, obj: Obj, value: Any) -> None:
    *way, last = path.strip(".").split(".")
    for part in way:
        obj = obj.setdefault(part, {})
    obj[last] = value


def set_scale(api: Api, resource: Resource, name: str, namespace: str, scale: Obj, options: Options) -> Obj:
    """Write spec.replicas from a Scale; gives the new Scale. Raises ApiError (404, 409, 422)."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise bad_request(
            'Scale in version "v1" cannot be handled as a Scale: spec.replicas must be an int32'
        )
    if replicas < 0:
        problem = invalid_field("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("autoscaling", "Scale", name, [problem])
    wanted = (scale.get("metadata") or {}).get("resourceVersion")
    paths = None if resource.custom is None else resource.custom.scale

    def change(obj: Obj) -> Obj:
        if wanted and wanted != obj["metadata"]["resourceVersion"]:
            raise conflict(resource.group, resource.plural, name)
        _put(".spec.replicas" if paths is None else paths.spec_replicas, obj, replicas)
        return obj

    return scale_of(api.modify(resource, name, namespace, change, options=options), paths)


def bind(api: Api, namespace: str, name: str, binding: Obj, options: Options | None = None) -> None:
    """Give a Pod its node, as a scheduler does: pods/NAME/binding. Raises ApiError (404, 409, 422)."""
    target = binding.get("target") or {}
    if target.get("kind", "Node") not in ("", "Node"):
        raise invalid(
            "", "Binding", name, [not_supported("target.kind", target["kind"], ["Node", "<empty>"])]
        )
    node = target.get("name")
    if not node:
        raise invalid("", "Binding", name, [required("target.name")])

    def change(pod: Obj) -> Obj:
        if pod["metadata"].get("deletionTimestamp"):
            raise conflict(
                "", "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host"
            )
        if pod["spec"].get("nodeName"):
            taken = pod["spec"]["nodeName"]
            raise conflict("", "pods/binding", name, f'pod {name} is already assigned to node "{taken}"')
        pod["spec"]["nodeName"] = node
        conditions = pod.setdefault("status", {}).setdefault("conditions", [])
        conditions[:] = [condition for condition in conditions if condition.get("type") != "PodScheduled"]
        conditions.append(
            {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now()}
        )
        return pod

    api.modify("pods", name, namespace, change, subresource="binding", options=options)
