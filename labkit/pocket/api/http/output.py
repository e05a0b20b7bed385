"""In which form an answer goes out: JSON or YAML; the object itself, its metadata alone, or a table of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from labkit.pocket.api.errors import ApiError, failure
from labkit.pocket.api.registry import Resource
from labkit.pocket.api.request import Options
from labkit.pocket.api.store import Obj, encode
from labkit.pocket.api.tables import table_of

JSON = "application/json"
YAML = "application/yaml"
_MEDIA_TYPES = (JSON, YAML, "application/vnd.kubernetes.protobuf")
META = "meta.k8s.io/v1"


@dataclass(frozen=True)
class Form:
    """What the client takes: `media` is JSON or YAML, `shape` is "", Table or PartialObjectMetadata(List)."""

    media: str = JSON
    shape: str = ""
    include: str = "Metadata"
    pretty: bool = False

    def text(self, value: Any) -> bytes:
        """An answer's body."""
        if self.media == YAML:
            from labkit.pocket.api.http.yamltext import dump  # seldom asked for

            return dump(value).encode()
        if self.pretty:
            return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
        return (encode(value) + "\n").encode()

    def shaped(self, resource: Resource, obj: Obj, *, header: bool = True) -> Obj:
        """One object as the client wants it."""
        if self.shape == "Table":
            revision = obj["metadata"].get("resourceVersion", "")
            return table_of(resource, [obj], {"resourceVersion": revision}, self.include, header=header)
        if self.shape.startswith("PartialObjectMetadata"):
            return {"kind": "PartialObjectMetadata", "apiVersion": META, "metadata": obj["metadata"]}
        return obj

    def shaped_list(self, resource: Resource, objects: Sequence[Obj], metadata: Obj) -> Obj:
        """A list as the client wants it."""
        if self.shape == "Table":
            return table_of(resource, objects, metadata, self.include)
        if self.shape.startswith("PartialObjectMetadata"):
            return {
                "kind": "PartialObjectMetadataList",
                "apiVersion": META,
                "metadata": metadata,
                "items": [
                    {"kind": "PartialObjectMetadata", "apiVersion": META, "metadata": obj["metadata"]}
                    for obj in objects
                ],
            }
        return {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": metadata,
            # As a real server does: the items of a list do not say what they are, but custom resources do.
            "items": list(objects)
            if resource.custom is not None
            else [
                {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
                for obj in objects
            ],
        }


def negotiate(request: web.Request) -> Form:
    """The form that the Accept header asks for. Raises ApiError (406)."""
    query = request.query
    include = query.get("includeObject", "") or "Metadata"
    agent = request.headers.get("User-Agent", "")
    pretty = query.get("pretty", "") not in ("", "0", "false") or (
        "pretty" not in query and agent.startswith(("curl", "Wget", "Mozilla/5.0"))
    )
    for clause in (request.headers.get("Accept") or "*/*").split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        options = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media in ("*/*", "application/*"):
            media = JSON
        if media not in (JSON, YAML):
            continue
        shape = options.get("as", "")
        if shape and (options.get("g") != "meta.k8s.io" or options.get("v") not in ("v1", "v1beta1")):
            continue
        if shape not in ("", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"):
            continue
        return Form(media, shape, include, pretty)
    raise not_acceptable()


def not_acceptable() -> ApiError:
    """406: the client takes nothing that is written here."""
    error = failure(
        406,
        "NotAcceptable",
        "406: Not Acceptable\n\nAvailable representations: " + ", ".join(_MEDIA_TYPES),
    )
    error.status["details"] = {}
    return error


def respond(form: Form, value: Any, *, status: int = 200, options: Options | None = None) -> web.Response:
    """An answer, with the request's warnings as headers."""
    response = web.Response(body=form.text(value), status=status, content_type=form.media)
    add_warnings(response, options.warnings if options else ())
    response.headers["Cache-Control"] = "no-cache, private"
    return response


def add_warnings(response: web.StreamResponse, warnings: Sequence[str]) -> None:
    """Add a header for each sentence."""
    for warning in warnings:
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')


def refuse(error: ApiError, warnings: Sequence[str] | None = None) -> web.Response:
    """A refusal: its Status, always as JSON, with the warnings that came up before."""
    response = web.Response(body=(encode(error.status) + "\n").encode(), status=error.code, content_type=JSON)
    response.headers["Cache-Control"] = "no-cache, private"
    add_warnings(response, warnings or ())
    retry = error.status.get("details", {}).get("retryAfterSeconds")
    if retry:
        response.headers["Retry-After"] = str(retry)
    return response
