"""YAML in, plain objects and line numbers out: the one place where `policy` touches PyYAML.

Where PyYAML is not importable (a browser), JSON text is read instead, without line numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

# A document is written by a learner, or by whoever hands in a solution: an alias that doubles thirty times
# must not fill the memory.
_MAX_REPEATED = 50_000


class YamlError(ValueError):
    """Text that is not YAML, or not a Kubernetes object. `line` and `column` count from 1, or are None."""

    def __init__(
        self, message: str, line: int | None = None, column: int | None = None, name: str = "<yaml>"
    ) -> None:
        where = name if line is None else f"{name}, line {line}"
        super().__init__(f"{where}: {message}")
        self.message = message
        self.line = line
        self.column = column
        self.name = name


@dataclass(frozen=True)
class SourceWarning:
    """Something legal that a reader should know, such as a key written twice."""

    message: str
    path: str
    line: int | None


@dataclass(frozen=True)
class SourceMap:
    """Where each field of one object stands in its text.

    Paths are written as the API server writes them: "spec.ingress[0].from[1].podSelector". A key that holds
    a dot is put in brackets: "metadata.labels[app.kubernetes.io/name]".
    """

    name: str
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    text: str = field(default="", repr=False)
    warnings: tuple[SourceWarning, ...] = ()

    def line(self, path: str) -> int | None:
        """The line (from 1) on which the field's key, or the list item, begins; None when the text has no
        such field.
        """
        span = self.spans.get(path)
        return span[0] if span else None

    def span(self, path: str) -> tuple[int, int] | None:
        """First and last line of the field, for marking it in an editor."""
        return self.spans.get(path)

    def nearest(self, path: str) -> int | None:
        """Like `line`, but for a field that is not written: the line of the closest field around it."""
        while path not in self.spans and path:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.line(path)

    def quote(self, line: int) -> str:
        """The text of a line, without its indentation."""
        lines = self.text.splitlines()
        return lines[line - 1].strip() if 0 < line <= len(lines) else ""


@dataclass(frozen=True)
class SourcedObject:
    """One Kubernetes object as a plain dict, with the place of each of its fields."""

    object: dict[str, Any]
    source: SourceMap

    @property
    def warnings(self) -> tuple[SourceWarning, ...]:
        """What is legal in this object's text and yet worth a word."""
        return self.source.warnings


def child_path(path: str, key: str) -> str:
    """The path of field `key` beneath `path`."""
    if "." in key or "[" in key:
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def load(text: str, name: str = "<yaml>") -> list[SourcedObject]:
    """Read every Kubernetes object of a YAML text; empty documents are skipped and a `List` gives its items.

    Raises YamlError when the text is not YAML or a document is not an object.
    """
    try:
        import yaml
    except ImportError:
        return _load_json(text, name)
    objects: list[SourcedObject] = []
    try:
        for root in yaml.compose_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            reader = _Reader(yaml, name, text)
            data = reader.read(root, "")
            if data is None:
                continue
            if not isinstance(data, dict):
                kind = "a list" if isinstance(data, list) else "a single value"
                raise YamlError(
                    f"expected a Kubernetes object (fields such as apiVersion, kind, metadata), found {kind}",
                    root.start_mark.line + 1,
                    root.start_mark.column + 1,
                    name,
                )
            objects.extend(_expand(SourcedObject(data, reader.source())))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is None:
            raise YamlError(_yaml_message(error, ""), name=name) from None
        lines = text.splitlines()
        line = lines[mark.line] if mark.line < len(lines) else ""
        raise YamlError(_yaml_message(error, line), mark.line + 1, mark.column + 1, name) from None
    except yaml.YAMLError as error:
        raise YamlError(str(error).splitlines()[0], name=name) from None
    except RecursionError:
        raise YamlError("nested too deeply", name=name) from None
    return objects


def load_plain(text: str, name: str = "<yaml>") -> list[dict[str, Any]]:
    """The objects of `load` without their places."""
    return [item.object for item in load(text, name)]


def _yaml_message(error: yaml.MarkedYAMLError, line: str) -> str:
    problem = error.problem or error.context or "not valid YAML"
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return f"{problem} (YAML indents with spaces; this line has a tab)"
    if "mapping values are not allowed" in problem:
        return f"{problem} (is the indentation right, and is there one colon too many?)"
    if error.context and error.context != problem:
        return f"{error.context}: {problem}"
    return problem


class _Reader:
    """Turns one composed document into plain data, as the JSON that kubectl would send."""

    def __init__(self, module: Any, name: str, text: str) -> None:
        self._yaml = module
        self._constructor = module.constructor.SafeConstructor()
        self._name = name
        self._text = text
        self._spans: dict[str, tuple[int, int]] = {}
        self._open: set[int] = set()
        self._seen: set[int] = set()
        self._repeated = 0
        self.warnings: list[SourceWarning] = []

    def source(self) -> SourceMap:
        return SourceMap(self._name, self._spans, self._text, tuple(self.warnings))

    def read(self, node: Any, path: str) -> Any:
        if id(node) in self._seen:
            self._repeated += 1
        self._seen.add(id(node))
        if self._repeated > _MAX_REPEATED:
            raise self._error("too large (aliases expand to too many values)", node)
        if isinstance(node, self._yaml.ScalarNode):
            self._note(path, node.start_mark.line + 1, _last_line(node))
            return self._scalar(node)
        if id(node) in self._open:
            raise self._error("an alias refers to itself", node)
        self._open.add(id(node))
        try:
            if isinstance(node, self._yaml.SequenceNode):
                return self._sequence(node, path)
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _note(self, path: str, first: int, last: int) -> None:
        self._spans[path] = (first, max(first, last))

    def _sequence(self, node: Any, path: str) -> list[Any]:
        items = []
        last = node.start_mark.line + 1
        for i, item in enumerate(node.value):
            inner = f"{path}[{i}]"
            items.append(self.read(item, inner))
            last = max(last, self._spans[inner][1])
        self._note(path, node.start_mark.line + 1, _last_line(node) if node.flow_style else last)
        return items

    def _mapping(self, node: Any, path: str) -> dict[str, Any]:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            key = self._key(key_node)
            if key in seen and key_node.tag != "tag:yaml.org,2002:merge":
                line = key_node.start_mark.line + 1
                message = f'key "{key}" is written twice (lines {seen[key]} and {line}); the last one wins'
                self.warnings.append(SourceWarning(message, child_path(path, key), line))
            seen[key] = key_node.start_mark.line + 1
        if any(key_node.tag == "tag:yaml.org,2002:merge" for key_node, _ in node.value):
            self._constructor.flatten_mapping(node)
        result: dict[str, Any] = {}
        last = node.start_mark.line + 1
        for key_node, value_node in node.value:
            key = self._key(key_node)
            inner = child_path(path, key)
            result[key] = self.read(value_node, inner)
            # A reader looks for the key, which stands on the line above a nested value.
            first, end = key_node.start_mark.line + 1, self._spans[inner][1]
            self._note(inner, first, end)
            last = max(last, end)
        self._note(path, node.start_mark.line + 1, _last_line(node) if node.flow_style else last)
        return result

    def _key(self, node: Any) -> str:
        if not isinstance(node, self._yaml.ScalarNode):
            raise self._error("a key must be a plain word", node)
        value = self._scalar(node)
        # What sigs.k8s.io/yaml makes of a key that is not a string when it turns YAML into JSON.
        if isinstance(value, bool):
            return "true" if value else "false"
        return "null" if value is None else str(value)

    def _scalar(self, node: Any) -> Any:
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        # JSON has no dates, and only YAML 1.1 as PyYAML reads it takes 10:30 for a number: kubectl sends
        # both as text.
        if tag in ("timestamp", "str", "merge", "value") or (tag in ("int", "float") and ":" in node.value):
            return node.value
        if tag not in ("int", "float", "bool", "null", "binary"):
            raise self._error(f"unknown tag {node.tag!r}", node)
        try:
            value = self._constructor.construct_object(node)
        except ValueError:
            return node.value
        return node.value if isinstance(value, bytes) else value

    def _error(self, message: str, node: Any) -> YamlError:
        return YamlError(message, node.start_mark.line + 1, node.start_mark.column + 1, self._name)


def _last_line(node: Any) -> int:
    mark = node.end_mark
    # The end of a block scalar is the beginning of the next line.
    return int(mark.line if mark.column == 0 and mark.line > node.start_mark.line else mark.line + 1)


def _expand(item: SourcedObject) -> Iterator[SourcedObject]:
    kind, items = item.object.get("kind"), item.object.get("items")
    if not isinstance(items, list) or not isinstance(kind, str) or not kind.endswith("List"):
        yield item
        return
    for i, inner in enumerate(items):
        prefix = f"items[{i}]"
        if not isinstance(inner, dict):
            raise YamlError(
                f"{prefix} is not a Kubernetes object", item.source.line(prefix), None, item.source.name
            )
        spans = {
            path[len(prefix) :].lstrip("."): span
            for path, span in item.source.spans.items()
            if path == prefix or path.startswith((prefix + ".", prefix + "["))
        }
        warnings = tuple(
            SourceWarning(w.message, w.path[len(prefix) :].lstrip("."), w.line)
            for w in item.warnings
            if w.path.startswith((prefix + ".", prefix + "["))
        )
        yield from _expand(
            SourcedObject(inner, SourceMap(item.source.name, spans, item.source.text, warnings))
        )


def _load_json(text: str, name: str) -> list[SourcedObject]:
    warnings: list[SourceWarning] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in items:
            if key in result:
                message = f'key "{key}" is written twice; the last one wins, the other one is lost'
                warnings.append(SourceWarning(message, key, None))
            result[key] = value
        return result

    if not text.strip():
        return []
    try:
        data = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise YamlError(
            f"{error.msg} (PyYAML is not installed, so only JSON can be read)",
            error.lineno,
            error.colno,
            name,
        ) from None
    if not isinstance(data, dict):
        raise YamlError("expected a Kubernetes object", 1, 1, name)
    return list(_expand(SourcedObject(data, SourceMap(name, {}, text, tuple(warnings)))))
