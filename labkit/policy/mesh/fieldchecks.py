"""Checks of single values as Istio's webhook makes them, in its words (pkg/config/security)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from .matchers import is_template

_LITERAL = re.compile(r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]+")
_PLAIN = (
    *("source.namespace", "source.principal", "request.auth.principal", "request.auth.audiences"),
    *("request.auth.presenter", "connection.sni"),
)


def attribute_problems(key: str, values: Sequence[str]) -> list[str]:
    """A value of a `when` entry: security.ValidateAttribute."""
    empty = empty_problems(key, values)
    if empty:
        return empty
    if key in ("source.ip", "remote.ip", "destination.ip"):
        return _listed(address_problems(values))
    if key == "destination.port":
        return _listed(port_problems(values))
    if key == "source.serviceAccount":
        return service_account_problems(key, values)
    if key == "source.trustDomain":
        return _wildcards(key, values)
    if key.startswith(("request.headers", "request.auth.claims", "experimental.envoy.filters.")):
        opened = key.find("[")
        well = key.endswith("]") and 0 < opened < len(key) - 2
        return [] if well else [f"bad key ({key}): should have format a[b]"]
    if key in _PLAIN:
        return []
    if key == "destination.namespace":
        return [f"attribute {key} is replaced by the metadata.namespace"]
    if key.startswith("destination.labels"):
        return [f"attribute {key} is replaced by the workload selector"]
    if key in ("destination.name", "destination.user"):
        return [f"deprecated attribute {key}: only supported in v1alpha1"]
    return [f"unknown attribute: {key}"]


def _listed(problems: Sequence[str]) -> list[str]:
    """Several errors of one check, as go-multierror prints them inside a sentence."""
    if not problems:
        return []
    count = f"{len(problems)} error{'' if len(problems) == 1 else 's'} occurred:\n"
    return [count + "".join(f"\t* {problem}\n" for problem in problems) + "\n"]


def empty_problems(name: str, values: Sequence[str]) -> list[str]:
    """CheckEmptyValues."""
    return [f"empty value not allowed, found in {name}"] if any(value == "" for value in values) else []


def _wildcards(name: str, values: Sequence[str]) -> list[str]:
    if empty := empty_problems(name, values):
        return empty
    for value in values:
        if value.count("*") > 1:
            return [f'at most one wildcard is allowed, found in {name}: "{value}"']
        if "*" in value and not value.startswith("*") and not value.endswith("*"):
            return [f'wildcard is only allowed at the start or end, found in {name}: "{value}"']
    return []


def trust_domain_problems(name: str, values: Sequence[str]) -> list[str]:
    """CheckTrustDomainValues."""
    if found := _wildcards(name, values):
        return found
    return [f"trust domain must not contain '/', found in {name}: \"{v}\"" for v in values if "/" in v][:1]


def service_account_problems(name: str, values: Sequence[str]) -> list[str]:
    """CheckServiceAccount."""
    if len(values) > 16:
        return ["may not have more than 16 values"]
    form = "expected format 'serviceAccount' or 'namespace/serviceAccount', found"
    for value in values:
        namespace, slash, account = value.partition("/")
        if value == "":
            return [f"empty value not allowed, found in {name}"]
        if "*" in value:
            return [f"wildcard not allowed, found in {name}"]
        if value.count("/") > 1:
            return [f'{form} "{value}" in {name}']
        if len(value) > 320:
            return [f'value cannot exceed 320 characters, found "{value}" in {name}']
        if slash and not namespace:
            return [f'{form} empty namespace "{value}" in {name}']
        if slash and not account:
            return [f'{form} empty serviceAccount "{value}" in {name}']
    return []


def address_problems(values: Sequence[str]) -> list[str]:
    """ValidateIPs."""
    problems = []
    for value in values:
        if "/" not in value:
            try:
                ipaddress.ip_address(value)
            except ValueError:
                problems.append(f"bad IP address ({value})")
            continue
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            problems.append(
                f'bad CIDR range ({value}): netip.ParsePrefix("{value}"): {_prefix_problem(value)}'
            )
    return problems


def _prefix_problem(value: str) -> str:
    """The reason that Go's netip.ParsePrefix gives."""
    address, _, bits = value.rpartition("/")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return f'ParseAddr("{address}"): unable to parse IP'
    if not bits.isdigit() or (len(bits) > 1 and bits.startswith("0")):
        return f'bad bits after slash: "{bits}"'
    return "prefix length out of range" if int(bits) > parsed.max_prefixlen else "invalid"


def port_problems(values: Sequence[str]) -> list[str]:
    """ValidatePorts."""
    problems = []
    for value in values:
        if not value.isascii() or not value.isdigit():
            problems.append(f'bad port ({value}): strconv.ParseUint: parsing "{value}": invalid syntax')
        elif int(value) >= 2**32:
            problems.append(f'bad port ({value}): strconv.ParseUint: parsing "{value}": value out of range')
        elif int(value) > 65535:
            problems.append(f"bad port ({value}): <nil>")
    return problems


def template_problems(name: str, paths: Sequence[str]) -> list[str]:
    """security.CheckValidPathTemplate; it stops at the first problem."""
    for written in paths:
        path = written.strip("/")
        wide = False
        for part in path.split("/"):
            where = f"invalid or unsupported path {path}, found in {name}. "
            if part in ("{*}", "{**}"):
                if wide:
                    return [f"{where}{{**}} is not the last operator"]
                wide = part == "{**}"
            elif "{" in part or "}" in part:
                return [f"{where}Contains '{{' or '}}' beyond a supported path template"]
            elif is_template(written) and not _LITERAL.fullmatch(part):
                return [f"{where}Contains segment {part} with invalid string literal"]
    return []
