"""Pod: defaults, service account, validation, what may change, graceful deletion, and its row in `kubectl get`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from labkit.pocket.api import errors as refusals
from labkit.pocket.api.fields import FieldError, forbidden, invalid
from labkit.pocket.api.kinds import poddefaults, podrules
from labkit.pocket.api.kinds.podrow import row
from labkit.pocket.api.kinds.quantity import parse
from labkit.pocket.api.kinds.rules import Cluster, Rules
from labkit.pocket.api.objects import suffix

Obj = dict[str, Any]

TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607

# What a change of a Pod may touch; upstream's sentence about it is quoted whole.
UPDATE_WORDS = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def default(pod: Obj) -> None:
    """Defaults of a Pod."""
    spec = pod.setdefault("spec", {})
    poddefaults.pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)


def prepare(pod: Obj, old: Obj | None) -> None:
    """At creation: Pending, with its quality-of-service class."""
    if old is None:
        pod["status"] = {"phase": "Pending", "qosClass": quality_of_service(pod["spec"])}


def quality_of_service(spec: Obj) -> str:
    """Guaranteed, Burstable or BestEffort (qos.ComputePodQOS)."""
    requests: dict[str, list[Any]] = {"cpu": [], "memory": []}
    guaranteed, burstable = True, False
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        resources = container.get("resources") or {}
        for name in requests:
            request = parse((resources.get("requests") or {}).get(name, "0")) or 0
            limit = parse((resources.get("limits") or {}).get(name, "0")) or 0
            burstable = burstable or bool(request or limit)
            guaranteed = guaranteed and bool(limit) and request == limit
    if not burstable:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def admit(cluster: Cluster, pod: Obj, old: Obj | None) -> None:
    """The ServiceAccount, Priority and DefaultTolerationSeconds admission plugins. Raises ApiError (403)."""
    if old is not None:
        return
    _service_account(cluster, pod)
    spec = pod["spec"]
    if spec.get("priorityClassName") and spec["priorityClassName"] not in _PRIORITIES:
        raise refusals.forbidden(
            "",
            "pods",
            pod["metadata"]["name"],
            f"no PriorityClass with name {spec['priorityClassName']} was found",
        )
    spec["priority"] = _PRIORITIES.get(spec.get("priorityClassName", ""), 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(_tolerates(toleration, key) for toleration in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            )


_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def _tolerates(toleration: Obj, key: str) -> bool:
    return bool(toleration.get("key", key) == key and toleration.get("effect", "NoExecute") == "NoExecute")


def _service_account(cluster: Cluster, pod: Obj) -> None:
    spec, metadata = pod["spec"], pod["metadata"]
    name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    namespace = metadata["namespace"]
    account = cluster.ensure_service_account(namespace, name)
    if account is None:
        raise refusals.forbidden(
            "",
            "pods",
            metadata.get("name", ""),
            f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found',
        )
    wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if account.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(reference) for reference in account["imagePullSecrets"]]
    if not wanted:
        return
    volume = f"kube-api-access-{suffix()}"
    mounted = False
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        mounts = container.setdefault("volumeMounts", [])
        if any(mount.get("mountPath") == TOKEN_MOUNT for mount in mounts):
            continue
        mounts.append({"name": volume, "readOnly": True, "mountPath": TOKEN_MOUNT})
        mounted = True
    if mounted:
        spec.setdefault("volumes", []).append(_token_volume(volume))


def _token_volume(name: str) -> Obj:
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "path": "namespace",
                                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                            }
                        ]
                    }
                },
            ],
            "defaultMode": 0o644,
        },
    }


def validate(pod: Obj) -> list[FieldError]:
    """Rules for a Pod."""
    if pod["spec"].get("ephemeralContainers") and not (pod["metadata"].get("resourceVersion")):
        return [forbidden("spec.ephemeralContainers", "cannot be set on create")]
    return podrules.pod_spec(pod["spec"], "spec")


def validate_update(pod: Obj, old: Obj) -> list[FieldError]:
    """Only images, the deadline and further tolerations may change."""
    new_spec, old_spec = pod["spec"], old["spec"]
    errors: list[FieldError] = []
    errors += [
        forbidden(f"spec.{field}", "pod updates may not add or remove containers")
        for field in ("containers", "initContainers")
        if len(new_spec.get(field) or []) != len(old_spec.get(field) or [])
    ]
    if errors:
        return errors
    was, deadline = old_spec.get("activeDeadlineSeconds"), new_spec.get("activeDeadlineSeconds")
    if was is not None and deadline is None:
        errors.append(
            invalid(
                "spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value"
            )
        )
    elif was is not None and deadline is not None and deadline > was:
        errors.append(
            invalid("spec.activeDeadlineSeconds", deadline, "must be less than or equal to previous value")
        )
    kept = [item for item in old_spec.get("tolerations") or [] if item in (new_spec.get("tolerations") or [])]
    if len(kept) != len(old_spec.get("tolerations") or []):
        errors.append(
            forbidden(
                "spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"
            )
        )
    if _comparable(new_spec) != _comparable(old_spec):
        errors.append(forbidden("spec", f"{UPDATE_WORDS}\n{_difference(new_spec, old_spec)}"))
    return errors


def _comparable(spec: Obj) -> Obj:
    free = ("activeDeadlineSeconds", "tolerations")
    plain = {key: value for key, value in spec.items() if key not in free}
    for field in ("containers", "initContainers"):
        if field in plain:
            plain[field] = [{**container, "image": ""} for container in plain[field]]
    return plain


def _difference(new: Obj, old: Obj) -> str:
    """What differs, as the real server shows it (there with the names of its own structs)."""
    before, after = (json.dumps(spec, indent=1, ensure_ascii=False).splitlines() for spec in (old, new))
    lines = difflib.unified_diff(before, after, lineterm="", n=3)
    return "\n".join(list(lines)[2:]) + "\n"


def validate_status(pod: Obj, _old: Obj) -> list[FieldError]:
    """A Pod does not move to another node."""
    name = (pod.get("status") or {}).get("nominatedNodeName")
    if name == "":
        return [invalid("status.nominatedNodeName", name, "must not be empty")]
    return []


def warnings(pod: Obj, _old: Obj | None) -> list[str]:
    """Ports that are named twice (pod.GetWarningsForPod)."""
    found: list[str] = []
    for index, container in enumerate(pod["spec"].get("containers") or []):
        seen: dict[tuple[Any, ...], int] = {}
        for number, port in enumerate(container.get("ports") or []):
            key = tuple(port.get(name) for name in ("containerPort", "hostPort", "protocol", "hostIP"))
            at = f"spec.containers[{index}].ports"
            if key in seen:
                found.append(f"{at}[{number}]: duplicate port definition with {at}[{seen[key]}]")
            seen.setdefault(key, number)
    return found


def fields(pod: Obj) -> Mapping[str, str]:
    """What field selectors may ask of a Pod."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    return {
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.restartPolicy": spec.get("restartPolicy", ""),
        "spec.schedulerName": spec.get("schedulerName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase", ""),
        "status.podIP": status.get("podIP", ""),
        "status.nominatedNodeName": status.get("nominatedNodeName", ""),
    }


def grace_period(pod: Obj, wanted: int | None) -> int:
    """A Pod that runs on a node gets time to end; one that does not, or has ended, goes at once."""
    spec = pod.get("spec") or {}
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    period: int = wanted if wanted is not None else spec.get("terminationGracePeriodSeconds", 30)
    return 1 if period < 0 else period


RULES = Rules(
    default=default,
    prepare=prepare,
    admit=admit,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    validate_part=podrules.ephemeral_update,
    fields=fields,
    generation=True,
    grace_period=grace_period,
    ends_gracefully=True,
    row=row,
    warnings=warnings,
)
