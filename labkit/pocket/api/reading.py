"""Reading an object by its schema, as encoding/json reads it into a Go struct: see `Reader`."""

from __future__ import annotations

import re
from typing import Any

from labkit.pocket.api.gotypes import go_type
from labkit.pocket.api.kinds import quantity
from labkit.pocket.api.nodes import Node

Obj = dict[str, Any]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


class TypeMismatch(Exception):  # noqa: N818 - the caller makes an error of it
    """A value of a wrong type; the message is encoding/json's.

    `value` is what was found and `wanted` the Go type, where that is what is wrong.
    """

    def __init__(self, message: str, value: Any = None, wanted: str = "") -> None:
        super().__init__(message)
        self.value = value
        self.wanted = wanted

    def renamed(self, go_name: str, field: str) -> TypeMismatch:
        """The same about a field whose string type has a name of its own (v1.Protocol)."""
        for plain in ("string", "[]string"):
            if str(self).endswith(f".{field} of type {plain}"):
                name = go_name.removeprefix("[]") if plain == "string" else go_name
                return TypeMismatch(str(self).removesuffix(plain) + name, self.value, self.wanted)
        return self

    def as_converter(self) -> str:
        """The same in the words of runtime's converter, which reads strategic merge patches' results."""
        if not self.wanted or (self.wanted == "int32" and isinstance(self.value, float)):
            return str(self)
        found = _go_kind(self.value)
        if self.wanted.startswith("[]"):
            return f"cannot restore slice from {found}"
        if self.wanted.startswith("map["):
            return f"cannot restore map from {found}"
        if self.wanted.startswith("v1."):
            return f"cannot restore struct from: {found}"
        if self.wanted == "string" and found == "int64":
            return "cannot convert int64 to string"
        return f"unrecognized type: {self.wanted}"


def _go_kind(value: Any) -> str:
    kinds = {bool: "bool", int: "int64", float: "float64", str: "string", list: "slice", dict: "map"}
    return kinds.get(type(value), "interface")


class Reader:
    """One pass over one object."""

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def read(self, node: Node, value: Any, path: str, owner: str, json_path: str) -> Any:
        """A copy of `value`, or None when the field is to be left out.

        `path` is the field's path with indices; `owner` the Go struct it is in; `json_path` the path without
        indices, as encoding/json names fields.
        """
        if value is None:
            return None
        shape = node.shape
        if shape == "struct":
            return self._struct(node, value, path, owner, json_path)
        if shape == "string":
            if not isinstance(value, str):
                raise self._mismatch(value, "string", owner, json_path)
            return value
        if shape == "list":
            if not isinstance(value, list):
                raise self._mismatch(value, go_type(node), owner, json_path)
            item = node.item
            assert item is not None
            read = self.read
            return [
                _zero(item) if element is None else read(item, element, f"{path}[{index}]", owner, json_path)
                for index, element in enumerate(value)
            ]
        if shape == "map":
            if not isinstance(value, dict):
                raise self._mismatch(value, go_type(node), owner, json_path)
            item = node.item
            assert item is not None
            result = {}
            for key, element in value.items():
                read_element = self.read(item, element, f"{path}.{key}", owner, json_path)
                result[key] = _zero(item) if read_element is None else read_element
            return dict(sorted(result.items()))  # Go writes the keys of a map in their order
        if shape == "any":
            return _copy_any(value)
        return self._scalar(node, value, owner, json_path)

    def _struct(self, node: Node, value: Any, path: str, owner: str, json_path: str) -> Obj:
        if not isinstance(value, dict):
            raise self._mismatch(value, go_type(node), owner, json_path)
        result: Obj = {}
        name = node.type_name or owner
        prefix = f"{path}." if path else ""
        json_prefix = f"{json_path}." if json_path else ""
        properties = node.properties
        for key, element in value.items():
            child = properties.get(key)
            if child is None:
                self.unknown.append(prefix + key)
                continue
            try:
                read = self.read(child, element, prefix + key, name, json_prefix + key)
            except TypeMismatch as error:
                if key in node.named and str(error).endswith(
                    (f".{key} of type string", f".{key} of type []string")
                ):
                    wanted = node.named[key]
                    if str(error).endswith("of type string"):
                        wanted = wanted.removeprefix("[]")
                    raise TypeMismatch(str(error).rpartition(" ")[0] + " " + wanted) from None
                raise
            if read is None or (not read and self._is_left_out(node, child, key, read)):
                continue
            result[key] = read
        return result

    @staticmethod
    def _is_left_out(node: Node, child: Node, key: str, value: Any) -> bool:
        """Whether Go's `omitempty` leaves out this empty value."""
        if child.shape in ("struct", "any") and isinstance(value, dict):
            return False  # an empty struct says something: podSelector: {}
        if node.omitted is not None:
            return key in node.omitted
        return key not in node.required and isinstance(value, list | dict)

    def _scalar(self, node: Node, value: Any, owner: str, json_path: str) -> Any:
        shape = node.shape
        if shape == "integer":
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if not isinstance(value, int) or isinstance(value, bool):
                raise self._mismatch(value, go_type(node), owner, json_path)
            bits = 31 if node.format == "int32" else 63
            if not -(1 << bits) <= value < (1 << bits):
                raise self._mismatch(value, go_type(node), owner, json_path)
        elif shape == "boolean":
            if not isinstance(value, bool):
                raise self._mismatch(value, "bool", owner, json_path)
        elif shape == "number":
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise self._mismatch(value, "float64", owner, json_path)
        elif shape == "int-or-string":
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise self._mismatch(value, go_type(node), owner, json_path)
        elif shape == "quantity":
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise self._mismatch(value, "string", owner, json_path)
            text = str(value)
            canonical = quantity.canonical(text)
            if canonical is None:
                raise TypeMismatch(f"quantities must match the regular expression '{quantity.PATTERN}'")
            return canonical
        elif shape == "time":
            if not isinstance(value, str):
                raise self._mismatch(value, "string", owner, json_path)
            if value and not _TIME.fullmatch(value):
                raise TypeMismatch(
                    f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": {_bad_time(value)}'
                )
        elif shape == "bytes":
            if not isinstance(value, str):
                raise self._mismatch(value, "[]uint8", owner, json_path)
            position = _bad_base64(value)
            if position is not None:
                raise TypeMismatch(f"illegal base64 data at input byte {position}")
        return value

    @staticmethod
    def _mismatch(value: Any, wanted: str, owner: str, json_path: str) -> TypeMismatch:
        if isinstance(value, bool):
            found = "bool"
        elif isinstance(value, int | float):
            # encoding/json shows the number where a number of another kind is wanted, and only there.
            found = f"number {value}" if wanted.startswith(("int", "uint")) else "number"
        elif isinstance(value, str):
            found = "string"
        else:
            found = "array" if isinstance(value, list) else "object"
        return TypeMismatch(
            f"json: cannot unmarshal {found} into Go struct field {owner}.{json_path} of type {wanted}",
            value,
            wanted,
        )


_LAYOUT = (
    ("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T"), ("15", r"\d\d"),
    (":", ":"), ("04", r"\d\d"), (":", ":"), ("05", r"\d\d(\.\d+)?"), ("Z07:00", r"Z|[+-]\d\d:\d\d"),
)  # fmt: skip


def _bad_time(text: str) -> str:
    """Where Go's time.Parse gives up: what is left, and the part of the layout that it is not."""
    at = 0
    for part, pattern in _LAYOUT:
        found = re.compile(pattern).match(text, at)
        if found is None:
            return f'cannot parse "{text[at:]}" as "{part}"'
        at = found.end()
    return f'extra text: "{text[at:]}"'


def _zero(node: Node) -> Any:
    """What Go makes of null where a plain value must be."""
    return {"struct": {}, "map": {}, "list": [], "integer": 0, "boolean": False, "number": 0}.get(
        node.shape, ""
    )


def _copy_any(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy_any(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy_any(item) for item in value]
    return value


_BASE64 = re.compile(r"[A-Za-z0-9+/]*")


def _bad_base64(text: str) -> int | None:
    """Where base64 text goes wrong, or None when it does not."""
    compact = text.replace("\n", "").replace("\r", "")
    body = compact.rstrip("=")
    match = _BASE64.match(body)
    assert match is not None
    if match.end() < len(body):
        return match.end()
    padding = len(compact) - len(body)
    if len(compact) % 4 or padding > 2:
        # Go names where the group of four began that is not complete.
        return len(compact) - len(compact) % 4 if not padding else len(body)
    return None
