"""Endpoints and EndpointSlice: validation and rows."""

from __future__ import annotations

import ipaddress
from typing import Any

from labkit.pocket.api import names
from labkit.pocket.api.fields import (
    FieldError,
    duplicate,
    immutable,
    invalid,
    not_supported,
    required,
    too_many,
)
from labkit.pocket.api.kinds.containerrules import PROTOCOLS
from labkit.pocket.api.kinds.podrules import ip_address
from labkit.pocket.api.kinds.printing import NONE, UNSET, age
from labkit.pocket.api.kinds.rules import Rules

Obj = dict[str, Any]

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ENDPOINTS = 1000


def _default_endpoints(endpoints: Obj) -> None:
    for subset in endpoints.get("subsets") or []:
        for port in subset.get("ports") or []:
            port.setdefault("protocol", "TCP")


def _validate_endpoints(endpoints: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, subset in enumerate(endpoints.get("subsets") or []):
        at = f"subsets[{index}]"
        ready, waiting = subset.get("addresses") or [], subset.get("notReadyAddresses") or []
        if not ready and not waiting:
            errors.append(required(at, "must specify `addresses` or `notReadyAddresses`"))
        for part, addresses in (("addresses", ready), ("notReadyAddresses", waiting)):
            for number, address in enumerate(addresses):
                errors += _address(address, f"{at}.{part}[{number}]")
        errors += _ports(subset.get("ports") or [], f"{at}.ports", many_need_names=True)
    return errors


def _address(address: Obj, field: str) -> list[FieldError]:
    text = address.get("ip", "")
    errors = ip_address(text, f"{field}.ip")
    if errors:
        # Upstream looks twice and says it twice.
        return [*errors, invalid(f"{field}.ip", text, "must be a valid IP address")]
    return _ordinary(text, f"{field}.ip")


def _ordinary(text: str, field: str) -> list[FieldError]:
    address = ipaddress.ip_address(text)
    for wrong, words in (
        (address.is_unspecified, "may not be unspecified (0.0.0.0 or ::)"),
        (address.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (address.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (address.is_multicast, "may not be in the multicast range (224.0.0.0/4, ff00::/8)"),
    ):
        if wrong:
            return [invalid(field, text, words)]
    return []


def _ports(ports: list[Obj], field: str, *, many_need_names: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at = f"{field}[{index}]"
        name = port.get("name") or ""
        if name:
            errors += [invalid(f"{at}.name", name, problem) for problem in names.is_dns_label(name)]
        elif many_need_names and len(ports) > 1:
            errors.append(required(f"{at}.name"))
        if name in seen:
            errors.append(duplicate(f"{at}.name", name))
        seen.add(name)
        number = port.get("port")
        if number is not None or many_need_names:
            errors += [
                invalid(f"{at}.port", number or 0, problem) for problem in names.is_port_number(number or 0)
            ]
        if port.get("protocol") not in PROTOCOLS:
            errors.append(not_supported(f"{at}.protocol", port.get("protocol"), PROTOCOLS))
    return errors


def _default_slice(endpoint_slice: Obj) -> None:
    for port in endpoint_slice.get("ports") or []:
        if port.get("name") is None:
            port["name"] = ""
        port.setdefault("protocol", "TCP")
    for endpoint in endpoint_slice.get("endpoints") or []:
        endpoint.setdefault("conditions", {})
    endpoint_slice.setdefault("endpoints", [])


def _validate_slice(endpoint_slice: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    kind = endpoint_slice.get("addressType", "")
    if not kind:
        errors.append(required("addressType"))
    elif kind not in ADDRESS_TYPES:
        errors.append(not_supported("addressType", kind, ADDRESS_TYPES))
    endpoints = endpoint_slice.get("endpoints") or []
    if len(endpoints) > MAX_ENDPOINTS:
        return [*errors, too_many("endpoints", len(endpoints), MAX_ENDPOINTS)]
    for index, endpoint in enumerate(endpoints):
        at = f"endpoints[{index}].addresses"
        addresses = endpoint.get("addresses") or []
        if not addresses:
            errors.append(required(at, "must contain at least 1 address"))
        for number, address in enumerate(addresses):
            if kind in ("IPv4", "IPv6"):
                problems = ip_address(address, f"{at}[{number}]")
                errors += problems or _ordinary(address, f"{at}[{number}]")
            elif kind == "FQDN":
                errors += [
                    invalid(f"{at}[{number}]", address, problem)
                    for problem in names.is_dns_subdomain(address)
                ]
    return errors + _ports(endpoint_slice.get("ports") or [], "ports", many_need_names=False)


def _update_slice(endpoint_slice: Obj, old: Obj) -> list[FieldError]:
    return immutable(endpoint_slice.get("addressType"), old.get("addressType"), "addressType")


def _endpoints_row(endpoints: Obj) -> list[Any]:
    pairs: list[str] = []
    more = 0
    for subset in endpoints.get("subsets") or []:
        addresses = [address.get("ip", "") for address in subset.get("addresses") or []]
        ports = [f":{port.get('port')}" for port in subset.get("ports") or []] or [""]
        for port in ports:
            for address in addresses:
                shown = f"[{address}]" if ":" in address and port else address
                if len(pairs) < 3:
                    pairs.append(shown + port)
                else:
                    more += 1
    text = ",".join(pairs) if endpoints.get("subsets") else NONE
    return [endpoints["metadata"]["name"], f"{text} + {more} more..." if more else text, age(endpoints)]


def _slice_row(endpoint_slice: Obj) -> list[Any]:
    ports = [str(port.get("port")) if port.get("port") else "*" for port in endpoint_slice.get("ports") or []]
    addresses = [
        address
        for endpoint in endpoint_slice.get("endpoints") or []
        for address in (endpoint.get("addresses") or [])
    ]
    return [
        endpoint_slice["metadata"]["name"],
        endpoint_slice.get("addressType", ""),
        _some(ports),
        _some(addresses),
        age(endpoint_slice),
    ]


def _some(items: list[str]) -> str:
    if not items:
        return UNSET
    text = ",".join(items[:3])
    return f"{text} + {len(items) - 3} more..." if len(items) > 3 else text


ENDPOINTS = Rules(default=_default_endpoints, validate=_validate_endpoints, row=_endpoints_row)
ENDPOINT_SLICE = Rules(
    default=_default_slice,
    validate=_validate_slice,
    validate_update=_update_slice,
    generation=True,
    row=_slice_row,
)
