"""Command lines as Go's pflag reads them (`--port 80`, `--port=80`, `--tcp`, `--tcp=false`, `-t 1`), and Go's durations."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .console import err

Value = bool | int | float | str

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]*\.?[0-9]+|[0-9]+\.)(ns|us|µs|ms|s|m|h)")


class Duration(float):
    """Seconds; the type of a default says how its flag is read."""


def parse_duration(text: str) -> Duration:
    """Seconds of a Go duration such as "1s", "500ms", "1m30s". Raises ValueError in Go's words."""
    if text in ("0", "+0", "-0"):
        return Duration(0)
    body = text.lstrip("+-")
    end, total = 0, 0.0
    for match in _DURATION.finditer(body):
        if match.start() != end:
            break
        total += float(match[1]) * _UNITS[match[2]]
        end = match.end()
    if not body or end != len(body):
        if re.fullmatch(r"[0-9.]+", body):
            raise ValueError(f'time: missing unit in duration "{text}"')
        raise ValueError(f'time: invalid duration "{text}"')
    return Duration(-total if text.startswith("-") else total)


def _convert(name: str, default: Value, text: str) -> Value:
    try:
        if isinstance(default, bool):
            if text.lower() in ("1", "t", "true"):
                return True
            if text.lower() in ("0", "f", "false"):
                return False
            raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
        if isinstance(default, Duration):
            return parse_duration(text)
        if isinstance(default, int):
            return int(text, 0)
    except ValueError as problem:
        kind = "strconv.ParseInt: " if isinstance(default, int) and not isinstance(default, bool) else ""
        detail = f'{kind}parsing "{text}": invalid syntax' if kind else str(problem)
        raise _Bad(f'invalid argument "{text}" for "--{name}" flag: {detail}') from None
    return text


class _Bad(Exception):  # noqa: N818
    """A flag that is wrong; the text is pflag's."""


def parse(
    argv: list[str], flags: Mapping[str, Value], *, command: str, shorthands: Mapping[str, str] | None = None
) -> tuple[dict[str, Value], list[str]]:
    """Flags (every one, with its default) and positional arguments of argv (without argv[0]).

    A wrong flag ends the program with status 1 and cobra's message.
    """
    values, rest = dict(flags), list[str]()
    words = list(argv)
    try:
        while words:
            word = words.pop(0)
            if word == "--":
                rest += words
                break
            if word in ("-h", "--help"):
                err(usage(command, flags), end="")
                raise SystemExit(0)
            if word.startswith("--"):
                name, equals, text = word[2:].partition("=")
                if name not in flags:
                    raise _Bad(f"unknown flag: --{name}")
            elif word.startswith("-") and len(word) > 1:
                name = (shorthands or {}).get(word[1], "")
                if not name:
                    raise _Bad(f"unknown shorthand flag: '{word[1]}' in {word}")
                text, equals = word[2:].removeprefix("="), word[2:]
            else:
                rest.append(word)
                continue
            if not equals:
                if isinstance(flags[name], bool):
                    values[name] = True
                    continue
                if not words:
                    raise _Bad(f"flag needs an argument: --{name}")
                text = words.pop(0)
            values[name] = _convert(name, flags[name], text)
    except _Bad as problem:
        err(f"Error: {problem}")
        raise SystemExit(1) from None
    return values, rest


def usage(command: str, flags: Mapping[str, Value]) -> str:
    """The usage text that cobra prints after an error."""
    kinds = {bool: "", int: " int", str: " string", Duration: " duration"}
    lines = [f"Usage:\n  {command} [flags]\n\nFlags:\n"]
    lines += [f"      --{name}{kinds.get(type(value), '')}\n" for name, value in flags.items()]
    return "".join(lines) + "\n"
