"""Label selectors: the object form of the API and the string form of `kubectl -l`, read into one small model.

Semantics and the parser's messages follow k8s.io/apimachinery/pkg/labels and pkg/apis/meta/v1/validation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from .labelnames import label_key_problem, label_value_problem


class SelectorError(ValueError):
    """A selector that the API server would refuse. `path` is relative to the selector ("" in the string
    form).
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.message = message
        self.path = path


class Operator(StrEnum):
    """How a requirement compares; `Gt` and `Lt` exist in the string form only."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GREATER_THAN = "Gt"
    LESS_THAN = "Lt"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `path` says where it stands in the selector ("matchExpressions[0]")."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()
    path: str = ""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet the condition. NotIn is met by an absent key; an empty value is a value."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value is not None and value in self.values
            case Operator.NOT_IN:
                return value is None or value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None
            case _:
                try:
                    number, bound = int(value or ""), int(self.values[0])
                except ValueError:
                    return False
                return number > bound if self.operator is Operator.GREATER_THAN else number < bound

    def __str__(self) -> str:
        match self.operator:
            case Operator.EXISTS:
                return self.key
            case Operator.DOES_NOT_EXIST:
                return f"!{self.key}"
            case Operator.IN if len(self.values) == 1:
                return f"{self.key}={self.values[0]}"
            case Operator.NOT_IN if len(self.values) == 1:
                return f"{self.key}!={self.values[0]}"
            case Operator.GREATER_THAN:
                return f"{self.key}>{self.values[0]}"
            case Operator.LESS_THAN:
                return f"{self.key}<{self.values[0]}"
        word = "in" if self.operator is Operator.IN else "notin"
        return f"{self.key} {word} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector: all its requirements must hold. Without requirements it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True for `{}` (also `matchLabels: {}`): it selects everything."""
        return not self.requirements

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def unmet(self, labels: Mapping[str, str]) -> Requirement | None:
        """The first requirement that these labels do not meet, or None when the selector matches."""
        return next((r for r in self.requirements if not r.matches(labels)), None)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    @classmethod
    def from_object(cls, data: Mapping[str, Any] | None) -> Selector:
        """Read a LabelSelector object (`matchLabels`, `matchExpressions`).

        None is read like `{}`: whether an absent selector means "field absent" is for the caller to say.
        Raises SelectorError, in the API server's words, for what the API server refuses.
        """
        if data is None:
            return cls()
        if not isinstance(data, Mapping):
            raise SelectorError(
                f"Invalid value: {data!r}: must be an object with matchLabels or matchExpressions"
            )
        for field in data:
            if field not in ("matchLabels", "matchExpressions"):
                raise SelectorError(f'unknown field "{field}"', str(field))
        requirements = [_from_label(key, value) for key, value in _mapping(data, "matchLabels").items()]
        requirements += [_from_expression(i, item) for i, item in enumerate(_list(data, "matchExpressions"))]
        return cls(tuple(requirements))

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> Selector:
        """The selector of a Service or `kubectl -l a=b`: each label must be present with that very value."""
        return cls(tuple(_from_label(key, value) for key, value in labels.items()))

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Read the string form, as in `?labelSelector=a=b,c in (x,y),!d`. Raises SelectorError."""
        return cls(tuple(_Parser(text).parse()))


LabelSelector = Selector


def _from_label(key: str, value: Any) -> Requirement:
    path = f"matchLabels[{key}]" if "." in key else f"matchLabels.{key}"
    if value is None:
        value = ""  # what Go makes of `key:` with nothing after it
    if not isinstance(value, str):
        raise SelectorError(f"Invalid value: {value!r}: label values must be strings; put it in quotes", path)
    _check("key", key, "matchLabels")
    _check("value", value, "matchLabels")
    return Requirement(key, Operator.IN, (value,), path)


def _from_expression(index: int, item: Any) -> Requirement:
    path = f"matchExpressions[{index}]"
    if not isinstance(item, Mapping):
        raise SelectorError(f"Invalid value: {item!r}: must have key and operator", path)
    for field in item:
        if field not in ("key", "operator", "values"):
            raise SelectorError(f'unknown field "{field}"', f"{path}.{field}")
    key, name = item.get("key"), item.get("operator")
    if not isinstance(key, str) or not key:
        raise SelectorError("Required value: name part must be non-empty", f"{path}.key")
    _check("key", key, f"{path}.key")
    values = item.get("values") or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise SelectorError(f"Invalid value: {values!r}: must be a list of strings", f"{path}.values")
    match name:
        case "In" | "NotIn":
            if not values:
                raise SelectorError(
                    "Required value: must be specified when `operator` is 'In' or 'NotIn'", f"{path}.values"
                )
        case "Exists" | "DoesNotExist":
            if values:
                raise SelectorError(
                    "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                    f"{path}.values",
                )
        case _:
            raise SelectorError(f'Invalid value: "{name}": not a valid selector operator', f"{path}.operator")
    for i, value in enumerate(values):
        _check("value", value, f"{path}.values[{i}]")
    return Requirement(key, Operator(name), tuple(values), path)


def _mapping(data: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = data.get(field)
    if value is not None and not isinstance(value, Mapping):
        raise SelectorError(f"Invalid value: {value!r}: must be an object", field)
    return value or {}


def _list(data: Mapping[str, Any], field: str) -> list[Any]:
    value = data.get(field)
    if value is not None and not isinstance(value, list):
        raise SelectorError(f"Invalid value: {value!r}: must be a list", field)
    return value or []


_END = ""
_SYMBOLS = ("==", "!=", "=", "!", "(", ")", ",", ">", "<")
_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")


class _Parser:
    """The recursive descent of labels.Parse; its words are kept, because kubectl shows them."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    @staticmethod
    def _check(kind: Literal["key", "value"], text: str, path: str) -> None:
        try:
            _check(kind, text, path)
        except SelectorError as error:
            raise SelectorError(str(error)) from None  # the string form has no fields to point at

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def parse(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while (token := self._peek()) != _END:
            if token in _SYMBOLS and token != "!":
                raise SelectorError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self._requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error.message}") from None
            token = self._next()
            if token == _END:
                break
            if token != ",":
                raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
            after = self._peek()
            if after == _END or (after in _SYMBOLS and after != "!"):
                raise SelectorError(f"found '{after}', expected: identifier after ','")
        return requirements

    def _requirement(self) -> Requirement:
        key = self._next()
        absent = key == "!"
        if absent:
            key = self._next()
        if key == _END or key in _SYMBOLS:
            raise SelectorError(f"found '{key}', expected: identifier")
        self._check("key", key, "<nil>")  # upstream has no path here
        if absent:
            # Upstream reads `!a=b` as a parse error at '='; the caller reports it.
            return Requirement(key, Operator.DOES_NOT_EXIST)
        if self._peek() in (_END, ","):
            return Requirement(key, Operator.EXISTS)
        word = self._next()
        match word:
            case "in" | "notin":
                return Requirement(key, Operator.IN if word == "in" else Operator.NOT_IN, self._values(key))
            case "=" | "==" | "!=" | ">" | "<":
                value = self._exact(key)
            case _:
                raise SelectorError(f"found '{word}', expected: in, notin, =, ==, !=, gt, lt")
        if word in "<>":
            if not re.fullmatch(r"[-+]?\d+", value):
                raise SelectorError("Invalid value: for 'Gt', 'Lt' operators, the value must be an integer")
            return Requirement(key, Operator.GREATER_THAN if word == ">" else Operator.LESS_THAN, (value,))
        return Requirement(key, Operator.NOT_IN if word == "!=" else Operator.IN, (value,))

    def _exact(self, key: str) -> str:
        token = self._peek()
        if token in (_END, ","):
            return ""
        self._next()
        if token in _SYMBOLS:
            raise SelectorError(f"found '{token}', expected: identifier")
        self._check("value", token, f"values[0][{key}]")
        return token

    def _values(self, key: str) -> tuple[str, ...]:
        token = self._next()
        if token != "(":
            raise SelectorError(f"found '{token}' expected: '('")
        values: list[str] = []
        expecting = True  # a value may be empty: `(a,)` holds "a" and ""
        while True:
            token = self._next()
            if token in (",", ")"):
                if expecting:
                    values.append("")
                if token == ")":
                    return tuple(dict.fromkeys(values))
                expecting = True
            elif not expecting:
                raise SelectorError(f"found '{token}', expected: ',' or ')'")
            elif token == _END or token in _SYMBOLS:
                raise SelectorError(f"found '{token}', expected: ',', ')' or identifier")
            else:
                self._check("value", token, f"values[{len(values)}][{key}]")
                values.append(token)
                expecting = False


def _check(kind: Literal["key", "value"], text: str, path: str) -> None:
    problem = label_key_problem(text) if kind == "key" else label_value_problem(text)
    if problem:
        raise SelectorError(f'Invalid value: "{text}": {problem}', path)
