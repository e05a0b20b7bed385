"""Read a chapter's `steps.yaml` into `Chapter`; an author's mistake is reported with file, line, and what to write instead."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from labkit.course.steps import (
    Chapter,
    Demand,
    Expectation,
    FlowPattern,
    Imagined,
    Kind,
    Step,
    WrongAnswer,
)
from labkit.policy import yamlseam


class AuthorError(Exception):
    """A chapter cannot be used because its author made a mistake; the message names file, line and remedy."""


def load_chapter(folder: Path) -> Chapter:
    """The chapter whose `steps.yaml` lies in `folder`.

    Raises `AuthorError` where the file is missing, is not YAML, does not fit `schema.json`, or contradicts itself.
    """
    path = folder / "steps.yaml"
    try:
        documents = yamlseam.load(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise AuthorError(f"{path}: cannot be read: {error.strerror}") from None
    except yamlseam.YamlError as error:
        raise AuthorError(f"{path}: {error}") from None
    if len(documents) != 1:
        raise AuthorError(f"{path}: one YAML document is expected, {len(documents)} were found")
    data, source = documents[0].object, documents[0].source
    for at, message in [*_schema_errors(data), *_contradictions(data)]:
        line = source.line(at) or _nearest_line(source, at)
        raise AuthorError(f"{path}:{line}: {at or 'the document'}: {message}")
    return _chapter(data, folder)


def _nearest_line(source: Any, at: str) -> int:
    while at:
        at = at[: max(at.rfind("."), at.rfind("["), 0)]
        if at and (line := source.line(at)):
            return int(line)
    return 1


def _schema_errors(data: Any) -> list[tuple[str, str]]:
    try:
        import jsonschema  # where it is missing (a browser), the package's own tests have checked the file already
    except ImportError:
        return []
    schema = json.loads(resources.files("labkit.course").joinpath("schema.json").read_text(encoding="utf-8"))
    errors = jsonschema.Draft202012Validator(schema).iter_errors(data)
    return [
        (_dotted(error.absolute_path), error.message)
        for error in sorted(errors, key=lambda e: list(map(str, e.absolute_path)))
    ]


def _dotted(path: Sequence[Any]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def _contradictions(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a schema cannot say: unique ids, and each kind of step has what it needs."""
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for index, step in enumerate(data.get("steps", ())):
        at = f"steps[{index}]"
        if step["id"] in seen:
            found.append(
                (f"{at}.id", f"a step named {step['id']!r} exists already; ids are unique in a chapter")
            )
        seen.add(step["id"])
        needs = {
            "predict": ("predict",),
            "answer": ("expect",),
            "apply": ("allow", "deny", "otherwise", "objects", "imagine"),
        }
        if not any(step.get(key) for key in needs[step["kind"]]):
            found.append(
                (at, f"a step of kind {step['kind']!r} needs one of: {', '.join(needs[step['kind']])}")
            )
        worlds = {imagined.get("id", imagined["title"]) for imagined in step.get("imagine", ())}
        for number, wrong in enumerate(step.get("wrong", ())):
            if wrong.get("world") and wrong["world"] not in worlds:
                found.append(
                    (
                        f"{at}.wrong[{number}].world",
                        f"no imagined world has the id or title {wrong['world']!r}",
                    )
                )
            if not any(key in wrong for key in ("opens", "closes", "answer", "expect", "cells")):
                found.append(
                    (
                        f"{at}.wrong[{number}]",
                        "a wrong answer is recognised by one of: opens, closes, answer, expect, cells",
                    )
                )
    return found


def _chapter(data: Mapping[str, Any], folder: Path) -> Chapter:
    ports = tuple(_port(port) for port in data["ports"])
    return Chapter(
        id=data["chapter"],
        title=data["title"],
        minutes=data["minutes"],
        folder=folder,
        demo=tuple(data.get("demo", ())),
        requires=tuple(data.get("requires", ())),
        namespaces=tuple(data["namespaces"]),
        ports=ports,
        steps=tuple(_step(step, ports) for step in data["steps"]),
    )


def _step(data: Mapping[str, Any], ports: tuple[tuple[int, str], ...]) -> Step:
    demand = _demand(data, ports)
    return Step(
        id=data["id"],
        title=data["title"],
        kind=Kind(data["kind"]),
        task=_prose(data["task"]),
        points=data["points"],
        hints=tuple(hint.strip() for hint in data["hints"]),
        start=tuple(data.get("start", ())),
        demand=demand,
        imagine=tuple(_imagined(item, ports, demand) for item in data.get("imagine", ())),
        objects=tuple(data.get("objects", ())),
        predict=_patterns(data.get("predict", ()), ports),
        expect=_expectation(data.get("expect")),
        choices=dict(data.get("choices", {})),
        wrong=tuple(_wrong(item, ports) for item in data.get("wrong", ())),
        praise=_prose(data.get("praise", "")),
    )


def _demand(data: Mapping[str, Any], ports: tuple[tuple[int, str], ...]) -> Demand:
    return Demand(
        allow=_patterns(data.get("allow", ()), ports),
        deny=_patterns(data.get("deny", ()), ports),
        otherwise=data.get("otherwise", ""),
        protect=_names(data.get("protect", ())),
        guard=_names(data.get("guard", ())),
    )


def _imagined(data: Mapping[str, Any], ports: tuple[tuple[int, str], ...], outer: Demand) -> Imagined:
    """An imagined world says what is new in it; the step's own demand goes on holding."""
    own = _demand(data, ports)
    demand = Demand(
        allow=outer.allow + own.allow,
        deny=outer.deny + own.deny,
        otherwise=own.otherwise or outer.otherwise,
        protect=own.protect or outer.protect,
        guard=own.guard or outer.guard,
    )
    return Imagined(data.get("id", data["title"]), data["title"], tuple(data["add"]), demand)


def _wrong(data: Mapping[str, Any], ports: tuple[tuple[int, str], ...]) -> WrongAnswer:
    return WrongAnswer(
        id=data["id"],
        says=_prose(data["says"]),
        opens=_patterns(data.get("opens", ()), ports),
        closes=_patterns(data.get("closes", ()), ports),
        world=data.get("world", ""),
        some=data.get("some", False),
        answer=_names(data["answer"]) if "answer" in data else None,
        expect=_expectation(data.get("expect")),
        cells=tuple((_pattern(cell, ports), cell["said"]) for cell in data.get("cells", ())),
    )


def _expectation(data: Mapping[str, Any] | None) -> Expectation | None:
    if data is None:
        return None
    return Expectation(data["what"], {key: value for key, value in data.items() if key != "what"})


def _patterns(
    items: Sequence[Mapping[str, Any]], ports: tuple[tuple[int, str], ...]
) -> tuple[FlowPattern, ...]:
    return tuple(_pattern(item, ports) for item in items)


def _pattern(item: Mapping[str, Any], ports: tuple[tuple[int, str], ...]) -> FlowPattern:
    named = [item["port"]] if "port" in item else item.get("ports", ())
    return FlowPattern(
        _names(item["from"]), _names(item["to"]), tuple(_port(port) for port in named) or ports
    )


def _prose(text: str) -> str:
    """A text whose lines were broken for the author's screen, as paragraphs without line breaks."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value)


def _port(value: int | str) -> tuple[int, str]:
    number, _, protocol = str(value).partition("/")
    return int(number), protocol or "TCP"
