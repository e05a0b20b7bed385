"""Validation of a container in a PodSpec, as k8s.io/kubernetes/pkg/apis/core/validation words it."""

from __future__ import annotations

import re
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
from labkit.pocket.api.kinds import quantity
from labkit.pocket.api.kinds.poddefaults import HANDLERS, PROBES

Obj = dict[str, Any]

PROTOCOLS = ("SCTP", "TCP", "UDP")
NOT_NEGATIVE = "must be greater than or equal to 0"
_FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_STANDARD_RESOURCES = ("cpu", "memory", "ephemeral-storage")


def container_errors(container: Obj, field: str, volumes: set[Any], host_network: bool) -> list[FieldError]:
    """Errors of one container; `volumes` are the names of the Pod's volumes."""
    errors: list[FieldError] = []
    name, image = container.get("name", ""), container.get("image", "")
    if not name:
        errors.append(required(f"{field}.name"))
    else:
        errors += [invalid(f"{field}.name", name, problem) for problem in names.is_dns_label(name)]
    if not image:
        errors.append(required(f"{field}.image"))
    elif image != image.strip():
        errors.append(invalid(f"{field}.image", image, "must not have leading or trailing whitespace"))
    for action in HANDLERS:
        handler = (container.get("lifecycle") or {}).get(action)
        if handler is not None:
            errors += _handler(handler, f"{field}.lifecycle.{action}")
    for kind in PROBES:
        probe = container.get(kind)
        if probe is not None:
            errors += _probe(probe, f"{field}.{kind}", must_succeed_once=kind != "readinessProbe")
    errors += _ports(container.get("ports") or [], f"{field}.ports", host_network)
    errors += _environment(container.get("env") or [], f"{field}.env")
    errors += _environment_sources(container.get("envFrom") or [], f"{field}.envFrom")
    errors += _mounts(container.get("volumeMounts") or [], f"{field}.volumeMounts", volumes)
    pull = ("Always", "IfNotPresent", "Never")
    if container.get("imagePullPolicy") not in pull:
        errors.append(not_supported(f"{field}.imagePullPolicy", container.get("imagePullPolicy"), pull))
    errors += _resources(container.get("resources") or {}, f"{field}.resources")
    security = container.get("securityContext") or {}
    if security.get("privileged") and security.get("allowPrivilegeEscalation") is False:
        errors.append(
            invalid(
                f"{field}.securityContext",
                security,
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            )
        )
    return errors


def _ports(ports: list[Obj], field: str, host_network: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at = f"{field}[{index}]"
        name, number = port.get("name"), port.get("containerPort", 0)
        if name:
            problems = names.is_port_name(name)
            errors += [invalid(f"{at}.name", name, problem) for problem in problems]
            if not problems and name in seen:
                errors.append(duplicate(f"{at}.name", name))
            seen.add(name)
        if number == 0:
            errors.append(required(f"{at}.containerPort"))
        else:
            errors += [
                invalid(f"{at}.containerPort", number, problem) for problem in names.is_port_number(number)
            ]
        host = port.get("hostPort", 0)
        if host:
            errors += [invalid(f"{at}.hostPort", host, problem) for problem in names.is_port_number(host)]
            if host_network and host != number:
                errors.append(
                    invalid(f"{at}.hostPort", host, "must match `containerPort` when `hostNetwork` is true")
                )
        protocol = port.get("protocol", "")
        if not protocol:
            errors.append(required(f"{at}.protocol"))
        elif protocol not in PROTOCOLS:
            errors.append(not_supported(f"{at}.protocol", protocol, PROTOCOLS))
    return errors


def _environment(variables: list[Obj], field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, variable in enumerate(variables):
        at = f"{field}[{index}]"
        name = variable.get("name", "")
        if not name:
            errors.append(required(f"{at}.name"))
        else:
            errors += [invalid(f"{at}.name", name, problem) for problem in names.is_env_name(name)]
        source = variable.get("valueFrom")
        if source is None:
            continue
        given = [
            kind
            for kind in ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
            if source.get(kind) is not None
        ]
        if not given:
            errors.append(
                invalid(
                    f"{at}.valueFrom",
                    "",
                    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
                )
            )
        elif variable.get("value"):
            errors.append(invalid(f"{at}.valueFrom", "", "may not be specified when `value` is not empty"))
        elif len(given) > 1:
            errors.append(
                invalid(f"{at}.valueFrom", "", "may not have more than one field specified at a time")
            )
        for kind in ("configMapKeyRef", "secretKeyRef"):
            reference = source.get(kind)
            if reference is not None:
                errors += [
                    required(f"{at}.valueFrom.{kind}.{part}")
                    for part in ("name", "key")
                    if not reference.get(part)
                ]
        if source.get("fieldRef") is not None:
            errors += _field_path(
                source["fieldRef"].get("fieldPath", ""), f"{at}.valueFrom.fieldRef.fieldPath"
            )
    return errors


def _field_path(path: str, field: str) -> list[FieldError]:
    if not path:
        return [required(field)]
    if path in _FIELD_PATHS or re.fullmatch(r"metadata\.(labels|annotations)\['[^']+'\]", path):
        return []
    if path in ("metadata.labels", "metadata.annotations"):
        return [not_supported(field, path, sorted(_FIELD_PATHS))]
    return [invalid(field, path, f"error converting fieldPath: field label not supported: {path}")]


def _environment_sources(sources: list[Obj], field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, source in enumerate(sources):
        at = f"{field}[{index}]"
        given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        errors += [required(f"{at}.{kind}.name") for kind in given if not source[kind].get("name")]
        if not given:
            errors.append(invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            errors.append(invalid(at, "", "may not have more than one field specified at a time"))
    return errors


def _mounts(mounts: list[Obj], field: str, volumes: set[Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    paths: set[str] = set()
    for index, mount in enumerate(mounts):
        at = f"{field}[{index}]"
        name, path = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            errors.append(required(f"{at}.name"))
        if name not in volumes:
            errors.append(not_found(f"{at}.name", name))
        if not path:
            errors.append(required(f"{at}.mountPath"))
        if path in paths:
            errors.append(invalid(f"{at}.mountPath", path, "must be unique"))
        paths.add(path)
    return errors


_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")


def _handler(handler: Obj, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    given = [kind for kind in _HANDLERS if handler.get(kind) is not None]
    errors += [
        forbidden(f"{field}.{extra}", "may not specify more than 1 handler type") for extra in given[1:]
    ]
    if not given:
        errors.append(required(field, "must specify a handler type"))
        return errors
    kind = given[0]
    action = handler[kind]
    if kind == "exec" and not action.get("command"):
        errors.append(required(f"{field}.exec.command"))
    if kind in ("httpGet", "tcpSocket", "grpc"):
        errors += port_number_or_name(action.get("port", 0), f"{field}.{kind}.port")
    if kind == "httpGet":
        if not action.get("path"):
            errors.append(required(f"{field}.httpGet.path"))
        if action.get("scheme") not in ("HTTP", "HTTPS"):
            errors.append(not_supported(f"{field}.httpGet.scheme", action.get("scheme"), ("HTTP", "HTTPS")))
    return errors


def port_number_or_name(port: Any, field: str) -> list[FieldError]:
    """Errors of a port that may be a number or a name (ValidatePortNumOrName)."""
    if isinstance(port, int):
        return [invalid(field, port, problem) for problem in names.is_port_number(port)]
    return [invalid(field, port, problem) for problem in names.is_port_name(port)]


def _probe(probe: Obj, field: str, *, must_succeed_once: bool) -> list[FieldError]:
    errors = _handler(probe, field)
    for name in (
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ):
        value = probe.get(name, 0)
        if value < 0:
            errors.append(invalid(f"{field}.{name}", value, NOT_NEGATIVE))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        errors.append(invalid(f"{field}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    if must_succeed_once and probe.get("successThreshold", 1) > 1:
        errors.append(invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1"))
    return errors


def _resources(resources: Obj, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            at = f"{field}.{part}[{name}]"
            if "/" not in name and name not in _STANDARD_RESOURCES and not name.startswith("hugepages-"):
                wrong = names.is_qualified_name(name) or [
                    "must be a standard resource type or fully qualified"
                ]
                errors += [invalid(at, name, problem) for problem in wrong]
                errors.append(invalid(at, name, "must be a standard resource for containers"))
            value = quantity.parse(amount)
            if value is not None and value < 0:
                errors.append(invalid(at, amount, NOT_NEGATIVE))
    for name, amount in requests.items():
        limit = limits.get(name)
        wanted, most = quantity.parse(amount), quantity.parse(limit) if limit is not None else None
        if wanted is not None and most is not None and wanted > most:
            errors.append(
                invalid(f"{field}.requests", amount, f"must be less than or equal to {name} limit of {limit}")
            )
    return errors
