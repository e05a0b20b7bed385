"""The words that an expression of `cel` is made of."""

from __future__ import annotations

import re


class CelMistake(Exception):  # noqa: N818 - the author's, of a rule
    """A rule that cannot be read, or uses what is not there."""


_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>\d+\.\d+(?:[eE][+-]?\d+)?|0x[0-9a-fA-F]+|\d+)u?
  | (?P<raw>[rR](?:"[^"]*"|'[^']*'))
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<name>[A-Za-z_]\w*)
  | (?P<sign>\|\||&&|==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a"}
# How a field's name is written where CEL allows only letters (k8s.io/apiserver/pkg/cel: Escape).
_NAMES = (("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/"))


def tokens(text: str) -> list[tuple[str, str]]:
    """The words of a text, each with its kind. Raises CelMistake."""
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise CelMistake(f"Syntax error: token recognition error at: '{text[at : at + 1]}'")
        kind = match.lastgroup or ""
        found.append((kind, match[kind]))
        at = match.end()
    return found


def unescaped(name: str) -> str:
    """The name of a field as the schema has it."""
    if re.fullmatch(r"__(true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package"
                    r"|namespace|return)__", name):  # fmt: skip
        return name[2:-2]
    for escaped, plain in _NAMES:
        name = name.replace(escaped, plain)
    return name


def string(text: str) -> str:
    """The text between the quotation marks of a literal."""
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1], flags=re.DOTALL)
