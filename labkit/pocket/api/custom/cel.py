"""The Common Expression Language, as far as the validation rules of CustomResourceDefinitions use it.

Our own, since the libraries bring a native module of 6 MB and a command line with four more packages, for expressions
of one line. `compile_rule` makes a function of a text; what the language has and this has not is a CelMistake, and
what goes wrong in evaluation a CelError. Functions and macros are in `celfunctions`.
Upstream: github.com/google/cel-spec, k8s.io/apiserver/pkg/cel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from labkit.pocket.api.custom.celfunctions import (
    FUNCTIONS,
    METHODS,
    CelError,
    add,
    compare,
    contains,
    divide,
    equal,
    items_of,
    number,
)
from labkit.pocket.api.custom.celtokens import CelMistake, string, tokens, unescaped

Env = Mapping[str, Any]
Evaluate = Callable[[Env], Any]


_WORDS = {"true": True, "false": False, "null": None}
_MACROS = ("all", "exists", "exists_one", "map", "filter")


@lru_cache(maxsize=5000)
def compile_rule(text: str) -> Evaluate:
    """A rule as a function of its variables (self, oldSelf). Raises CelMistake."""
    parser = _Parser(tokens(text))
    evaluate = parser.expression()
    if parser.kind:
        raise CelMistake(f"Syntax error: extraneous input '{parser.text}'")
    return evaluate


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    @property
    def text(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else "<EOF>"

    def _take(self, *texts: str) -> str:
        if self.kind in ("sign", "name") and self.text in texts:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return ""

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise CelMistake(f"Syntax error: mismatched input '{self.text}' expecting '{text}'")

    def expression(self) -> Evaluate:
        condition = self._either()
        if not self._take("?"):
            return condition
        then = self._either()
        self._need(":")
        other = self.expression()
        return lambda env: then(env) if _truth(condition(env)) else other(env)

    def _either(self) -> Evaluate:
        left = self._both()
        while self._take("||"):
            left = _logical(left, self._both(), decisive=True)
        return left

    def _both(self) -> Evaluate:
        left = self._relation()
        while self._take("&&"):
            left = _logical(left, self._relation(), decisive=False)
        return left

    def _relation(self) -> Evaluate:
        left = self._sum()
        while sign := self._take("<", "<=", ">", ">=", "==", "!=", "in"):
            left = _binary(_RELATIONS[sign], left, self._sum())
        return left

    def _sum(self) -> Evaluate:
        left = self._product()
        while sign := self._take("+", "-"):
            left = _binary(_ARITHMETIC[sign], left, self._product())
        return left

    def _product(self) -> Evaluate:
        left = self._unary()
        while sign := self._take("*", "/", "%"):
            left = _binary(_ARITHMETIC[sign], left, self._unary())
        return left

    def _unary(self) -> Evaluate:
        if self._take("!"):
            inner = self._unary()
            return lambda env: not _truth(inner(env))
        if self._take("-"):
            inner = self._unary()
            return lambda env: -number(inner(env))
        return self._member()

    def _member(self) -> Evaluate:
        value = self._primary()
        while True:
            if self._take("."):
                value = self._selected(value)
            elif self._take("["):
                value = _binary(_index, value, self.expression())
                self._need("]")
            else:
                return value

    def _selected(self, value: Evaluate) -> Evaluate:
        if self.kind != "name":
            raise CelMistake(f"Syntax error: mismatched input '{self.text}' expecting IDENTIFIER")
        name = self.text
        self._at += 1
        if not self._take("("):
            return _field(value, unescaped(name))
        if name in _MACROS:
            return self._macro(value, name)
        arguments = self._arguments()
        method = METHODS.get(name)
        if method is None:
            raise CelMistake(f"undeclared reference to '{name}'")
        return lambda env: method(value(env), *(argument(env) for argument in arguments))

    def _macro(self, value: Evaluate, name: str) -> Evaluate:
        if self.kind != "name":
            raise CelMistake("argument is not an identifier")
        variable = self.text
        self._at += 1
        bodies = []
        while self._take(","):
            bodies.append(self.expression())
        self._need(")")
        if len(bodies) not in ((1, 2) if name == "map" else (1,)):
            raise CelMistake(f"wrong number of arguments to '{name}'")
        return _comprehension(value, name, variable, bodies)

    def _arguments(self) -> list[Evaluate]:
        found: list[Evaluate] = []
        while not self._take(")"):
            found.append(self.expression())
            if not self._take(","):
                self._need(")")
                break
        return found

    def _primary(self) -> Evaluate:
        kind, text = self.kind, self.text
        if self._take("("):
            inner = self.expression()
            self._need(")")
            return inner
        if self._take("["):
            items = self._until("]")
            return lambda env: [item(env) for item in items]
        if self._take("{"):
            return self._map()
        self._at += 1
        if kind == "number":
            constant: Any = float(text) if "." in text else int(text, 0)
            return lambda _env: constant
        if kind in ("string", "raw"):
            plain = text[2:-1] if kind == "raw" else string(text)
            return lambda _env: plain
        if kind != "name":
            raise CelMistake(f"Syntax error: mismatched input '{text}'")
        if text in _WORDS:
            word = _WORDS[text]
            return lambda _env: word
        if self._take("("):
            return self._call(text)
        return _variable(text)

    def _until(self, end: str) -> list[Evaluate]:
        found: list[Evaluate] = []
        while not self._take(end):
            found.append(self.expression())
            if not self._take(","):
                self._need(end)
                break
        return found

    def _map(self) -> Evaluate:
        pairs: list[tuple[Evaluate, Evaluate]] = []
        while not self._take("}"):
            key = self.expression()
            self._need(":")
            pairs.append((key, self.expression()))
            if not self._take(","):
                self._need("}")
                break
        return lambda env: {key(env): value(env) for key, value in pairs}

    def _call(self, name: str) -> Evaluate:
        if name == "has":
            inner = self.expression()
            self._need(")")
            present = getattr(inner, "present", None)
            if present is None:
                raise CelMistake("invalid argument to has() macro")
            checked: Evaluate = present
            return checked
        arguments = self._arguments()
        function = FUNCTIONS.get(name)
        if function is None:
            raise CelMistake(f"undeclared reference to '{name}'")
        return lambda env: function(*(argument(env) for argument in arguments))


class _Select:
    """`value.name`; `present` is what has() makes of it."""

    def __init__(self, value: Evaluate, name: str) -> None:
        self._value, self._name = value, name

    def __call__(self, env: Env) -> Any:
        value = self._value(env)
        if not isinstance(value, dict):
            raise CelError(f"no such overload: .{self._name}")
        if self._name not in value:
            raise CelError(f"no such key: {self._name}")
        return value[self._name]

    def present(self, env: Env) -> bool:
        value = self._value(env)
        return isinstance(value, dict) and self._name in value


def _field(value: Evaluate, name: str) -> Evaluate:
    return _Select(value, name)


def _variable(name: str) -> Evaluate:
    def evaluate(env: Env) -> Any:
        if name not in env:
            raise CelError(f"undeclared reference to '{name}'")
        return env[name]

    return evaluate


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise CelError("no such overload")
    return value


def _logical(left: Evaluate, right: Evaluate, *, decisive: bool) -> Evaluate:
    """`||` and `&&`: a side that decides makes up for a mistake of the other."""

    def evaluate(env: Env) -> bool:
        try:
            if _truth(left(env)) is decisive:
                return decisive
        except CelError:
            if _truth(right(env)) is decisive:
                return decisive
            raise
        return _truth(right(env))

    return evaluate


def _binary(operate: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda env: operate(left(env), right(env))


def _index(value: Any, key: Any) -> Any:
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):
        raise CelError(f"no such key: {key}") from None


_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda a, b: compare(a, b) < 0,
    "<=": lambda a, b: compare(a, b) <= 0,
    ">": lambda a, b: compare(a, b) > 0,
    ">=": lambda a, b: compare(a, b) >= 0,
    "==": equal,
    "!=": lambda a, b: not equal(a, b),
    "in": lambda a, b: contains(b, a),
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": add,
    "-": lambda a, b: number(a) - number(b),
    "*": lambda a, b: number(a) * number(b),
    "/": divide,
    "%": lambda a, b: divide(a, b, rest=True),
}


def _comprehension(value: Evaluate, name: str, variable: str, bodies: list[Evaluate]) -> Evaluate:
    body = bodies[-1]

    def verdicts(env: Env, test: Evaluate) -> list[tuple[Any, Env, bool]]:
        inner = [(item, {**env, variable: item}) for item in items_of(value(env))]
        return [(item, scope, _truth(test(scope))) for item, scope in inner]

    def evaluate(env: Env) -> Any:
        if name == "map":
            test: Evaluate = bodies[0] if len(bodies) == 2 else lambda _scope: True
            return [body(scope) for _, scope, kept in verdicts(env, test) if kept]
        found = verdicts(env, body)
        if name == "filter":
            return [item for item, _, kept in found if kept]
        right = sum(1 for _, _, kept in found if kept)
        return {"all": right == len(found), "exists": right > 0, "exists_one": right == 1}[name]

    return evaluate
