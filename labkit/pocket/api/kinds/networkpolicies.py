"""NetworkPolicy: defaults and validation (k8s.io/kubernetes/pkg/apis/networking), in the real server's words."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from labkit.pocket.api import names
from labkit.pocket.api.fields import FieldError, forbidden, invalid, not_supported, required
from labkit.pocket.api.kinds.containerrules import port_number_or_name
from labkit.pocket.api.kinds.printing import age, selector_text
from labkit.pocket.api.kinds.rules import Rules
from labkit.pocket.api.kinds.selectorrules import label_selector

Obj = dict[str, Any]

CIDR_WORDS = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
PROTOCOLS = ("TCP", "UDP", "SCTP")
POLICY_TYPES = ("Ingress", "Egress")


def default(policy: Obj) -> None:
    """Ports are TCP; policyTypes follow from what is there: Egress only when there are egress rules."""
    spec = policy.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for rule in [*(spec.get("ingress") or []), *(spec.get("egress") or [])]:
        for port in rule.get("ports") or []:
            port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def validate(policy: Obj) -> list[FieldError]:
    """Rules for a NetworkPolicy (ValidateNetworkPolicySpec)."""
    spec = policy["spec"]
    errors = label_selector(spec.get("podSelector"), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or []):
            at = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or []):
                errors += _port(port or {}, f"{at}.ports[{number}]")
            for number, peer in enumerate(rule.get(peers) or []):
                errors += _peer(peer or {}, f"{at}.{peers}[{number}]")
    types = spec.get("policyTypes") or []
    if len(types) > len(POLICY_TYPES):
        errors.append(invalid("spec.policyTypes", types, "may not specify more than two policyTypes"))
        return errors
    for index, kind in enumerate(types):
        if kind not in POLICY_TYPES:
            errors.append(not_supported(f"spec.policyTypes[{index}]", kind, POLICY_TYPES))
    return errors


def _port(port: Obj, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    protocol = port.get("protocol", "TCP")
    if protocol not in PROTOCOLS:
        errors.append(not_supported(f"{field}.protocol", protocol, PROTOCOLS))
    number, end = port.get("port"), port.get("endPort")
    if number is None:
        if end is not None:
            errors.append(
                invalid(f"{field}.endPort", end, "may not be specified when `port` is not specified")
            )
        return errors
    errors += port_number_or_name(number, f"{field}.port")
    if end is None:
        return errors
    if isinstance(number, str):
        errors.append(invalid(f"{field}.endPort", end, "may not be specified when `port` is non-numeric"))
        return errors
    if end < number:
        # The value that upstream shows here is the port, not the endPort.
        errors.append(invalid(f"{field}.endPort", number, "must be greater than or equal to `port`"))
    errors += [invalid(f"{field}.endPort", end, problem) for problem in names.is_port_number(end)]
    return errors


def _peer(peer: Obj, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    pods, namespaces, block = peer.get("podSelector"), peer.get("namespaceSelector"), peer.get("ipBlock")
    errors += label_selector(pods, f"{field}.podSelector")
    errors += label_selector(namespaces, f"{field}.namespaceSelector")
    if block is not None:
        errors += _ip_block(block, f"{field}.ipBlock")
    if pods is None and namespaces is None and block is None:
        errors.append(required(field, "must specify a peer"))
    elif block is not None and (pods is not None or namespaces is not None):
        errors.append(forbidden(field, "may not specify both ipBlock and another peer"))
    return errors


def _ip_block(block: Obj, field: str) -> list[FieldError]:
    cidr = block.get("cidr", "")
    if not cidr:
        return [required(f"{field}.cidr")]
    network = parse_cidr(cidr)
    if network is None:
        return [invalid(f"{field}.cidr", cidr, CIDR_WORDS)]
    errors: list[FieldError] = []
    for index, text in enumerate(block.get("except") or []):
        at = f"{field}.except[{index}]"
        excepted = parse_cidr(text)
        if excepted is None:
            errors.append(invalid(at, text, CIDR_WORDS))
        elif not _is_strict_subset(excepted, network):
            errors.append(invalid(at, text, "must be a strict subset of `cidr`"))
    return errors


def warnings(policy: Obj, _old: Obj | None) -> list[str]:
    """What the server warns of: blocks that are not written in the usual form (validation.GetWarningsForCIDR)."""
    spec = policy.get("spec") or {}
    found: list[str] = []
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or []):
            for number, peer in enumerate((rule or {}).get(peers) or []):
                block = (peer or {}).get("ipBlock") or {}
                at = f"spec.{direction}[{index}].{peers}[{number}].ipBlock"
                found += _cidr_warnings(block.get("cidr", ""), f"{at}.cidr")
                for place, text in enumerate(block.get("except") or []):
                    found += _cidr_warnings(text, f"{at}.except[{place}]")
    return found


def _cidr_warnings(text: str, field: str) -> list[str]:
    network = parse_cidr(text)
    if network is None:
        return []
    found: list[str] = []
    written = text.partition("/")[0]
    try:
        interface: Interface | None = ipaddress.ip_interface(text) if not _LEADING_ZERO.search(text) else None
    except ValueError:
        interface = None
    address = interface.ip if interface is not None else network.network_address
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    if not mapped and interface is not None and address != network.network_address:
        whole = f"{address}/{network.max_prefixlen}"
        found.append(
            f'{field}: CIDR value "{text}" is ambiguous in this context (should be "{network}" or "{whole}"?)'
        )
    if interface is None or mapped:
        found.append(
            f'{field}: non-standard CIDR value "{text}" will be considered invalid in a future Kubernetes release: '
            f'use "{network}"'
        )
    elif not found and isinstance(address, ipaddress.IPv6Address) and written != str(address):
        found.append(
            f'{field}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{network}")'
        )
    return found


Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
_LEADING_ZERO = re.compile(r"(^|[./])0[0-9]")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_cidr(text: str) -> Network | None:
    """Go's legacy net.ParseCIDR, as the server still uses it: host bits and leading zeros pass."""
    address, slash, bits = text.partition("/")
    if not slash or not re.fullmatch(r"[0-9]+", bits):
        return None
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", address):
        address = ".".join(str(int(part)) for part in address.split("."))
    try:
        network = ipaddress.ip_network(f"{address}/{int(bits)}", strict=False)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}", strict=False)
    return network


def _is_strict_subset(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.prefixlen > outer.prefixlen and inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.prefixlen > outer.prefixlen and inner.subnet_of(outer)
    return False


def _row(policy: Obj) -> list[Any]:
    selector = (policy.get("spec") or {}).get("podSelector") or {}
    return [policy["metadata"]["name"], selector_text(selector), age(policy)]


RULES = Rules(default=default, validate=validate, generation=True, row=_row, warnings=warnings)
