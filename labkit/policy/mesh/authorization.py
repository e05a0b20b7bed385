"""AuthorizationPolicy v1 compiled: pilot/pkg/security/authz/model and builder, told as data.

The order of conditions is upstream's: hosts, methods, paths, ports, then `when`; principals, requestPrincipals,
serviceAccounts, trustDomains, namespaces, remoteIpBlocks, ipBlocks, then `when`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from labkit.policy.model import ObjectKey
from labkit.policy.yamlseam import SourceMap, child_path

from .compiled import (
    HTTP_ONLY,
    Action,
    Alternative,
    CompiledAuthorization,
    CompiledRule,
    Condition,
    Left,
    Subject,
    rule_key,
)
from .matchers import (
    ANYTHING,
    ClaimMatch,
    Form,
    IssuerAndSubject,
    NetworkMatch,
    PathTemplate,
    PortNumber,
    StringMatch,
    ValueMatch,
    header_match,
    is_template,
    quote,
    string_match,
)
from .meshconfig import MeshConfig

Reader = Callable[[str], ValueMatch]
SPIFFE = "spiffe://"


def compile_authorization(
    obj: Mapping[str, Any],
    config: MeshConfig,
    source: SourceMap | None = None,
    *,
    default_namespace: str = "default",
) -> CompiledAuthorization:
    """Read an AuthorizationPolicy that is valid (`validation.problems` says whether it is)."""
    key = ObjectKey.of({**obj, "kind": "AuthorizationPolicy"}, default_namespace)
    spec = obj.get("spec") or {}
    metadata = obj.get("metadata") or {}
    action = Action(spec.get("action") or "ALLOW")
    compiler = _Compiler(key, action, config)
    http, left_http = compiler.rules(spec.get("rules") or (), tcp=False)
    tcp, left_tcp = compiler.rules(spec.get("rules") or (), tcp=True)
    selector = spec.get("selector")
    annotations = metadata.get("annotations") or {}
    return CompiledAuthorization(
        key=key,
        action=action,
        http=http,
        tcp=tcp,
        selector=None if selector is None else dict(selector.get("matchLabels") or {}),
        targets=bool(spec.get("targetRefs") or spec.get("targetRef")),
        # strconv.ParseBool
        dry_run=str(annotations.get("istio.io/dry-run")) in ("1", "t", "T", "TRUE", "true", "True"),
        provider=str((spec.get("provider") or {}).get("name") or ""),
        created=str(metadata.get("creationTimestamp") or ""),
        left_http=left_http,
        left_tcp=left_tcp,
        source=source,
    )


class _Compiler:
    """Compiles the rules of one policy for one kind of filter chain after the other."""

    def __init__(self, key: ObjectKey, action: Action, config: MeshConfig) -> None:
        self._key = key
        self._action = action
        self._config = config
        self._left: list[Left] = []

    def rules(self, rules: Sequence[Any], *, tcp: bool) -> tuple[tuple[CompiledRule, ...], tuple[Left, ...]]:
        """The rules and what is left out of them."""
        self._left = []
        result = []
        for i, rule in enumerate(rules):
            built = self._rule(rule or {}, i, tcp)
            if built is not None:
                result.append(built)
        if not rules:
            result.append(CompiledRule(rule_key(self._key.namespace, self._key.name, 0), "spec", never=True))
        return tuple(result), tuple(self._left)

    def _rule(self, rule: Mapping[str, Any], index: int, tcp: bool) -> CompiledRule | None:
        path = f"spec.rules[{index}]"
        base: dict[bool, list[Condition]] = {True: [], False: []}
        for i, when in enumerate(rule.get("when") or ()):
            on_permissions, condition = self._when(when, f"{path}.when[{i}]")
            base[on_permissions].append(condition)
        principals = [
            Alternative(
                f"{path}.from[{i}]",
                (*self._source(item.get("source") or {}, f"{path}.from[{i}].source"), *base[False]),
            )
            for i, item in enumerate(rule.get("from") or ())
        ] or [Alternative(path, tuple(base[False]))]
        permissions = [
            Alternative(
                f"{path}.to[{i}]",
                (*self._operation(item.get("operation") or {}, f"{path}.to[{i}].operation"), *base[True]),
            )
            for i, item in enumerate(rule.get("to") or ())
        ] or [Alternative(path, tuple(base[True]))]
        sides = []
        for side in (permissions, principals):
            kept = []
            for alternative in side:
                built = self._kept(alternative, path, tcp)
                if built is None:
                    return None
                kept.append(built)
            sides.append(tuple(kept))
        key = rule_key(self._key.namespace, self._key.name, index)
        return CompiledRule(key, path, sides[0], sides[1])

    def _kept(self, alternative: Alternative, rule: str, tcp: bool) -> Alternative | None:
        """The alternative without what cannot be built; None when that takes the whole rule with it."""
        conditions = []
        for condition in alternative.conditions:
            place = condition.path or condition.not_path
            if tcp and condition.subject in HTTP_ONLY:
                reason = f"{_field(condition)} is about HTTP, and this is a TCP port"
            elif condition.subject is Subject.HEADER and not condition.name:
                reason = "the key has no header's name in brackets"
            else:
                conditions.append(condition)
                continue
            if self._action is Action.ALLOW:
                self._left.append(Left(rule, reason, whole_rule=True))
                return None
            if not any(left.path == place for left in self._left):
                self._left.append(Left(place, reason))
        return replace(alternative, conditions=tuple(conditions))

    def _source(self, source: Mapping[str, Any], path: str) -> list[Condition]:
        fields: list[tuple[str, Subject, Reader]] = [
            ("principals", Subject.PRINCIPAL, _principal),
            ("requestPrincipals", Subject.REQUEST_PRINCIPAL, request_principal),
            ("serviceAccounts", Subject.SERVICE_ACCOUNT, self._service_account),
            ("trustDomains", Subject.TRUST_DOMAIN, _trust_domain),
            ("namespaces", Subject.NAMESPACE, _namespace),
            ("remoteIpBlocks", Subject.REMOTE_IP, _network),
            ("ipBlocks", Subject.SOURCE_IP, _network),
        ]
        return self._fields(source, path, fields)

    def _operation(self, operation: Mapping[str, Any], path: str) -> list[Condition]:
        fields: list[tuple[str, Subject, Reader]] = [
            ("hosts", Subject.HOST, lambda value: header_match(value, ignore_case=True)),
            ("methods", Subject.METHOD, header_match),
            ("paths", Subject.PATH, _path),
            ("ports", Subject.PORT, lambda value: PortNumber(int(value))),
        ]
        return self._fields(operation, path, fields)

    def _fields(
        self, item: Mapping[str, Any], path: str, fields: Sequence[tuple[str, Subject, Reader]]
    ) -> list[Condition]:
        found = []
        for name, subject, reader in fields:
            negated = f"not{name[0].upper()}{name[1:]}"
            condition = self._condition(
                subject, reader, item.get(name), item.get(negated), f"{path}.{name}", f"{path}.{negated}"
            )
            if condition is not None:
                found.append(condition)
        return found

    def _when(self, when: Mapping[str, Any], path: str) -> tuple[bool, Condition]:
        """Whether the condition is one of permissions, and the condition."""
        key = str(when.get("key") or "")
        name: tuple[str, ...] = ()
        reader: Reader
        subject, reader = _PLAIN_KEYS.get(key, (Subject.METADATA, string_match))
        if key == "source.serviceAccount":
            reader = self._service_account
        elif key in ("request.auth.audiences", "request.auth.presenter"):
            subject, reader = Subject.CLAIM, _claim
            name = ("aud",) if key.endswith("audiences") else ("azp",)
        elif key.startswith("request.headers"):
            subject, reader = Subject.HEADER, header_match
            name = _brackets(key.removeprefix("request.headers"))
        elif key.startswith("request.auth.claims"):
            subject, reader = Subject.CLAIM, _claim
            name = nested_brackets(key.removeprefix("request.auth.claims"))
        elif subject is Subject.METADATA:
            # "experimental.envoy.filters.a.b[c]": the metadata c of the filter envoy.filters.a.b.
            reader = _metadata
            name = tuple(key.removeprefix("experimental.").removesuffix("]").split("[", 1))
        condition = self._condition(
            subject,
            reader,
            when.get("values"),
            when.get("notValues"),
            f"{path}.values",
            f"{path}.notValues",
            name,
        )
        on_permissions = subject in (Subject.DESTINATION_IP, Subject.PORT, Subject.SNI, Subject.METADATA)
        return on_permissions, condition or Condition(subject, name=name, path=child_path(path, "key"))

    def _condition(
        self,
        subject: Subject,
        reader: Reader,
        values: Any,
        not_values: Any,
        path: str,
        not_path: str,
        name: tuple[str, ...] = (),
    ) -> Condition | None:
        wanted, unwanted = tuple(map(str, values or ())), tuple(map(str, not_values or ()))
        if not wanted and not unwanted:
            return None
        expand: Callable[[Sequence[str]], Sequence[str]] = tuple
        if subject is Subject.PRINCIPAL:
            expand = self._config.principals
        elif subject is Subject.TRUST_DOMAIN:
            expand = self._config.expanded_domains
        return Condition(
            subject,
            tuple(reader(value) for value in expand(wanted)),
            tuple(reader(value) for value in expand(unwanted)),
            name,
            path if wanted else "",
            not_path if unwanted else "",
            wanted,
            unwanted,
        )

    def _service_account(self, value: str) -> StringMatch:
        namespace, separator, account = value.partition("/")
        if not separator:
            namespace, account = self._key.namespace, value
        pattern = f"{SPIFFE}.+/ns/{quote(namespace)}/(.+/|)sa/{quote(account)}(/.+)?"
        return StringMatch(Form.REGEX, pattern)


def request_principal(value: str) -> IssuerAndSubject:
    """generator.go, requestPrincipalGenerator: split at the last slash."""
    issuer, slash, subject = value.rpartition("/")
    if value == "*":
        return IssuerAndSubject(ANYTHING, ANYTHING)
    if value.startswith("*"):
        if not slash:
            return IssuerAndSubject(ANYTHING, StringMatch(Form.SUFFIX, value[1:]))
        first = ANYTHING if issuer == "*" else StringMatch(Form.SUFFIX, issuer[1:])
        return IssuerAndSubject(first, StringMatch(Form.EXACT, subject))
    if value.endswith("*"):
        if not slash:
            return IssuerAndSubject(StringMatch(Form.PREFIX, value[:-1]), ANYTHING)
        second = ANYTHING if subject == "*" else StringMatch(Form.PREFIX, subject[:-1])
        return IssuerAndSubject(StringMatch(Form.EXACT, issuer), second)
    if not slash:
        issuer, subject = value, ""
    return IssuerAndSubject(StringMatch(Form.EXACT, issuer), StringMatch(Form.EXACT, subject))


def nested_brackets(text: str) -> tuple[str, ...]:
    """util.go, extractNameInNestedBrackets: "[a][b]" is the claim b inside the claim a."""
    if re.fullmatch(r"(\[[^\[\]]*\])+", text):
        return tuple(re.findall(r"\[([^\[\]]*)\]", text))
    return _brackets(text, lower=False)


def _brackets(text: str, *, lower: bool = True) -> tuple[str, ...]:
    if not (text.startswith("[") and text.endswith("]")):
        return ()
    name = text[1:-1]
    return (name.lower() if lower else name,)


def _principal(value: str) -> StringMatch:
    return string_match(value, SPIFFE)


def _namespace(value: str) -> StringMatch:
    pattern = ".*".join(quote(part) for part in value.split("*"))
    return StringMatch(Form.REGEX, f".*/ns/{pattern}/.*")


def _trust_domain(value: str) -> StringMatch:
    if value == "*":
        return StringMatch(Form.PREFIX, SPIFFE)
    if "*" not in value:
        return StringMatch(Form.PREFIX, f"{SPIFFE}{value}/")
    before, _, after = value.partition("*")
    return StringMatch(Form.REGEX, f"{SPIFFE}{quote(before)}[^/]*{quote(after)}/.*")


def _network(value: str) -> NetworkMatch:
    return NetworkMatch(ipaddress.ip_network(value, strict=False))


def _path(value: str) -> ValueMatch:
    if is_template(value):
        return PathTemplate(value.replace("{**}", "**").replace("{*}", "*"))
    return string_match(value)


def _metadata(value: str) -> ValueMatch:
    """A value in brackets means a list with such a member."""
    if value.startswith("[") and value.endswith("]"):
        return ClaimMatch(string_match(value.strip("[]")))
    return string_match(value)


def _claim(value: str) -> ClaimMatch:
    return ClaimMatch(string_match(value))


def _field(condition: Condition) -> str:
    """The field as it is written: `methods`, or the key of a `when` entry."""
    path = condition.path or condition.not_path
    if ".when[" not in path:
        return path.rsplit(".", 1)[-1]
    if condition.subject is Subject.HEADER:
        return f"request.headers[{condition.name[0]}]"
    if condition.subject is Subject.CLAIM:
        return "request.auth.claims" + "".join(f"[{part}]" for part in condition.name)
    return "request.auth.principal"


_PLAIN_KEYS: Mapping[str, tuple[Subject, Reader]] = {
    "destination.ip": (Subject.DESTINATION_IP, _network),
    "destination.port": (Subject.PORT, lambda value: PortNumber(int(value))),
    "connection.sni": (Subject.SNI, string_match),
    "source.ip": (Subject.SOURCE_IP, _network),
    "remote.ip": (Subject.REMOTE_IP, _network),
    "source.namespace": (Subject.NAMESPACE, _namespace),
    "source.trustDomain": (Subject.TRUST_DOMAIN, _trust_domain),
    "source.serviceAccount": (Subject.SERVICE_ACCOUNT, string_match),
    "source.principal": (Subject.PRINCIPAL, _principal),
    "request.auth.principal": (Subject.REQUEST_PRINCIPAL, request_principal),
}
