"""Validation of a PodSpec, as k8s.io/kubernetes/pkg/apis/core/validation words it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from labkit.pocket.api import names
from labkit.pocket.api.fields import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)
from labkit.pocket.api.kinds.containerrules import container_errors
from labkit.pocket.api.kinds.poddefaults import PROBES
from labkit.pocket.api.kinds.selectorrules import label_selector

Obj = dict[str, Any]


_NOT_EPHEMERAL = (
    "ports",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resources",
    "resizePolicy",
)


def _ephemeral(container: Obj, field: str, targets: Sequence[Any]) -> list[FieldError]:
    """What an ephemeral container may not have (validateEphemeralContainers)."""
    errors = [
        forbidden(f"{field}.{name}", "cannot be set for an Ephemeral Container")
        for name in _NOT_EPHEMERAL
        if container.get(name)
    ]
    target = container.get("targetContainerName")
    if target and target not in targets:
        errors.append(not_found(f"{field}.targetContainerName", target))
    return errors


def ephemeral_update(new: Obj, old: Obj) -> list[FieldError]:
    """Ephemeral containers can only be added (ValidatePodEphemeralContainersUpdate)."""
    now = {one.get("name"): one for one in new["spec"].get("ephemeralContainers") or []}
    errors = []
    for before in old["spec"].get("ephemeralContainers") or []:
        name = before.get("name")
        if now.get(name) != before:
            done = "removed" if name not in now else "changed"
            words = f'existing ephemeral containers "{name}" may not be {done}\n'
            errors.append(forbidden("spec.ephemeralContainers", words))
    return errors


def pod_spec(
    spec: Obj, field: str, *, restart_policies: Sequence[str] = ("Always", "OnFailure", "Never")
) -> list[FieldError]:
    """Errors of a PodSpec."""
    errors: list[FieldError] = []
    volumes = spec.get("volumes") or []
    errors += _volumes(volumes, f"{field}.volumes")
    known = {volume.get("name") for volume in volumes}
    host_network = bool(spec.get("hostNetwork"))
    containers, init = spec.get("containers") or [], spec.get("initContainers") or []
    if not containers:
        errors.append(required(f"{field}.containers"))
    seen: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{field}.containers[{index}]"
        errors += container_errors(container, at, known, host_network)
        errors += _unique(container, seen, at)
    for index, container in enumerate(init):
        at = f"{field}.initContainers[{index}]"
        errors += container_errors(container, at, known, host_network)
        errors += _unique(container, seen, at)
        if container.get("restartPolicy") != "Always":
            errors += [
                forbidden(f"{at}.{name}", "may not be set for init containers without restartPolicy=Always")
                for name in ("lifecycle", *PROBES)
                if container.get(name) is not None
            ]
    for index, container in enumerate(spec.get("ephemeralContainers") or []):
        at = f"{field}.ephemeralContainers[{index}]"
        errors += container_errors(container, at, known, host_network)
        errors += _unique(container, seen, at)
        errors += _ephemeral(container, at, [one.get("name") for one in containers])
    if spec.get("restartPolicy") not in restart_policies:
        errors.append(not_supported(f"{field}.restartPolicy", spec.get("restartPolicy"), restart_policies))
    policies = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
    if spec.get("dnsPolicy") not in policies:
        errors.append(not_supported(f"{field}.dnsPolicy", spec.get("dnsPolicy"), policies))
    elif spec["dnsPolicy"] == "None" and not (spec.get("dnsConfig") or {}).get("nameservers"):
        errors.append(
            required(
                f"{field}.dnsConfig.nameservers",
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            )
        )
    errors += names.label_map(spec.get("nodeSelector"), f"{field}.nodeSelector")
    for name, check in (("serviceAccountName", names.is_dns_subdomain), ("nodeName", names.is_dns_subdomain)):
        if spec.get(name):
            errors += [invalid(f"{field}.{name}", spec[name], problem) for problem in check(spec[name])]
    for index, reference in enumerate(spec.get("imagePullSecrets") or []):
        if not reference.get("name"):
            errors.append(required(f"{field}.imagePullSecrets[{index}].name"))
    for name in ("hostname", "subdomain"):
        if spec.get(name):
            errors += [
                invalid(f"{field}.{name}", spec[name], problem) for problem in _label_without_dots(spec[name])
            ]
    errors += _tolerations(spec.get("tolerations") or [], f"{field}.tolerations")
    for index, alias in enumerate(spec.get("hostAliases") or []):
        errors += ip_address(alias.get("ip", ""), f"{field}.hostAliases[{index}].ip")
        for number, name in enumerate(alias.get("hostnames") or []):
            errors += [
                invalid(f"{field}.hostAliases[{index}].hostnames[{number}]", name, problem)
                for problem in names.is_dns_subdomain(name)
            ]
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        errors.append(
            invalid(f"{field}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
        )
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or []):
        errors += label_selector(
            constraint.get("labelSelector"), f"{field}.topologySpreadConstraints[{index}].labelSelector"
        )
    return errors


def _label_without_dots(value: str) -> list[str]:
    # Upstream says this one thing of a name with dots, and no more.
    return ["must not contain dots"] if "." in value else names.is_dns_label(value)


def ip_address(value: str, field: str) -> list[FieldError]:
    """An error when the text is no IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return [invalid(field, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    return []


def _unique(container: Obj, seen: set[str], field: str) -> list[FieldError]:
    name = container.get("name")
    if not name:
        return []
    if name in seen:
        return [duplicate(f"{field}.name", name)]
    seen.add(name)
    return []


_VOLUME_SOURCES_ORDER = ("emptyDir", "hostPath", "secret", "configMap", "downwardAPI", "projected")


def _volumes(volumes: list[Obj], field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        at = f"{field}[{index}]"
        name = volume.get("name", "")
        sources = [key for key in volume if key != "name" and volume[key] is not None]
        sources.sort(
            key=lambda key: (
                _VOLUME_SOURCES_ORDER.index(key)
                if key in _VOLUME_SOURCES_ORDER
                else len(_VOLUME_SOURCES_ORDER)
            )
        )
        errors += [
            forbidden(f"{at}.{extra}", "may not specify more than 1 volume type") for extra in sources[1:]
        ]
        if "secret" in sources[:1] and not volume["secret"].get("secretName"):
            errors.append(required(f"{at}.secret.secretName"))
        if "configMap" in sources[:1] and not volume["configMap"].get("name"):
            errors.append(required(f"{at}.configMap.name"))
        if not name:
            errors.append(required(f"{at}.name"))
        else:
            problems = names.is_dns_label(name)
            errors += [invalid(f"{at}.name", name, problem) for problem in problems]
            if not problems and name in seen:
                errors.append(duplicate(f"{at}.name", name))
        seen.add(name)
    return errors


def _tolerations(tolerations: list[Obj], field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, toleration in enumerate(tolerations):
        at = f"{field}[{index}]"
        key, operator = toleration.get("key", ""), toleration.get("operator", "")
        if key:
            errors += [invalid(f"{at}.key", key, problem) for problem in names.is_qualified_name(key)]
        elif operator != "Exists":
            errors.append(
                invalid(
                    f"{at}.operator",
                    operator,
                    'operator must be Exists when `key` is empty, which means "match all values and all keys"',
                )
            )
        if operator == "Exists" and toleration.get("value"):
            why = "value must be empty when `operator` is 'Exists'"
            errors.append(invalid(f"{at}.operator", toleration["value"], why))
        if operator not in ("", "Equal", "Exists"):
            errors.append(not_supported(f"{at}.operator", operator, ("Equal", "Exists")))
        effects = ("NoExecute", "NoSchedule", "PreferNoSchedule")
        if toleration.get("effect") and toleration["effect"] not in effects:
            errors.append(not_supported(f"{at}.effect", toleration["effect"], effects))
    return errors
