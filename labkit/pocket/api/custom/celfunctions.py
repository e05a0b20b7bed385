"""The functions and operators of `cel`: the standard ones, and Kubernetes' for strings, lists, URLs and durations."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from labkit.pocket.api.custom.durations import seconds
from labkit.pocket.api.custom.validation import go_pattern


class CelError(Exception):
    """An evaluation that has no result; the text is cel-go's."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Any) -> Any:
    """A value that can be calculated with. Raises CelError."""
    if _is_number(value) or isinstance(value, timedelta):
        return value
    raise CelError("no such overload")


def equal(one: Any, other: Any) -> bool:
    """`==`: numbers by value, everything else also by type."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def compare(one: Any, other: Any) -> int:
    """Below 0, 0, above 0. Raises CelError for what has no order."""
    if _is_number(one) and _is_number(other) or (type(one) is type(other) and isinstance(one, str | timedelta | datetime)):  # noqa: RUF021  # fmt: skip
        return int(one > other) - int(one < other)
    if isinstance(one, bool) and isinstance(other, bool):
        return int(one) - int(other)
    raise CelError("no such overload")


def contains(holder: Any, value: Any) -> bool:
    """`in`. Raises CelError."""
    if isinstance(holder, dict):
        return value in holder
    if isinstance(holder, list):
        return any(equal(item, value) for item in holder)
    raise CelError("no such overload")


def add(one: Any, other: Any) -> Any:
    """`+`. Raises CelError."""
    if isinstance(one, str) and isinstance(other, str):
        return one + other
    if isinstance(one, list) and isinstance(other, list):
        return one + other
    return number(one) + number(other)


def divide(one: Any, other: Any, *, rest: bool = False) -> Any:
    """`/`, or `%` with `rest`; integers as Go divides them. Raises CelError."""
    number(one), number(other)
    if not other:
        raise CelError("modulus by zero" if rest else "division by zero")
    if isinstance(one, float) or isinstance(other, float):
        return one / other
    whole = abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)
    return one - whole * other if rest else whole


def items_of(value: Any) -> list[Any]:
    """What a macro goes through: a list's items, a map's keys. Raises CelError."""
    if isinstance(value, list | dict):
        return list(value)
    raise CelError("no such overload")


def _size(value: Any) -> int:
    if isinstance(value, str | list | dict):
        return len(value)
    raise CelError("no such overload")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise CelError("no such overload")
    return value


def _to_int(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise CelError(f"type conversion error from '{_type(value)}' to 'int'") from None


def _to_double(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise CelError(f"type conversion error from '{_type(value)}' to 'double'") from None


def _to_string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise CelError("no such overload")


def _type(value: Any) -> str:
    names = {bool: "bool", int: "int", float: "double", str: "string", list: "list", dict: "map"}
    return names.get(type(value), "null_type")


def _duration(value: Any) -> timedelta:
    found = seconds(_text(value))
    if found is None:
        raise CelError("type conversion error from 'string' to 'google.protobuf.Duration'")
    return timedelta(seconds=found)


def _timestamp(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(_text(value).replace("Z", "+00:00"))
    except ValueError:
        raise CelError("type conversion error from 'string' to 'google.protobuf.Timestamp'") from None


def _is_url(value: Any) -> bool:
    parts = urlsplit(_text(value))
    return bool(parts.scheme) or value.startswith("/")


def _url(value: Any) -> SplitResult:
    if not _is_url(value):
        raise CelError(
            f'URL parse error during conversion from string: parse "{value}": invalid URI for request'
        )
    return urlsplit(str(value))


def _matches(value: Any, pattern: Any) -> bool:
    return go_pattern(_text(pattern)).search(_text(value)) is not None


def _substring(value: Any, start: Any, end: Any = None) -> str:
    text = _text(value)
    last = len(text) if end is None else end
    if not 0 <= start <= last <= len(text):
        raise CelError(f"index out of range: {start if end is None else end}")
    return text[start:last]


def _join(value: Any, separator: Any = "") -> str:
    return _text(separator).join(_text(item) for item in value)


def _find(value: Any, pattern: Any) -> str:
    found = re.search(_text(pattern), _text(value))
    return found[0] if found else ""


def _char_at(value: Any, index: Any) -> str:
    text = _text(value)
    if not 0 <= index <= len(text):
        raise CelError(f"index out of range: {index}")
    return text[index : index + 1]


def _sorted(value: Any) -> bool:
    return all(compare(one, other) <= 0 for one, other in itertools.pairwise(value))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": _size,
    "int": _to_int,
    "uint": _to_int,
    "double": _to_double,
    "string": _to_string,
    "bool": lambda value: (
        {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    ),
    "duration": _duration,
    "timestamp": _timestamp,
    "matches": _matches,
    "isURL": _is_url,
    "url": _url,
    "type": _type,
    "dyn": lambda value: value,
}

METHODS: dict[str, Callable[..., Any]] = {
    "size": _size,
    "contains": lambda value, part: _text(part) in _text(value),
    "startsWith": lambda value, part: _text(value).startswith(_text(part)),
    "endsWith": lambda value, part: _text(value).endswith(_text(part)),
    "matches": _matches,
    "find": _find,
    "substring": _substring,
    "charAt": _char_at,
    "indexOf": lambda value, part, *start: (
        (value.index(part) if part in value else -1)
        if isinstance(value, list)
        else _text(value).find(_text(part), *start)
    ),
    "lastIndexOf": lambda value, part: _text(value).rfind(_text(part)),
    "split": lambda value, separator: _text(value).split(_text(separator)),
    "join": _join,
    "replace": lambda value, old, new, *count: _text(value).replace(old, new, *count),
    "lowerAscii": lambda value: _text(value).lower(),
    "upperAscii": lambda value: _text(value).upper(),
    "trim": lambda value: _text(value).strip(),
    "isSorted": _sorted,
    "sum": lambda value: sum(number(item) for item in value),
    "min": lambda value: min(value),
    "max": lambda value: max(value),
    "getScheme": lambda value: value.scheme,
    "getHost": lambda value: value.netloc,
    "getHostname": lambda value: value.hostname or "",
    "getPort": lambda value: "" if value.port is None else str(value.port),
    "getEscapedPath": lambda value: value.path,
    "getQuery": lambda value: parse_qs(value.query),
    "getHours": lambda value: int(value.total_seconds() // 3600),
    "getMinutes": lambda value: int(value.total_seconds() // 60),
    "getSeconds": lambda value: int(value.total_seconds()),
    "getMilliseconds": lambda value: int(value.total_seconds() * 1000),
}
