"""Reading Kubernetes' protobuf bodies: kubectl's typed clients send them, whatever they accept in return.

The numbers of the fields are package data (scripts/protobuf_fields); the result is the object as JSON has it.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from labkit.pocket.api.registry import package_data

Obj = dict[str, Any]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"


class Unreadable(ValueError):  # noqa: N818 - it is what it says
    """The bytes are not a Kubernetes protobuf object of a known kind."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field: an integer, or the bytes of anything longer."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        wire = key & 7
        value: int | bytes
        if wire == 0:
            value, at = _varint(data, at)
        elif wire == 2:
            length, at = _varint(data, at)
            value = data[at : at + length]
            if len(value) != length:
                raise Unreadable("cut short")
            at += length
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value = data[at : at + size]
            at += size
        else:
            raise Unreadable(f"wire type {wire}")
        yield key >> 3, value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


class Decoder:
    """Turns protobuf bodies into plain objects."""

    @cached_property
    def _kinds(self) -> dict[str, str]:
        kinds: dict[str, str] = package_data("protobuf")["kinds"]
        return kinds

    @cached_property
    def _messages(self) -> dict[str, dict[int, tuple[str, Any]]]:
        return {
            name: {number: (json_name, kind) for number, json_name, kind, *_ in fields}
            for name, fields in package_data("protobuf")["messages"].items()
        }

    def decode(self, body: bytes) -> Obj:
        """The object in a body, with apiVersion and kind. Raises Unreadable."""
        if not body.startswith(_MAGIC):
            raise Unreadable(
                "provided data does not appear to be a protobuf message, expected prefix 6b 38 73 00"
            )
        try:
            envelope = dict(_fields(body[len(_MAGIC) :]))
            head = dict(_fields(_bytes(envelope.get(1, b""))))
            api_version, kind = (_bytes(head.get(number, b"")).decode() for number in (1, 2))
            name = self._kinds.get(f"{api_version} {kind}") or (
                # DeleteOptions are registered in every group.
                self._kinds["v1 DeleteOptions"] if kind == "DeleteOptions" else None
            )
            if name is None:
                raise Unreadable(f'no kind "{kind}" is registered for version "{api_version}"')
            obj = self._message(name, _bytes(envelope.get(2, b"")))
        except (IndexError, UnicodeDecodeError) as error:
            raise Unreadable(str(error)) from None
        return {"kind": kind, "apiVersion": api_version, **obj}

    def _message(self, name: str, data: bytes) -> Obj:
        known = self._messages[name]
        result: Obj = {}
        for number, value in _fields(data):
            if number not in known:
                continue
            field, kind = known[number]
            if isinstance(kind, dict) and "list" in kind:
                result.setdefault(field, []).append(self._value(kind["list"], value))
            elif isinstance(kind, dict):
                entry = dict(_fields(_bytes(value)))
                key = _bytes(entry.get(1, b"")).decode()
                result.setdefault(field, {})[key] = self._value(kind["map"], entry.get(2, b""))
            elif field == "":
                inner = self._value(kind, value)
                if isinstance(inner, dict):
                    result.update(inner)
            else:
                result[field] = self._value(kind, value)
        return result

    def _value(self, kind: Any, value: int | bytes) -> Any:
        if isinstance(kind, list):
            message = self._message(kind[0], _bytes(value))
            # A named list (metav1.Verbs) is a message with one nameless repeated field.
            return message[""] if set(message) == {""} else message
        if kind == "int":
            return _signed(value) if isinstance(value, int) else 0
        if kind == "bool":
            return bool(value)
        if kind == "double":
            return struct.unpack("<d", _bytes(value))[0]
        data = _bytes(value)
        if kind == "string":
            return data.decode()
        if kind == "bytes":
            return base64.b64encode(data).decode()
        parts = dict(_fields(data))
        if kind == "time":
            return _time(parts)
        if kind == "quantity":
            return _bytes(parts.get(1, b"")).decode()
        if kind == "int-or-string":
            if parts.get(1, 0) == 1:
                return _bytes(parts.get(3, b"")).decode()
            number = parts.get(2, 0)
            return _signed(number) if isinstance(number, int) else 0
        raw = _bytes(parts.get(1, b""))
        return json.loads(raw) if raw else None


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise Unreadable("a number where bytes belong")
    return value


def _time(parts: dict[int, int | bytes]) -> str | None:
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int):
        raise Unreadable("not a time")
    if not parts:
        return None
    moment = datetime.fromtimestamp(_signed(seconds), UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{nanos // 1000:06}Z" if nanos else f"{text}Z"
