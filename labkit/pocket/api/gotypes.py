"""What OpenAPI does not tell of the Go types behind the schemas, where it shows in what the server answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.pocket.api.schema import Node

# Optional numbers and booleans that are plain fields in Go: their zero is not written out. All others are pointers.
VALUE_TYPED: frozenset[tuple[str, str]] = frozenset(
    (struct, field)
    for struct, fields in {
        "PodSpec": ("hostNetwork", "hostPID", "hostIPC"),
        "Container": ("stdin", "stdinOnce", "tty"),
        "EphemeralContainer": ("stdin", "stdinOnce", "tty"),
        "ContainerPort": ("hostPort",),
        "VolumeMount": ("readOnly",),
        "Probe": (
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ),
        "DeploymentSpec": ("paused", "minReadySeconds"),
        "DeploymentStatus": (
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
        ),
        "ReplicaSetSpec": ("minReadySeconds",),
        "ReplicaSetStatus": (
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "observedGeneration",
        ),
        "ScaleSpec": ("replicas",),
        "ServiceSpec": ("healthCheckNodePort", "publishNotReadyAddresses"),
        "ServicePort": ("nodePort",),
        "NodeSpec": ("unschedulable",),
        "ObjectMeta": ("generation",),
        "Event": ("count", "deprecatedCount"),
        "PodStatus": ("observedGeneration",),
        "PodCondition": ("observedGeneration",),
        "ContainerStateTerminated": ("signal",),
        "PersistentVolumeClaimVolumeSource": ("readOnly",),
        "SubjectAccessReviewStatus": ("denied",),
        "TokenReviewStatus": ("authenticated",),
    }.items()
    for field in fields
)

# Optional strings that are pointers in Go, so that "" says something and is kept.
KEPT_STRINGS: frozenset[tuple[str, str]] = frozenset(
    {
        ("EndpointPort", "name"),
        ("EndpointPort", "appProtocol"),
        ("PersistentVolumeClaimSpec", "storageClassName"),
        ("HTTPHeader", "value"),
        ("LeaseSpec", "holderIdentity"),
    }
)

_PACKAGES = {
    "Quantity": "resource.Quantity",
    "IntOrString": "intstr.IntOrString",
    "ObjectMeta": "v1.ObjectMeta",
}


def go_type(node: Node) -> str:
    """The Go type of a field, as encoding/json's messages name it."""
    if node.shape == "struct":
        return _PACKAGES.get(node.type_name, f"v1.{node.type_name}")
    if node.shape == "list":
        return "[]" + (go_type(node.item) if node.item else "interface {}")
    if node.shape == "map":
        return "map[string]" + (go_type(node.item) if node.item else "interface {}")
    if node.shape == "integer":
        return node.format or "int64"
    return {
        "boolean": "bool",
        "bytes": "[]uint8",
        "number": "float64",
        "int-or-string": "intstr.IntOrString",
    }.get(node.shape, "string")
