"""Everything that a version's schema does with objects: pruning, filling in, finding what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labkit.pocket.api.custom import celrules, conforming
from labkit.pocket.api.custom.structural import compile_schema, node_of
from labkit.pocket.api.custom.validation import embedded_errors, list_errors, validate
from labkit.pocket.api.fields import FieldError
from labkit.pocket.api.nodes import Node

Obj = dict[str, Any]


class Judge:
    """A compiled schema. `metadata` is how ObjectMeta is read."""

    def __init__(self, raw: Obj, metadata: Node) -> None:
        self._raw = raw
        self._metadata = metadata
        self._schema = compile_schema(raw)

    def node(self, kind: str) -> Node:
        """The schema as field ownership and server-side apply go along it."""
        node = node_of(self._schema)
        node.type_name, node.optional = kind, False
        for name in ("apiVersion", "kind"):
            node.properties[name] = Node("string")
        node.properties["metadata"] = self._metadata
        return node

    def prune(self, obj: Obj) -> tuple[Obj, list[str]]:
        """A copy without unknown fields, and their paths. Raises conforming.BadMetadata."""
        return conforming.prune(self._schema, obj, self._metadata)

    def fill_in(self, obj: Obj) -> None:
        """Put in defaults, in place."""
        conforming.fill_in(self._schema, obj)

    def errors(self, obj: Obj, others: Sequence[FieldError]) -> list[FieldError]:
        """What is wrong with an object, apart from its metadata; `others` is what is known to be wrong already."""
        content = {key: value for key, value in obj.items() if key != "metadata"}
        # metadata is always there, and checked by rules of its own
        required = [name for name in self._raw.get("required") or () if name != "metadata"]
        found = validate({**self._raw, "required": required}, content, "")
        found += list_errors(self._schema, content, "")
        found += embedded_errors(self._schema, content, "")
        found += others
        return found + celrules.errors(self._schema, _visible(obj), found)

    def change_errors(self, obj: Obj, old: Obj) -> list[FieldError]:
        """What is wrong with changing `old` into `obj`."""
        return celrules.change_errors(self._schema, _visible(obj), _visible(old))

    def status_errors(self, status: Any) -> list[FieldError]:
        """What is wrong with a status, which is judged alone when it is written alone."""
        schema = self._schema.properties.get("status")
        if schema is None:
            return []
        found = validate(schema.raw, status, "status", "")
        return found + list(list_errors(schema, status, "status"))


def _visible(obj: Obj) -> Obj:
    """What rules see of an object: of the metadata only the names."""
    metadata = obj["metadata"]
    names = {field: metadata[field] for field in ("name", "generateName") if field in metadata}
    return {**obj, "metadata": names}
