"""Field errors and field paths, worded as k8s.io/apimachinery/pkg/util/validation/field words them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any


class ErrorType(Enum):
    """What is wrong with a field: the machine's reason and the words for people."""

    NOT_FOUND = ("FieldValueNotFound", "Not found")
    REQUIRED = ("FieldValueRequired", "Required value")
    DUPLICATE = ("FieldValueDuplicate", "Duplicate value")
    INVALID = ("FieldValueInvalid", "Invalid value")
    NOT_SUPPORTED = ("FieldValueNotSupported", "Unsupported value")
    FORBIDDEN = ("FieldValueForbidden", "Forbidden")
    TOO_LONG = ("FieldValueTooLong", "Too long")
    TOO_MANY = ("FieldValueTooMany", "Too many")
    TYPE_INVALID = ("FieldValueTypeInvalid", "Invalid value")
    INTERNAL = ("InternalError", "Internal error")

    @property
    def reason(self) -> str:
        """The cause's reason, such as `FieldValueInvalid`."""
        return self.value[0]

    @property
    def words(self) -> str:
        """How a message begins, such as `Invalid value`."""
        return self.value[1]


_WITHOUT_VALUE = {ErrorType.REQUIRED, ErrorType.FORBIDDEN, ErrorType.TOO_LONG, ErrorType.INTERNAL}


def quoted(text: str) -> str:
    """A string as Go's %q shows it (for the characters that matter here JSON agrees)."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class FieldError:
    """One broken rule: where, what was there, and what should be."""

    type: ErrorType
    field: str
    value: Any = None
    detail: str = ""

    def body(self) -> str:
        """The message without the field's path."""
        text = self.type.words
        if self.type not in _WITHOUT_VALUE:
            text += ": " + _shown(self.value)
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.body()}"

    def cause(self) -> dict[str, str]:
        """The entry in a Status' details.causes."""
        return {"reason": self.type.reason, "message": self.body(), "field": self.field}


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def required(field: str, detail: str = "") -> FieldError:
    """The field must be there."""
    return FieldError(ErrorType.REQUIRED, field, None, detail)


def invalid(field: str, value: Any, detail: str) -> FieldError:
    """The value breaks a rule of form or of sense."""
    return FieldError(ErrorType.INVALID, field, value, detail)


def duplicate(field: str, value: Any) -> FieldError:
    """A value that must be unique appears twice."""
    return FieldError(ErrorType.DUPLICATE, field, value)


def forbidden(field: str, detail: str) -> FieldError:
    """The field may not be set (or changed) here."""
    return FieldError(ErrorType.FORBIDDEN, field, None, detail)


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """The value is none of an enumeration's."""
    allowed = ", ".join(quoted(word) for word in supported)
    return FieldError(ErrorType.NOT_SUPPORTED, field, value, f"supported values: {allowed}")


def not_found(field: str, value: Any) -> FieldError:
    """The value names something that is not there."""
    return FieldError(ErrorType.NOT_FOUND, field, value)


def too_long(field: str, maximum: int) -> FieldError:
    """The text has too many bytes."""
    return FieldError(ErrorType.TOO_LONG, field, None, f"may not be more than {maximum} bytes")


def too_many(field: str, actual: int, maximum: int) -> FieldError:
    """The list has too many items."""
    return FieldError(ErrorType.TOO_MANY, field, actual, f"must have at most {maximum} items")


IMMUTABLE = "field is immutable"


def immutable(new: Any, old: Any, field: str) -> list[FieldError]:
    """An error when the two values differ (apimachinery's ValidateImmutableField)."""
    return [] if new == old else [invalid(field, new, IMMUTABLE)]
