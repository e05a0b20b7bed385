"""YAML as the API server's decoder reads it: into JSON with sorted keys, with go-yaml's words for what it cannot read.

Follows sigs.k8s.io/yaml and its go-yaml (readerc, scannerc, parserc, decode).
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NotYaml(ValueError):  # noqa: N818 - it is what it says
    """A text that is no YAML, or YAML that has no JSON; the message is go-yaml's."""


class _Loader(_BASE):  # type: ignore[misc]
    """Dates stay texts, as they do in Go when nobody asks for a time."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class's way to hold them
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _BASE.yaml_implicit_resolvers.items()
    }

    bool_values = {**_BASE.bool_values, "y": True, "n": False}  # noqa: RUF012 - as above


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^[yYnN]$"), list("yYnN"))


def read(text: bytes) -> tuple[Any, list[str]]:
    """The value, and what a strict reader would say about it: keys that stand twice. Raises NotYaml, ValueError (JSON)."""
    if text[:1] in (b"{", b"["):
        return json.loads(text), []
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, []
        repeated = _repeated(node)
        return _as_json(loader.construct_document(node)), repeated
    except yaml.MarkedYAMLError as error:
        raise NotYaml(_words(error)) from None
    except yaml.YAMLError as error:
        raise NotYaml(f"yaml: {error}") from None
    finally:
        loader.dispose()


def _words(error: yaml.MarkedYAMLError) -> str:
    # Lines count from 0 in both; Go adds one to the scanner's, and does not tell of line 0.
    line = error.problem_mark.line if error.problem_mark else 0
    if line and isinstance(error, yaml.scanner.ScannerError):
        line += 1
    where = f"line {line}: " if line else ""
    return f"yaml: {where}{error.problem}"


def _repeated(node: yaml.Node) -> list[str]:
    lines = [f'  line {line}: key "{key}" already set in map' for line, key in _repetitions(node)]
    return ["yaml: unmarshal errors:\n" + "\n".join(lines)] if lines else []


def _repetitions(node: yaml.Node) -> list[tuple[int, str]]:
    if isinstance(node, yaml.SequenceNode):
        return [found for item in node.value for found in _repetitions(item)]
    if not isinstance(node, yaml.MappingNode):
        return []
    found: list[tuple[int, str]] = []
    seen: set[str] = set()
    for key, value in node.value:
        name = str(key.value)
        found += _repetitions(value)
        if name in seen:
            found.append((value.start_mark.line + 1, name))  # Go names the line of the value
        seen.add(name)
    return found


def _as_json(value: Any) -> Any:
    """Keys become texts, in order. Raises NotYaml."""
    if isinstance(value, dict):
        items = [(_key(key, item), _as_json(item)) for key, item in value.items()]
        return dict(sorted(items, key=lambda pair: pair[0]))
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value


def _key(key: Any, value: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    shown = "<nil>" if key is None else str(key)
    kind = "%!s(<nil>)" if key is None else type(key).__name__
    raise NotYaml(f"unsupported map key of type: {kind}, key: {shown}, value: {value}")
