"""Reading the body of a request: JSON or YAML into an object, with a real server's complaints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from labkit.pocket.api.errors import ApiError, bad_request, failure, unsupported_media_type
from labkit.pocket.api.http import protobuf
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
    try:
        value = _parsed(text, media, repeated)
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
    if resource.custom is not None and kind == resource.kind and not value.get("kind"):
        shown = text.decode(errors="replace")
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): Object 'Kind' is missing in "
            f"'{shown}' ({shown if len(shown) <= 30 else shown[:30] + ' ...'})"
        )
    if repeated:
        repeated = sorted(_places(value, ""))
        complaints = ", ".join(f'duplicate field "{name}"' for name in repeated)
        if options.validation == "Strict":
            raise bad_request(
                f'{kind} in version "{resource.version}" cannot be handled as a {kind}: '
                f"strict decoding error: {complaints}"
            )
        if options.validation == "Warn":
            for name in repeated:
                options.warn(f'duplicate field "{name}"')
    return value


def _parsed(text: bytes, media: str, repeated: list[str]) -> Any:
    if media == protobuf.MEDIA_TYPE:
        return _decoder.decode(text)
    if media == "application/yaml":
        return _from_yaml(text)
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
        return _from_yaml(text) if media == "application/apply-patch+yaml" else json.loads(text)
    except ValueError as error:
        if media == "application/apply-patch+yaml":
            raise bad_request(f"error decoding YAML: {error}") from None
        raise bad_request(f"error decoding patch: {_go_words(text, error)}") from None


def _from_yaml(text: bytes) -> Any:
    import yaml  # seldom asked for

    if text[:1] in (b"{", b"["):
        return json.loads(text)
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


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


def _go_words(text: bytes, error: Exception) -> str:
    """encoding/json's sentence for a text that is not JSON."""
    if isinstance(error, json.JSONDecodeError):
        stripped = error.doc.rstrip()
        if error.pos >= len(stripped):
            return "unexpected end of JSON input"
        return f"invalid character {error.doc[error.pos]!r} looking for beginning of value"
    return str(error) or f"{len(text)} bytes that are not JSON"


def _excerpt(text: bytes) -> str:
    # A real server shows what does not begin like an object as hexadecimal digits.
    if text[:1] not in (b"{", b""):
        return text.hex()[:2048]
    return text.decode(errors="replace")[:1024] or "<empty>"


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, list):
        return "array"
    return {str: "string", int: "number", float: "number"}.get(type(value), "null")


def request_too_large() -> ApiError:
    """413, as a real server words it."""
    return failure(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728")
