"""Validation of label selectors, shared by all kinds that have one (metav1/validation.ValidateLabelSelector)."""

from __future__ import annotations

from typing import Any

from labkit.pocket.api import names
from labkit.pocket.api.fields import FieldError, forbidden, invalid, required

Obj = dict[str, Any]


def label_selector(selector: Obj | None, field: str) -> list[FieldError]:
    """Errors of a label selector object; None has none."""
    if selector is None:
        return []
    errors = names.label_map(selector.get("matchLabels"), f"{field}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or []):
        errors += _requirement(expression or {}, f"{field}.matchExpressions[{index}]")
    return errors


def _requirement(expression: Obj, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, values = expression.get("operator", ""), expression.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.append(
                forbidden(
                    f"{field}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                )
            )
    else:
        errors.append(invalid(f"{field}.operator", operator, "not a valid selector operator"))
    key = expression.get("key", "")
    errors += [invalid(f"{field}.key", key, problem) for problem in names.is_qualified_name(key)]
    for index, value in enumerate(values):
        errors += [
            invalid(f"{field}.values[{index}]", value, problem) for problem in names.is_label_value(value)
        ]
    return errors
