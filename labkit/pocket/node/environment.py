"""A container's environment, command and arguments, as kubelet_pods.go:makeEnvironmentVariables makes them."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_Object = Mapping[str, Any]
#: Look up an object by resource ("configmaps", "secrets") and name in the pod's namespace; None when there is none.
Lookup = Callable[[str, str], _Object | None]

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


class ConfigError(Exception):
    """The environment cannot be made; the text is kubelet's (`configmap "x" not found`)."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace $(NAME) where NAME is known; $$ is a dollar sign (third_party/forked/golang/expansion)."""

    def value(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        return variables.get(match.group(1), match.group(0))

    return _REFERENCE.sub(value, text)


def service_variables(services: Iterable[_Object], namespace: str, *, links: bool) -> dict[str, str]:
    """The variables for Services: all of the namespace with `links`, and `kubernetes` of default always."""
    chosen: dict[str, _Object] = {}
    for service in services:
        meta, spec = service["metadata"], service["spec"]
        if spec.get("clusterIP") in (None, "", "None"):
            continue
        if meta["namespace"] == "default" and meta["name"] == "kubernetes":
            chosen.setdefault("kubernetes", service)
        elif links and meta["namespace"] == namespace:
            chosen[meta["name"]] = service
    variables: dict[str, str] = {}
    for name, service in sorted(chosen.items()):
        variables.update(_service(name, service["spec"]))
    return variables


def _service(name: str, spec: _Object) -> dict[str, str]:
    prefix = name.upper().replace("-", "_")
    address = spec["clusterIP"]
    ports = spec.get("ports") or []
    if not ports:
        return {}
    variables = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            variables[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    for index, port in enumerate(ports):
        protocol = port.get("protocol", "TCP")
        url = f"{protocol.lower()}://{address}:{port['port']}"
        base = f"{prefix}_PORT_{port['port']}_{protocol}"
        if index == 0:
            variables[f"{prefix}_PORT"] = url
        variables |= {
            base: url,
            f"{base}_PROTO": protocol.lower(),
            f"{base}_PORT": str(port["port"]),
            f"{base}_ADDR": address,
        }
    return variables


def environment(
    container: _Object,
    pod: _Object,
    lookup: Lookup,
    services: Mapping[str, str],
    address: str,
    node_address: str,
) -> dict[str, str]:
    """The variables from the container's `envFrom` and `env` over those of Services. Raises ConfigError."""
    result = dict(services)
    known = dict(services)
    for source in container.get("envFrom") or []:
        for kind, resource in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            reference = source.get(kind)
            if reference:
                for key, value in _data(reference, resource, lookup).items():
                    known[source.get("prefix", "") + key] = result[source.get("prefix", "") + key] = value
    for variable in container.get("env") or []:
        if "valueFrom" in variable:
            found = _value_from(variable["valueFrom"], container, pod, lookup, address, node_address)
            if found is None:
                continue
        else:
            found = expand(variable.get("value") or "", known)
        known[variable["name"]] = result[variable["name"]] = found
    return result


def _data(reference: _Object, resource: str, lookup: Lookup) -> dict[str, str]:
    found = lookup(resource, reference["name"])
    if found is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{resource.removesuffix("s")} "{reference["name"]}" not found')
    return decoded(found)


def decoded(source: _Object) -> dict[str, str]:
    """The data of a ConfigMap or Secret as text."""
    data = dict(source.get("data") or {})
    if source.get("kind") == "Secret":
        return {
            key: base64.b64decode(value or "").decode("utf-8", "surrogateescape")
            for key, value in data.items()
        }
    return data


def _value_from(
    source: _Object, container: _Object, pod: _Object, lookup: Lookup, address: str, node_address: str
) -> str | None:
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"], address, node_address)
    if "resourceFieldRef" in source:
        return resource_field(container, source["resourceFieldRef"])
    for kind, resource in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
        reference = source.get(kind)
        if reference is None:
            continue
        found = lookup(resource, reference["name"])
        if found is None:
            if reference.get("optional"):
                return None
            raise ConfigError(f'{resource.removesuffix("s")} "{reference["name"]}" not found')
        data = decoded(found)
        if reference["key"] not in data:
            if reference.get("optional"):
                return None
            what = "ConfigMap" if resource == "configmaps" else "Secret"
            raise ConfigError(
                f"couldn't find key {reference['key']} in {what} {pod['metadata']['namespace']}/{reference['name']}"
            )
        return data[reference["key"]]
    return None


def field(pod: _Object, path: str, address: str, node_address: str) -> str:
    """The value of a downward API fieldRef. Raises ConfigError for a path that has none."""
    meta, spec = pod["metadata"], pod["spec"]
    simple: dict[str, str] = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta.get("uid", ""),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.podIP": address,
        "status.podIPs": address,
        "status.hostIP": node_address,
        "status.hostIPs": node_address,
    }
    if path in simple:
        return simple[path]
    for part in ("labels", "annotations"):
        values = meta.get(part) or {}
        if path == f"metadata.{part}":
            return "\n".join(f'{key}="{value}"' for key, value in sorted(values.items()))
        if path.startswith(f"metadata.{part}['") and path.endswith("']"):
            return str(values.get(path[len(f"metadata.{part}['") : -2], ""))
    raise ConfigError(f"unsupported fieldPath: {path}")


def resource_field(container: _Object, reference: _Object) -> str:
    """A resourceFieldRef: the container's request or limit in units of the divisor, 0 where it has none."""
    section, _, name = reference["resource"].partition(".")
    quantity = ((container.get("resources") or {}).get(section) or {}).get(name)
    if quantity is None:
        return "0"
    divisor = _quantity(str(reference.get("divisor") or "1")) or 1.0
    return str(-int(-(_quantity(str(quantity)) / divisor) // 1))  # rounded up, as upstream


_SUFFIX = {
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}


def _quantity(text: str) -> float:
    digits = text.rstrip("mkMGTKi")
    return float(digits or 0) * _SUFFIX.get(text[len(digits) :], 1.0)


def command_line(
    container: _Object, entrypoint: Iterable[str], cmd: Iterable[str], variables: Mapping[str, str]
) -> tuple[str, ...]:
    """What runs: command and args of the container over the image's entry point and command."""
    command = [expand(word, variables) for word in container.get("command") or []]
    args = [expand(word, variables) for word in container.get("args") or []]
    if command:
        return (*command, *args)
    return (*entrypoint, *(args or cmd))
