"""The classic mistakes with mesh policies, recognised where they decided a request."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.policy.decision import Trap
from labkit.policy.flow import Verdict
from labkit.policy.model import ObjectKey

from .attributes import Attributes
from .compiled import OF_THE_PEER, Action, CompiledAuthorization, CompiledRule, Subject
from .conditions import failing
from .mtls import Chain
from .receiving import Passage
from .view import Workload

Found = Iterator[tuple[ObjectKey, Trap]]


def traps_of(went: Passage, workload: Workload) -> Found:
    """The traps that have to do with this request."""
    attributes = went.attributes
    if attributes is None:
        return
    tcp = went.chain is not Chain.HTTP
    denied = went.outcome.verdict is not Verdict.OK
    for policy in workload.authorization:
        if policy.dry_run or policy.action not in (Action.ALLOW, Action.DENY):
            continue
        rules = policy.tcp if tcp else policy.http
        if tcp:
            yield from _http_on_tcp(policy)
        if policy.action is Action.ALLOW and denied:
            for rule in rules:
                yield from _too_little(policy, rule, attributes, went)
        elif not denied:
            yield from _too_much(policy, rules, attributes)


def _trap(policy: CompiledAuthorization, code: str, path: str, text: str) -> tuple[ObjectKey, Trap]:
    return policy.key, Trap(code, text, path, policy.line(path))


def _http_on_tcp(policy: CompiledAuthorization) -> Found:
    for left in policy.left_tcp[:1]:
        effect = (
            "An ALLOW rule with such a field is left out altogether."
            if policy.action is Action.ALLOW
            else "A DENY rule loses just this field and so denies more."
        )
        text = f"This port is not known to speak HTTP ({left.reason}). {effect} Is the Service's port named http-...?"
        yield _trap(policy, "http-on-tcp", left.path, text)


def _too_little(
    policy: CompiledAuthorization, rule: CompiledRule, attributes: Attributes, went: Passage
) -> Found:
    for alternative in (*rule.principals, *rule.permissions):
        condition = failing(alternative, attributes)
        if condition is None or not condition.values:
            continue
        place, written = condition.path, condition.written
        if condition.subject in OF_THE_PEER and not attributes.peer:
            text = (
                "The connection is not mutual TLS, so the client has no identity, and no principal, namespace or service "
                "account can match."
            )
            yield _trap(policy, "no-identity", place, text)
        if condition.subject is Subject.PRINCIPAL and any(value.startswith("spiffe://") for value in written):
            yield _trap(
                policy,
                "spiffe-written",
                place,
                "A principal is written without spiffe://: DOMAIN/ns/NS/sa/NAME.",
            )
        service_port = went.target.service_port
        if (
            condition.subject is Subject.PORT
            and service_port is not None
            and str(service_port.port) in written
        ):
            text = f"Ports are those of the workload ({attributes.port}), not of the Service ({service_port.port})."
            yield _trap(policy, "service-port", place, text)
        if condition.subject is Subject.HOST and attributes.host and ":" in attributes.host:
            name = attributes.host.rpartition(":")[0]
            if any(match.matches(name) for match in condition.values):  # type: ignore[arg-type]
                text = f"The client asks for {attributes.host}, with the port. A host without it does not match that."
                yield _trap(policy, "host-port", place, text)


def _too_much(
    policy: CompiledAuthorization, rules: tuple[CompiledRule, ...], attributes: Attributes
) -> Found:
    matched = [rule for rule in rules if _matches(rule, attributes)]
    if policy.action is Action.ALLOW and len(rules) > 1 and len(matched) == 1:
        only_from = [r for r in rules if _has(r.principals) and not _has(r.permissions)]
        only_to = [r for r in rules if _has(r.permissions) and not _has(r.principals)]
        if only_from and only_to and matched[0] in (*only_from, *only_to):
            text = (
                "`from` and `to` stand in two rules here (each has its own dash), so one of them alone is enough. To "
                "require both, write one rule."
            )
            yield _trap(policy, "rule-split", matched[0].path, text)
    for rule in rules if policy.action is Action.ALLOW else ():
        for condition in rule.conditions():
            absent = attributes.value(condition.subject, condition.name) is None
            if rule in matched and not condition.values and condition.not_values and absent:
                text = "A not-field also fits a request that lacks the thing altogether, such as one without a token."
                yield _trap(policy, "not-matches-absent", condition.not_path, text)


def _has(side: tuple[object, ...]) -> bool:
    return any(alternative.conditions for alternative in side)  # type: ignore[attr-defined]


def _matches(rule: CompiledRule, attributes: Attributes) -> bool:
    return not rule.never and all(
        any(failing(alternative, attributes) is None for alternative in side)
        for side in (rule.principals, rule.permissions)
    )
