"""x-kubernetes-validations: an object judged by the CEL rules of its schema.

Upstream: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from labkit.pocket.api.custom.cel import compile_rule
from labkit.pocket.api.custom.celfunctions import CelError
from labkit.pocket.api.custom.celtokens import CelMistake
from labkit.pocket.api.custom.structural import Structural
from labkit.pocket.api.fields import ErrorType, FieldError, invalid

Obj = dict[str, Any]

log = logging.getLogger(__name__)

_BLOCKING = (
    ErrorType.NOT_SUPPORTED,
    ErrorType.REQUIRED,
    ErrorType.TOO_LONG,
    ErrorType.TOO_MANY,
    ErrorType.TYPE_INVALID,
)
_REASONS = {
    "FieldValueRequired": ErrorType.REQUIRED,
    "FieldValueForbidden": ErrorType.FORBIDDEN,
    "FieldValueDuplicate": ErrorType.DUPLICATE,
}
_OLD = re.compile(r"\boldSelf\b")
_MISSING = object()


def errors(schema: Structural, obj: Obj, others: list[FieldError]) -> list[FieldError]:
    """The rules that an object breaks; none is looked at when `others` say that its shape is wrong."""
    if not schema.rules_within:
        return []
    if any(error.type in _BLOCKING for error in others):
        words = (
            "some validation rules were not checked because the object was invalid; "
            "correct the existing errors to complete validation"
        )
        return [invalid("<nil>", None, words)]
    return list(_walk(schema, obj, _MISSING, "", changes=False))


def change_errors(schema: Structural, obj: Obj, old: Obj) -> list[FieldError]:
    """The rules about changes (those that mention oldSelf) that an update breaks."""
    return list(_walk(schema, obj, old, "", changes=True)) if schema.rules_within else []


def _walk(schema: Structural, value: Any, old: Any, path: str, *, changes: bool) -> Iterator[FieldError]:
    if not schema.rules_within or value is None:
        return
    for rule in schema.raw.get("x-kubernetes-validations") or ():
        if bool(_OLD.search(rule["rule"])) == changes and not (changes and old is _MISSING):
            yield from _judged(rule, schema, value, old, path)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for name, element in value.items():
            child = schema.properties.get(name)
            if child is None and isinstance(schema.additional, Structural):
                child = schema.additional
            if child is not None:
                at = f"{path}.{name}" if path else name
                yield from _walk(child, element, before.get(name, _MISSING), at, changes=changes)
    elif isinstance(value, list) and schema.items is not None:
        for index, element in enumerate(value):
            was = _same_item(schema, element, old)
            yield from _walk(schema.items, element, was, f"{path}[{index}]", changes=changes)


def _same_item(schema: Structural, element: Any, old: Any) -> Any:
    """The item that an item of a keyed list was before; those of other lists cannot be told."""
    if schema.list_type != "map" or not isinstance(old, list) or not isinstance(element, dict):
        return _MISSING
    key = [element.get(name) for name in schema.map_keys]
    for item in old:
        if isinstance(item, dict) and [item.get(name) for name in schema.map_keys] == key:
            return item
    return _MISSING


def _judged(rule: Obj, schema: Structural, value: Any, old: Any, path: str) -> Iterator[FieldError]:
    env = {"self": value} if old is _MISSING else {"self": value, "oldSelf": old}
    try:
        verdict = compile_rule(rule["rule"])(env)
        problem = "" if verdict is True else _words(rule, env)
    except CelMistake as mistake:
        log.debug("a rule was not understood: %s: %s", rule["rule"], mistake)
        return
    except CelError as error:
        problem = f"{error} evaluating rule: {rule.get('message') or rule['rule']}"
    except Exception as error:  # a rule must not cost the request
        log.warning("rule %r could not be evaluated: %s", rule["rule"], error)
        return
    if problem:
        kind = _REASONS.get(rule.get("reason", ""), ErrorType.INVALID)
        at = path + rule.get("fieldPath", "") if path else rule.get("fieldPath", "").lstrip(".") or "<nil>"
        yield FieldError(kind, at, schema.type or "object", problem)


def _words(rule: Obj, env: Obj) -> str:
    if rule.get("messageExpression"):
        try:
            said = compile_rule(rule["messageExpression"])(env)
            if isinstance(said, str) and said.strip():
                return said
        except (CelMistake, CelError) as error:
            log.debug("a message could not be made: %s", error)
    return str(rule.get("message") or f"failed rule: {rule['rule']}")
