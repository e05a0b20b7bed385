"""What the API server and Istio's webhook say to the mesh's objects, in their words.

First the schema (the CRD's fields, enums and rules), then pkg/config/validation; a policy with problems of the first kind
never reaches the second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from labkit.policy.model import ObjectKey
from labkit.policy.networkpolicy import Problem
from labkit.policy.yamlseam import SourceMap

from .fieldchecks import (
    address_problems,
    attribute_problems,
    empty_problems,
    port_problems,
    service_account_problems,
    template_problems,
    trust_domain_problems,
)
from .schema import schema_problems

Found = Iterator[tuple[str, str]]

DENY_TCP = (
    "configured AuthorizationPolicy will deny all traffic to TCP ports under its scope due to the use of only HTTP "
    "attributes in a DENY rule; it is recommended to explicitly specify the port"
)
NO_LABELS = "workload selector specified without labels"
CUSTOM = (
    "action CUSTOM hands the decision to an external authorizer, and there is none here: use ALLOW or DENY "
    "(upstream: https://istio.io/latest/docs/tasks/security/authorization/authz-custom/)"
)
_ADD_EMPTY = "add an empty rule `{}` if you want it be triggered for every request"
_TARGETS = (("", "Service"), ("networking.istio.io", "ServiceEntry"))
_GATEWAYS = (("gateway.networking.k8s.io", "Gateway"), ("gateway.networking.k8s.io", "GatewayClass"))


@dataclass(frozen=True, slots=True)
class Review:
    """What is said to one object: problems refuse it, warnings are printed beside "created". by_webhook: Istio's
    webhook refuses it, and not the schema.
    """

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    by_webhook: bool = False

    def message(self, key: ObjectKey) -> str:
        """The refusal as kubectl prints it after `Error from server`; "" when there is none."""
        if not self.problems:
            return ""
        if not self.by_webhook:
            listed = ", ".join(f"{p.path}: {p.message}" for p in self.problems)
            listed = f"[{listed}]" if len(self.problems) > 1 else listed
            return f'The {key.kind} "{key.name}" is invalid: {listed}'
        prefix = f"invalid policy {key.name}.{key.namespace}: " if key.kind == "AuthorizationPolicy" else ""
        count = len(self.problems)
        errors = f"{count} error{'' if count == 1 else 's'} occurred:\n"
        errors += "".join(f"\t* {prefix}{problem.message}\n" for problem in self.problems)
        return (
            'admission webhook "validation.istio.io" denied the request: configuration is invalid: '
            f"{errors}\n"
        )


def review(
    obj: Mapping[str, Any], source: SourceMap | None = None, *, default_namespace: str = "default"
) -> Review:
    """What is said to an object of the kinds AuthorizationPolicy, PeerAuthentication and RequestAuthentication."""
    key = ObjectKey.of(obj, default_namespace)

    def problems(found: Iterator[tuple[str, str]]) -> tuple[Problem, ...]:
        return tuple(
            Problem(path, text, source.nearest(path) if source else None)
            for path, text in dict.fromkeys(found)
        )

    by_schema = problems(schema_problems(key.kind, obj.get("spec")))
    if by_schema:
        return Review(by_schema)
    spec = obj.get("spec") or {}
    refused = {
        "AuthorizationPolicy": _authorization,
        "PeerAuthentication": _peer_authentication,
        "RequestAuthentication": _request_authentication,
    }.get(key.kind)
    if refused is None:
        return Review()
    return Review(problems(refused(spec)), problems(_warnings(key.kind, spec)), by_webhook=True)


def _warnings(kind: str, spec: Mapping[str, Any]) -> Found:
    if spec.get("selector") is not None and not (spec["selector"] or {}).get("matchLabels"):
        yield "spec.selector", NO_LABELS
    if kind == "AuthorizationPolicy" and spec.get("action") == "DENY":
        for i, rule in enumerate(spec.get("rules") or ()):
            if _closes_tcp(rule or {}):
                yield f"spec.rules[{i}]", DENY_TCP
    for i, rule in enumerate(spec.get("jwtRules") or ()):
        for j, jwk in enumerate(_keys(str(rule.get("jwks") or ""))):
            if "d" in jwk or jwk.get("kty") == "oct":
                text = f"jwks key at index {j} contains private key material; only public keys are used for verification"
                yield f"spec.jwtRules[{i}].jwks", text


def _closes_tcp(rule: Mapping[str, Any]) -> bool:
    """The webhook's own test, which does not look at `when`."""
    sources = [item.get("source") or {} for item in rule.get("from") or ()]
    operations = [item.get("operation") or {} for item in rule.get("to") or ()]
    tcp_fields = ("principals", "ipBlocks", "namespaces", "remoteIpBlocks", "serviceAccounts")
    in_from = any(s.get(f) or s.get(f"not{f[0].upper()}{f[1:]}") for s in sources for f in tcp_fields)
    in_to = any(o.get("ports") or o.get("notPorts") for o in operations)
    return (bool(sources) and not operations and not in_from) or (bool(operations) and not in_to)


def _authorization(spec: Mapping[str, Any]) -> Found:
    yield from _targets(spec)
    action, rules = spec.get("action") or "ALLOW", spec.get("rules") or []
    if action == "CUSTOM":
        yield "spec.action", CUSTOM
    if spec.get("provider") is not None and action != "CUSTOM":
        yield "spec.provider", f"`provider` must not be with non CUSTOM action, found {action}"
    if action in ("DENY", "CUSTOM") and not rules:
        yield (
            "spec.rules",
            f"{action} action without `rules` is meaningless as it will never be triggered, {_ADD_EMPTY}",
        )
    for i, rule in enumerate(rules):
        path = f"spec.rules[{i}]"
        if rule is None:
            continue
        for j, item in enumerate(rule.get("from") or ()):
            yield from _source((item or {}).get("source"), f"{path}.from[{j}]", i)
        for j, item in enumerate(rule.get("to") or ()):
            yield from _operation((item or {}).get("operation"), f"{path}.to[{j}]", i)
        for j, when in enumerate(rule.get("when") or ()):
            yield from _when(when, f"{path}.when[{j}]")


def _source(source: Mapping[str, Any] | None, path: str, rule: int) -> Found:
    if source is None:
        yield path, f"`from.source` must not be nil, found at rule {rule}"
        return
    path = f"{path}.source"
    if any(source.get(f) for f in ("principals", "notPrincipals", "namespaces", "notNamespaces")) and any(
        source.get(f) for f in ("serviceAccounts", "notServiceAccounts")
    ):
        yield path, f"cannot set serviceAccounts with namespaces or principals, found at rule {rule}"
    if not any(source.values()):
        yield path, f"`from.source` must not be empty, found at rule {rule}"
    for field in ("ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"):
        for problem in address_problems(source.get(field) or ()):
            yield f"{path}.{field}", problem
    for field, values in source.items():
        name = f"{field[0].upper()}{field[1:]}"
        if name.endswith("ServiceAccounts"):
            problems = service_account_problems(name, values or ())
        elif name.endswith("TrustDomains"):
            problems = trust_domain_problems(name, values or ())
        else:
            problems = empty_problems(name, values or ())
        for problem in problems:
            yield f"{path}.{field}", problem


def _operation(operation: Mapping[str, Any] | None, path: str, rule: int) -> Found:
    if operation is None:
        yield path, f"`to.operation` must not be nil, found at rule {rule}"
        return
    path = f"{path}.operation"
    if not any(operation.values()):
        yield path, f"`to.operation` must not be empty, found at rule {rule}"
    for field in ("ports", "notPorts"):
        for problem in port_problems(operation.get(field) or ()):
            yield f"{path}.{field}", problem
    for field, values in operation.items():
        name = f"{field[0].upper()}{field[1:]}"
        for problem in empty_problems(name, values or ()):
            yield f"{path}.{field}", problem
        if name.endswith("Paths"):
            for problem in template_problems(name, values or ()):
                yield f"{path}.{field}", problem


def _when(when: Mapping[str, Any], path: str) -> Found:
    key = str(when.get("key") or "")
    if not key:
        yield f"{path}.key", "`key` must not be empty"
        return
    if not when.get("values") and not when.get("notValues"):
        yield path, f"at least one of `values` or `notValues` must be set for key {key}"
        return
    for field, word in (("values", "value"), ("notValues", "notValue")):
        for problem in attribute_problems(key, [str(value) for value in when.get(field) or ()]):
            yield f"{path}.{field}", f"invalid `{word}` for `key` {key}: {problem}"


def _targets(spec: Mapping[str, Any]) -> Found:
    one = spec.get("targetRef")
    chosen = [spec.get("selector") is not None, one is not None, bool(spec.get("targetRefs"))]
    if sum(chosen) > 1:
        yield "spec", "only one of targetRefs or workloadSelector can be set"
    references = [("spec.targetRef", one)] if one is not None else []
    references += [(f"spec.targetRefs[{i}]", ref) for i, ref in enumerate(spec.get("targetRefs") or ())]
    for path, ref in references:
        if not ref.get("name"):
            yield path, "targetRef name must be set"
        if ref.get("namespace"):
            yield path, "targetRef namespace must not be set; cross namespace referencing is not supported"
        group, kind = str(ref.get("group") or ""), str(ref.get("kind") or "")
        if ("" if group == "core" else group, kind) not in (*_TARGETS, *_GATEWAYS):
            listed = (
                "[core/v1/Service networking.istio.io/v1/ServiceEntry gateway.networking.k8s.io/v1/Gateway "
                "gateway.networking.k8s.io/v1/GatewayClass]"
            )
            yield path, f"targetRef must be to one of {listed} but was {group}/{kind}"


def _peer_authentication(spec: Mapping[str, Any]) -> Found:
    labels = (spec.get("selector") or {}).get("matchLabels")
    if not labels and spec.get("portLevelMtls"):
        yield "spec.portLevelMtls", "mesh/namespace peer authentication cannot have port level mTLS"
    for port in spec.get("portLevelMtls") or ():
        if not 0 < int(port) <= 65535:
            yield f"spec.portLevelMtls.{port}", "port must be in range 1..65535"


def _request_authentication(spec: Mapping[str, Any]) -> Found:
    yield from _targets(spec)
    for i, rule in enumerate(spec.get("jwtRules") or ()):
        path = f"spec.jwtRules[{i}]"
        address = str(rule.get("jwksUri") or rule.get("jwks_uri") or "")
        if "" in (rule.get("audiences") or ()):
            yield f"{path}.audiences", "audience must be non-empty string"
        if not rule.get("issuer") and not address:
            yield path, "issuer or jwksUri must be non-empty string"
        if address and urlsplit(address).scheme not in ("http", "https"):
            yield f"{path}.jwksUri", f'URI scheme "{urlsplit(address).scheme}" is not supported'
        if rule.get("jwks") and not _is_json(str(rule["jwks"])):
            yield f"{path}.jwks", "jwks parse error: failed to unmarshal JWK set"
        for field, text in (("fromParams", "location query"), ("fromCookies", "cookie name")):
            if "" in (rule.get(field) or ()):
                yield f"{path}.{field}", f"{text} must be non-empty string"
        for item in rule.get("fromHeaders") or ():
            if not (item or {}).get("name"):
                yield f"{path}.fromHeaders", "location header name must be non-empty string"
        for item in rule.get("outputClaimToHeaders") or ():
            if not (item or {}).get("claim") or not (item or {}).get("header"):
                text = "outputClaimToHeaders header and claim value must be non-empty string"
                yield f"{path}.outputClaimToHeaders", text


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _keys(text: str) -> list[Mapping[str, Any]]:
    keys = json.loads(text).get("keys", []) if text and _is_json(text) else []
    return [key for key in keys if isinstance(key, Mapping)]
