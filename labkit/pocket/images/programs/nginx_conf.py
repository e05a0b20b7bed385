"""nginx configuration text, read into servers and locations: the few directives that the stand-in obeys."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|([{};])|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|((?:\$\{|[^\s{};"'])+(?:\})?)"""
)


class ConfError(ValueError):
    """The configuration cannot be read; the text is what `nginx -t` would say after [emerg]."""


@dataclass(slots=True)
class Directive:
    """`name args;` or `name args { block }`."""

    name: str
    args: list[str]
    block: list[Directive] = field(default_factory=list)

    def all(self, name: str) -> list[Directive]:
        return [item for item in self.block if item.name == name]

    def first(self, name: str) -> list[str]:
        """The arguments of the first such directive, or []."""
        return next((item.args for item in self.block if item.name == name), [])


def parse(text: str, path: str) -> Directive:
    """The file's directives, under a nameless root. Raises ConfError."""
    tokens = _tokens(text, path)
    return Directive("", [], _block(tokens, path, 1, top=True))


def _tokens(text: str, path: str) -> Iterator[tuple[str, int, bool]]:
    """(token, line, quoted)."""
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        line = text.count("\n", 0, at) + 1
        if match is None or match.end() == at:
            raise ConfError(f'unexpected "{text[at]}" in {path}:{line}')
        at = match.end()
        for index in (1, 2, 3, 4):
            if match[index] is not None:
                yield (
                    re.sub(r"\\([\"'n])", lambda m: "\n" if m[1] == "n" else m[1], match[index]),
                    line,
                    index in (2, 3),
                )


def _block(tokens: Iterator[tuple[str, int, bool]], path: str, line: int, *, top: bool) -> list[Directive]:
    items: list[Directive] = []
    words: list[str] = []
    for token, line, quoted in tokens:
        if quoted or token not in ("{", "}", ";"):
            words.append(token)
        elif token == "}":
            if top or words:
                raise ConfError(f'unexpected "}}" in {path}:{line}')
            return items
        elif not words:
            raise ConfError(f'unexpected "{token}" in {path}:{line}')
        elif token == ";":
            if words[0] == "include":
                items += _include(words[1], path)
            else:
                items.append(Directive(words[0], words[1:]))
            words = []
        else:
            items.append(Directive(words[0], words[1:], _block(tokens, path, line, top=False)))
            words = []
    if words or not top:
        raise ConfError(f'unexpected end of file, expecting "{";" if words else "}"}" in {path}:{line}')
    return items


def _include(pattern: str, path: str) -> list[Directive]:
    where = pattern if pattern.startswith("/") else f"{Path(path).parent}/{pattern}"
    found = sorted(glob.glob(where))  # noqa: PTH207 - the pattern is absolute, which Path.glob refuses
    if not found and not glob.has_magic(where):
        raise ConfError(f'open() "{where}" failed (2: No such file or directory) in {path}')
    return [item for name in found for item in parse(Path(name).read_text(), name).block]
