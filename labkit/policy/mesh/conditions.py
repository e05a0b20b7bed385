"""Why a rule matches a request or not: each rule of a policy, and the condition that decided, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .attributes import Attributes
from .compiled import (
    OF_THE_PEER,
    Action,
    Alternative,
    CompiledAuthorization,
    CompiledRule,
    Condition,
    Subject,
)
from .decision import Reason

_MISSING = {
    Subject.REQUEST_PRINCIPAL: "the request has no accepted token",
    Subject.CLAIM: "there is no such claim",
    Subject.HEADER: "the request has no such header",
}
_WORDS = {
    Subject.HOST: "the host",
    Subject.METHOD: "the method",
    Subject.PATH: "the path",
    Subject.PORT: "the port",
    Subject.SOURCE_IP: "the connection's address",
    Subject.REMOTE_IP: "the client's address",
    Subject.DESTINATION_IP: "the destination's address",
    Subject.SNI: "the server name",
    Subject.METADATA: "the metadata",
}


def rule_reasons(policy: CompiledAuthorization, attributes: Attributes, *, tcp: bool) -> Iterator[Reason]:
    """A reason for each rule of a policy; for one that does not match, the first condition that fails."""
    left = policy.left_tcp if tcp else policy.left_http
    for item in left:
        word = "the rule is left out" if item.whole_rule else "this field is left out, the rest still counts"
        yield Reason(
            f"{policy.key.path}, {item.path}: {item.reason}; {word}",
            policy.key,
            item.path,
            policy.line(item.path),
        )
    for rule in policy.tcp if tcp else policy.http:
        if rule.never:
            text = f"{policy.key.path} has no rules, so it matches nothing"
            if policy.action is Action.ALLOW:
                text += " and, being an ALLOW policy, leaves everything else denied"
            yield Reason(text, policy.key, "spec", policy.line("spec"), matched=False)
            continue
        matched, path, text = _tried(rule, attributes)
        yield Reason(f"{rule.key} ({policy.action}): {text}", policy.key, path, policy.line(path), matched)


def _tried(rule: CompiledRule, attributes: Attributes) -> tuple[bool, str, str]:
    texts, place = [], rule.path
    for side, field in ((rule.principals, "from"), (rule.permissions, "to")):
        found = next((a for a in side if failing(a, attributes) is None), None)
        if found is None:
            path, text = _why_not(side, attributes, rule.path, field)
            return False, path, text
        if found.conditions:
            texts.append(" and ".join(_holds(c, attributes) for c in found.conditions))
            place = found.path
    return True, place, "; ".join(texts) or "the rule is empty, so it matches everything"


def _why_not(side: tuple[Alternative, ...], attributes: Attributes, rule: str, field: str) -> tuple[str, str]:
    reasons = [(a.path, failing(a, attributes)) for a in side]
    if len(reasons) == 1:
        condition = reasons[0][1]
        assert condition is not None
        return _place(condition), _fails(condition, attributes)
    listed = "; ".join(
        f"{path.rpartition('.')[2]}: {_fails(condition, attributes)}"
        for path, condition in reasons
        if condition
    )
    return f"{rule}.{field}", f"none of its {len(reasons)} `{field}` entries fits ({listed})"


def failing(alternative: Alternative, attributes: Attributes) -> Condition | None:
    """The first condition that does not hold."""
    for condition in alternative.conditions:
        if not condition.holds(attributes.value(condition.subject, condition.name)):
            return condition
    return None


def _place(condition: Condition) -> str:
    return condition.path or condition.not_path


def _fails(condition: Condition, attributes: Attributes) -> str:
    value = attributes.value(condition.subject, condition.name)
    if condition.values and not any(match.matches(value) for match in condition.values):
        wanted = _list(condition.written)
        return f"{_what(condition, value)}, and {_field(condition.path)} asks for {wanted}"
    unwanted = _list(condition.not_written)
    return f"{_what(condition, value)}, and {_field(condition.not_path)} excludes {unwanted}"


def _holds(condition: Condition, attributes: Attributes) -> str:
    value = attributes.value(condition.subject, condition.name)
    if condition.values:
        return f"{_what(condition, value)}, as {_field(condition.path)} asks"
    return f"{_what(condition, value)}, which {_field(condition.not_path)} does not exclude"


def _what(condition: Condition, value: Any) -> str:
    subject = condition.subject
    if subject in OF_THE_PEER:
        return f"the client is {value}" if value else "the client shows no certificate"
    if subject in (Subject.HEADER, Subject.CLAIM):
        name = ".".join(condition.name)
        if value is None:
            return f"{_MISSING[subject]} ({name})"
        return f"the {subject} {name} is {_shown(value)}"
    if subject is Subject.REQUEST_PRINCIPAL:
        if value is None:
            return _MISSING[subject]
        return f"the token is of {value[0] or 'no issuer'}/{value[1] or '(no subject)'}"
    return f"{_WORDS[subject]} is {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(value) + "]"
    return "empty" if value in (None, "") else str(value)


def _field(path: str) -> str:
    """The field as the learner wrote it: `principals`, or the whole place of a `when` entry."""
    return path.removeprefix("spec.") if ".when[" in path else path.rpartition(".")[2]


def _list(values: tuple[str, ...]) -> str:
    return ", ".join(values)
