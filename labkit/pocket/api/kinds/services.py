"""Service: defaults, addresses and node ports, validation, what may change, its row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.pocket.api import names
from labkit.pocket.api.fields import FieldError, duplicate, forbidden, invalid, not_supported, required
from labkit.pocket.api.kinds.containerrules import PROTOCOLS, port_number_or_name
from labkit.pocket.api.kinds.podrules import ip_address
from labkit.pocket.api.kinds.printing import NONE, age, labels_text
from labkit.pocket.api.kinds.rules import Cluster, Rules
from labkit.pocket.api.kinds.serviceaddresses import allocate

Obj = dict[str, Any]

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
NEAR = ("PreferClose", "PreferSameZone", "PreferSameNode")


def default(service: Obj) -> None:
    """Defaults of a Service."""
    spec = service.setdefault("spec", {})
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        config.setdefault("timeoutSeconds", 10800)
    spec.setdefault("type", "ClusterIP")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    if spec["type"] in ("NodePort", "LoadBalancer") or (
        spec["type"] == "ClusterIP" and spec.get("externalIPs")
    ):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")


def prepare(service: Obj, old: Obj | None) -> None:
    """Fields that a changed type leaves behind are forgotten; addresses not named again are kept."""
    spec = service["spec"]
    if old is None:
        service["status"] = {"loadBalancer": {}}
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        elif spec.get("clusterIPs") and not spec.get("clusterIP"):
            spec["clusterIP"] = spec["clusterIPs"][0]
        return
    before = old["spec"]
    if before.get("type") == "LoadBalancer" != spec["type"]:
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass", "healthCheckNodePort"):
            if spec.get(field) == before.get(field):
                spec.pop(field, None)
    if spec["type"] == "ExternalName":
        if before.get("type") != "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
                if spec.get(field) == before.get(field):
                    spec.pop(field, None)
        return
    if before.get("type") == "ExternalName":
        return
    if not spec.get("clusterIP") and before.get("clusterIP"):
        spec["clusterIP"] = before["clusterIP"]
    if not spec.get("clusterIPs") or spec["clusterIPs"] == before.get("clusterIPs"):
        # clusterIP leads when only it was changed.
        spec["clusterIPs"] = (
            before.get("clusterIPs") if spec["clusterIP"] == before.get("clusterIP") else [spec["clusterIP"]]
        )
    for field in ("ipFamilies", "ipFamilyPolicy"):
        if field in before:
            spec.setdefault(field, before[field])
    _keep_node_ports(spec, before)


def _keep_node_ports(spec: Obj, before: Obj) -> None:
    old_ports = {
        (port.get("port"), port.get("protocol")): port.get("nodePort") for port in before.get("ports") or []
    }
    for port in spec.get("ports") or []:
        kept = old_ports.get((port.get("port"), port.get("protocol")))
        if spec["type"] in ("NodePort", "LoadBalancer"):
            if kept and not port.get("nodePort"):
                port["nodePort"] = kept
        elif kept and port.get("nodePort") == kept and before.get("type") != "ClusterIP":
            del port["nodePort"]


def admit(cluster: Cluster, service: Obj, old: Obj | None) -> None:
    """Allocate addresses, unless there is nothing to allocate or the Service is refused right after."""
    if service["spec"].get("type") != "ExternalName" and not validate(service):
        allocate(cluster, service, old)


def validate(service: Obj) -> list[FieldError]:
    """Rules for a Service (ValidateService)."""
    spec = service["spec"]
    errors: list[FieldError] = []
    kind, ports = spec.get("type"), spec.get("ports") or []
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and kind != "ExternalName":
        errors.append(required("spec.ports"))
    if kind in ("LoadBalancer", "NodePort") and headless:
        errors.append(invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if kind == "ExternalName":
        errors += _external_name(spec)
    seen_names: set[str] = set()
    for index, port in enumerate(ports):
        errors += _port(port, f"spec.ports[{index}]", len(ports) > 1, seen_names)
    errors += names.label_map(spec.get("selector"), "spec.selector")
    if not spec.get("sessionAffinity"):
        errors.append(required("spec.sessionAffinity"))
    elif spec["sessionAffinity"] not in ("ClientIP", "None"):
        errors.append(not_supported("spec.sessionAffinity", spec["sessionAffinity"], ("ClientIP", "None")))
    if kind != "ExternalName":
        errors += _addresses(spec)
    for index, address in enumerate(spec.get("externalIPs") or []):
        errors += ip_address(address, f"spec.externalIPs[{index}]")
    if kind not in TYPES:
        errors.append(not_supported("spec.type", kind, TYPES))
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            shown = {
                "Name": "",
                "Protocol": port.get("protocol"),
                "AppProtocol": None,
                "Port": port.get("port"),
                "TargetPort": 0,
                "NodePort": 0,
            }
            errors.append(duplicate(f"spec.ports[{index}]", shown))
        seen.add(key)
    errors += _for_load_balancers(spec)
    if kind == "ClusterIP":
        errors += [
            forbidden(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")
            for index, port in enumerate(ports)
            if port.get("nodePort")
        ]
    return errors


def _for_load_balancers(spec: Obj) -> list[FieldError]:
    """Fields that only make sense with a load balancer, and the preference for near endpoints."""
    errors: list[FieldError] = []
    kind = spec.get("type")
    only = "may only be used when `type` is 'LoadBalancer'"
    if kind != "LoadBalancer":
        if spec.get("loadBalancerSourceRanges"):
            errors.append(forbidden("spec.LoadBalancerSourceRanges", only))
        if spec.get("allocateLoadBalancerNodePorts") is not None:
            errors.append(forbidden("spec.allocateLoadBalancerNodePorts", only))
        if spec.get("loadBalancerClass") is not None:
            errors.append(forbidden("spec.loadBalancerClass", only))
    checked = spec.get("healthCheckNodePort")
    if checked and (kind != "LoadBalancer" or spec.get("externalTrafficPolicy") != "Local"):
        why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid("spec.healthCheckNodePort", checked, why))
    near = spec.get("trafficDistribution")
    if near is not None and near not in NEAR:
        errors.append(not_supported("spec.trafficDistribution", near, NEAR))
    return errors


def _external_name(spec: Obj) -> list[FieldError]:
    errors = []
    if spec.get("clusterIP"):
        errors.append(forbidden("spec.clusterIP", "may not be set when `type` is 'ExternalName'"))
    name = spec.get("externalName", "").removesuffix(".")
    if not name:
        return [*errors, required("spec.externalName")]
    return errors + [invalid("spec.externalName", name, problem) for problem in names.is_dns_subdomain(name)]


def _addresses(spec: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    addresses = spec.get("clusterIPs") or []
    first = spec.get("clusterIP", "")
    if addresses and addresses[0] != first:
        errors.append(invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`"))
    for index, family in enumerate(spec.get("ipFamilies") or []):
        if family not in ("IPv4", "IPv6"):
            errors.append(not_supported(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6")))
        elif family == "IPv6" and not (first == "None" and not spec.get("selector")):
            errors.append(invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster"))
    for index, address in enumerate(addresses):
        if address in ("None", ""):
            continue
        problems = ip_address(address, f"spec.clusterIPs[{index}]")
        errors += problems
        if not problems and ":" in address:
            errors.append(
                invalid(f"spec.clusterIPs[{index}]", addresses, "IPv6 is not configured on this cluster")
            )
    return errors


def _port(port: Obj, field: str, needs_name: bool, seen: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    name, number = port.get("name", ""), port.get("port", 0)
    if not name:
        if needs_name:
            errors.append(required(f"{field}.name"))
    else:
        problems = names.is_dns_label(name)
        errors += [invalid(f"{field}.name", name, problem) for problem in problems]
        if not problems and name in seen:
            errors.append(duplicate(f"{field}.name", name))
        seen.add(name)
    errors += [invalid(f"{field}.port", number, problem) for problem in names.is_port_number(number)]
    protocol = port.get("protocol", "")
    if not protocol:
        errors.append(required(f"{field}.protocol"))
    elif protocol not in PROTOCOLS:
        errors.append(not_supported(f"{field}.protocol", protocol, PROTOCOLS))
    errors += port_number_or_name(port.get("targetPort", 0), f"{field}.targetPort")
    return errors


def validate_update(service: Obj, old: Obj) -> list[FieldError]:
    """A cluster address, once given, stays."""
    new_spec, old_spec = service["spec"], old["spec"]
    if "ExternalName" in (new_spec.get("type"), old_spec.get("type")) or not old_spec.get("clusterIP"):
        return []
    new_addresses, old_addresses = new_spec.get("clusterIPs") or [], old_spec.get("clusterIPs") or []
    if new_addresses[:1] != old_addresses[:1]:
        return [invalid("spec.clusterIPs[0]", new_addresses, "may not change once set")]
    return []


def fields(service: Obj) -> Mapping[str, str]:
    """What field selectors may ask of a Service."""
    spec = service.get("spec") or {}
    return {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}


def row(service: Obj) -> list[Any]:
    """The cells of `kubectl get services`."""
    spec = service.get("spec") or {}
    kind = spec.get("type", "")
    return [
        service["metadata"]["name"],
        kind,
        (spec.get("clusterIPs") or [NONE])[0],
        _external(service),
        ",".join(
            f"{port.get('port')}:{port['nodePort']}/{port.get('protocol')}"
            if port.get("nodePort")
            else f"{port.get('port')}/{port.get('protocol')}"
            for port in spec.get("ports") or []
        )
        or NONE,
        age(service),
        labels_text(spec.get("selector")),
    ]


def _external(service: Obj) -> str:
    spec = service.get("spec") or {}
    given = ",".join(spec.get("externalIPs") or [])
    if spec.get("type") == "ExternalName":
        return spec.get("externalName") or NONE
    if spec.get("type") == "LoadBalancer":
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        addresses = [item.get("ip") or item.get("hostname") or "" for item in ingress]
        return ",".join([*addresses, *([given] if given else [])]) or "<pending>"
    return given or NONE


RULES = Rules(
    default=default,
    prepare=prepare,
    admit=admit,
    validate=validate,
    validate_update=validate_update,
    change_first=True,
    check_name=names.is_dns1035_label,
    fields=fields,
    row=row,
)
