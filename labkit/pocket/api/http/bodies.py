"""Reading the body of a request: JSON or YAML into an object, with a real server's complaints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from labkit.pocket.api.errors import ApiError, bad_request, failure, unsupported_media_type
from labkit.pocket.api.http import protobuf, yamlbody
from labkit.pocket.api.registry import Resource
from labkit.pocket.api.request import Options

Obj = dict[str, Any]

READABLE = ("application/json", "application/yaml", protobuf.MEDIA_TYPE)
_decoder = protobuf.Decoder()


def media_type(request: web.Request) -> str:
    """The Content-Type without parameters; JSON when there is none."""
    return (request.headers.get("Content-Type") or "application/json").split(";")[0].strip().lower()


async def read_object(request: web.Request, resource: Resource, kind: str, options: Options) -> Obj:
    """The object in the body, of the kind that the URL wants. Raises ApiError (400, 415)."""
    media = media_type(request)
    if media not in READABLE:
        raise unsupported_media_type(READABLE)
    text = await request.read()
    repeated: list[str] = []
    complaints: list[str] = []
    try:
        if media == "application/yaml":
            value, complaints = yamlbody.read(text)
        else:
            value = _parsed(text, media, repeated)
    except yamlbody.NotYaml as error:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): {error} ({_excerpt(text)})"
        ) from None
    except (ValueError, RecursionError) as error:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
            f"json parse error: {_go_words(text, error)} ({_excerpt(text)})"
        ) from None
    if not isinstance(value, dict):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse "
            f"error: json: cannot unmarshal {_json_kind(value)} into Go value of type struct "
            f'{{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }} '
            f"({_excerpt(text)})"
        )
    wrong = next(
        (k for k in value if k in ("apiVersion", "kind") and not isinstance(value[k], str | None)), ""
    )
    if wrong:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse "
            f"error: json: cannot unmarshal {_json_kind(value[wrong])} into Go struct field .{wrong} of type string "
            f"({_excerpt(text)})"
        )
    if resource.custom is not None and kind == resource.kind and not value.get("kind"):
        shown = text.decode(errors="replace")
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): Object 'Kind' is missing in "
            f"'{shown}' ({shown if len(shown) <= 30 else shown[:30] + ' ...'})"
        )
    complaints += [f'duplicate field "{name}"' for name in sorted(_places(value, ""))] if repeated else []
    options.complaints = complaints
    return value


def _parsed(text: bytes, media: str, repeated: list[str]) -> Any:
    if media == protobuf.MEDIA_TYPE:
        return _decoder.decode(text)
    if media == "application/yaml":
        return yamlbody.read(text)[0]
    return json.loads(text, object_pairs_hook=_pairs(repeated))


async def read_json(request: web.Request) -> Any:
    """A body that may be empty, such as DeleteOptions. Raises ApiError (400)."""
    text = await request.read()
    if not text.strip():
        return {}
    if media_type(request) not in READABLE:
        raise unsupported_media_type(READABLE)
    try:
        value = _parsed(text, media_type(request), [])
    except ValueError as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {_go_words(text, error)}") from None
    return value if isinstance(value, dict) else {}


async def read_patch(request: web.Request, media: str) -> Any:
    """A patch: JSON, or YAML for server-side apply. Raises ApiError (400)."""
    text = await request.read()
    try:
        return yamlbody.read(text)[0] if media == "application/apply-patch+yaml" else json.loads(text)
    except ValueError as error:
        if media == "application/apply-patch+yaml":
            raise bad_request(f"error decoding YAML: {error}") from None
        prefix = "" if media == "application/strategic-merge-patch+json" else "error decoding patch: "
        raise bad_request(f"{prefix}{_go_words(text, error)}") from None


def _pairs(repeated: list[str]) -> Any:
    def build(pairs: list[tuple[str, Any]]) -> Obj:
        result: Obj = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            again = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
            repeated.extend(again)
            result = _Repeating(result)
            result.again = again
        return result

    return build


class _Repeating(dict[str, Any]):
    """An object of which some fields stood more than once."""

    again: list[str]


def _places(value: Any, path: str) -> Iterator[str]:
    """The paths of repeated fields."""
    if isinstance(value, dict):
        if isinstance(value, _Repeating):
            yield from (path + key for key in value.again)
        for key, item in value.items():
            yield from _places(item, f"{path}{key}.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, f"{path.removesuffix('.')}[{index}].")


_EXPECTED = {
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
}


def _go_words(text: bytes, error: Exception) -> str:
    """encoding/json's sentence for a text that is not JSON."""
    if isinstance(error, json.JSONDecodeError):
        stripped = error.doc.rstrip()
        if error.pos >= len(stripped):
            return "unexpected end of JSON input"
        found = error.doc[error.pos]
        shown = {"'": "'\\''", '"': "'\"'"}.get(found) or f"'{json.dumps(found, ensure_ascii=False)[1:-1]}'"
        return f"invalid character {shown} {_EXPECTED.get(error.msg, 'looking for beginning of value')}"
    return str(error) or f"{len(text)} bytes that are not JSON"


def _excerpt(text: bytes) -> str:
    # A real server shows what does not begin like an object as hexadecimal digits.
    begin = text[:30].decode(errors="replace") if text[:1] == b"{" else text[:30].hex()
    return begin + (" ..." if len(text) > 30 else "") or "<empty>"


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, list):
        return "array"
    return {str: "string", int: "number", float: "number", dict: "object"}.get(type(value), "null")


def request_too_large() -> ApiError:
    """413, as a real server words it."""
    return failure(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728")
