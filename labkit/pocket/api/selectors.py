"""Which objects a list, a watch or a collection's deletion is about: label and field selectors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.pocket.api.errors import bad_request
from labkit.pocket.api.kinds import rules_for
from labkit.pocket.api.registry import Resource
from labkit.policy.labels import Selector, SelectorError

Obj = dict[str, Any]

_TERM = re.compile(r"^(.*?)(!=|==|=)(.*)$", re.DOTALL)


@dataclass(frozen=True)
class FieldRequirement:
    """One term of a field selector."""

    field: str
    equal: bool
    value: str


@dataclass(frozen=True)
class Selection:
    """A label selector and a field selector, ready to match objects of one resource."""

    resource: Resource
    labels: Selector | None
    fields: tuple[FieldRequirement, ...]

    @classmethod
    def parse(cls, resource: Resource, label_selector: str = "", field_selector: str = "") -> Selection:
        """Read the two query parameters. Raises ApiError (400)."""

        labels = None
        if label_selector:
            try:
                labels = Selector.parse(label_selector)
            except SelectorError as error:
                raise bad_request(error.message) from None
        fields = []
        known = set(_selectable(resource, {"metadata": {}}))
        for term in _split(field_selector):
            match = _TERM.match(term)
            if match is None:
                raise bad_request(f"invalid selector: '{field_selector}'; can't understand '{term}'")
            requirement = FieldRequirement(match[1], match[2] != "!=", _unescape(match[3]))
            if requirement.field not in known:
                raise bad_request(_unsupported(resource, requirement.field))
            fields.append(requirement)
        return cls(resource, labels, tuple(fields))

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.fields and (self.labels is None or self.labels.is_empty)

    def matches(self, obj: Obj) -> bool:
        """Whether an object is meant."""
        if self.labels is not None and not self.labels.matches(obj["metadata"].get("labels") or {}):
            return False
        if self.fields:
            values = _selectable(self.resource, obj)
            return all((values.get(f.field, "") == f.value) == f.equal for f in self.fields)
        return True

    def name(self) -> str | None:
        """The one name that the field selector asks for, if it does."""
        return next((f.value for f in self.fields if f.field == "metadata.name" and f.equal), None)


def _selectable(resource: Resource, obj: Obj) -> Mapping[str, str]:
    metadata = obj["metadata"]
    values = {"metadata.name": metadata.get("name", "")}
    if resource.namespaced:
        values["metadata.namespace"] = metadata.get("namespace", "")
    values.update(rules_for(resource).fields(obj))
    return values


def _unsupported(resource: Resource, field: str) -> str:
    if resource.custom is not None or rules_for(resource).fields({"metadata": {}}):
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def _split(selector: str) -> list[str]:
    """Terms between commas that are not escaped."""
    return [term for term in re.split(r"(?<!\\),", selector) if term]


def _unescape(value: str) -> str:
    return re.sub(r"\\([\\,=])", r"\1", value)
