"""The verbs on objects: from a request and its target to an answer."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import (
    ApiError,
    bad_request,
    failure,
    internal,
    method_not_allowed,
    no_such_resource,
    not_found,
    unsupported_media_type,
)
from labkit.pocket.api.http import bodies, query
from labkit.pocket.api.http.lists import Lists
from labkit.pocket.api.http.output import Form, add_warnings, negotiate, refuse, respond
from labkit.pocket.api.http.paths import Target
from labkit.pocket.api.http.reviews import REVIEWS, token_request
from labkit.pocket.api.http.watching import watch
from labkit.pocket.api.patch import PATCH_TYPES, STRATEGIC_PATCH, apply_patch
from labkit.pocket.api.registry import Resource
from labkit.pocket.api.request import Options, User
from labkit.pocket.api.selectors import Selection
from labkit.pocket.api.store import Obj
from labkit.pocket.api.streams import POD_STREAMS, node_proxy
from labkit.pocket.api.subresources import bind, scale_of, set_scale
from labkit.pocket.api.tokens import Tokens
from labkit.pocket.runtime import Runtime

_VERBS = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "GET": "get",
    "HEAD": "get",
}


_DEPRECATED = {"endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"}


class Resources:
    """The handlers for everything under /api/... and /apis/... that names a resource."""

    def __init__(self, api: Api, runtime: Runtime | None, tokens: Tokens) -> None:
        self._api = api
        self._runtime = runtime
        self._tokens = tokens
        self._lists = Lists(api)

    async def handle(self, request: web.Request, target: Target, user: User) -> web.StreamResponse:
        """Answer a request. Raises ApiError."""
        resource = self._api.registry.at(target.group, target.version, target.plural)
        if resource is None:
            raise no_such_resource()
        if not resource.namespaced and target.namespace:
            raise no_such_resource()
        warning = (
            resource.custom.warning if resource.custom is not None else _DEPRECATED.get(resource.qualified)
        )
        try:
            response = await self._handle(request, target, resource, user)
        except ApiError as error:
            if not warning:
                raise
            return refuse(error, [warning, *query.warnings_so_far()])
        if warning and not response.prepared:
            add_warnings(response, [warning])
        return response

    async def _handle(
        self, request: web.Request, target: Target, resource: Resource, user: User
    ) -> web.StreamResponse:
        if target.subresource:
            return await self._subresource(request, target, resource, user)
        verb = _VERBS.get(request.method)
        if resource.plural in REVIEWS and verb == "create":
            return await self._review(request, target, resource, user)
        if target.name:
            if verb is None or verb not in resource.verbs or verb == "create":
                raise method_not_allowed()
            match verb:
                case "get":
                    if query.flag(request.query, "watch"):
                        return await self._watch(request, target, resource, f"metadata.name={target.name}")
                    return self._get(request, target, resource)
                case "update":
                    return await self._put(request, target, resource, None, user)
                case "patch":
                    return await self._patch(request, target, resource, None, user)
                case _:
                    return await self._delete(request, target, resource, user)
        match request.method:
            case "GET" | "HEAD" if "list" in resource.verbs:
                if query.flag(request.query, "watch"):
                    return await self._watch(request, target, resource)
                form = negotiate(request)
                objects, metadata = self._lists.read(resource, target.namespace, request.query)
                return respond(form, form.shaped_list(resource, objects, metadata))
            case "POST" if "create" in resource.verbs:
                if resource.namespaced and not target.namespace:
                    raise method_not_allowed()
                return await self._post(request, target, resource, user)
            case "DELETE" if "deletecollection" in resource.verbs:
                return await self._delete_all(request, target, resource, user)
        raise method_not_allowed()

    # Whole objects

    def _get(self, request: web.Request, target: Target, resource: Resource) -> web.Response:
        form = negotiate(request)
        obj = self._api.get(resource, target.name, target.namespace)
        return respond(form, form.shaped(resource, obj))

    async def _watch(
        self, request: web.Request, target: Target, resource: Resource, only: str = ""
    ) -> web.StreamResponse:
        fields = ",".join(part for part in (request.query.get("fieldSelector", ""), only) if part)
        selection = Selection.parse(resource, request.query.get("labelSelector", ""), fields)
        return await watch(self._api, request, resource, target.namespace, selection, negotiate(request))

    async def _post(
        self, request: web.Request, target: Target, resource: Resource, user: User
    ) -> web.Response:
        form = negotiate(request)
        options = query.write_options(request, user, "CreateOptions")
        obj = await bodies.read_object(request, resource, resource.kind, options)
        if resource.plural == "bindings":
            name = (obj.get("metadata") or {}).get("name", "")
            return self._bind(form, target.namespace, name, obj, options)
        created = self._api.create(resource, obj, target.namespace or None, options=options)
        return respond(form, form.shaped(resource, created), status=201, options=options)

    async def _put(
        self, request: web.Request, target: Target, resource: Resource, subresource: str | None, user: User
    ) -> web.Response:
        form = negotiate(request)
        options = query.write_options(request, user, "UpdateOptions")
        obj = await bodies.read_object(request, resource, resource.kind, options)
        metadata = obj.get("metadata")
        if isinstance(metadata, dict):
            if metadata.get("name") and metadata["name"] != target.name:
                raise bad_request(
                    f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
                )
            if resource.namespaced and metadata.get("namespace", target.namespace) != target.namespace:
                raise bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
            metadata["name"] = target.name
            if resource.namespaced:
                metadata["namespace"] = target.namespace
        if not isinstance(metadata, dict) or not metadata:
            raise bad_request("metadata.name must be provided")
        updated = self._api.update(resource, obj, subresource=subresource, options=options)
        return respond(form, form.shaped(resource, updated), options=options)

    async def _patch(
        self, request: web.Request, target: Target, resource: Resource, subresource: str | None, user: User
    ) -> web.Response:
        form = negotiate(request)
        media = bodies.media_type(request)
        if resource.custom is not None and media == STRATEGIC_PATCH:
            raise unsupported_media_type([one for one in PATCH_TYPES if one != STRATEGIC_PATCH])
        if media not in PATCH_TYPES:
            error = failure(415, "UnsupportedMediaType", "415: Unsupported Media Type")
            error.status["details"] = {}
            raise error
        options = query.write_options(request, user, "PatchOptions")
        if media == "application/apply-patch+yaml":
            query.require_manager(request.query)
        body = await bodies.read_patch(request, media)
        existed = self._api.find(resource, target.name, target.namespace) is not None
        patched = self._api.patch(
            resource,
            target.name,
            target.namespace or None,
            media,
            body,
            subresource=subresource,
            force=query.flag(request.query, "force"),
            options=options,
        )
        return respond(form, form.shaped(resource, patched), status=200 if existed else 201, options=options)

    async def _delete(
        self, request: web.Request, target: Target, resource: Resource, user: User
    ) -> web.Response:
        form = negotiate(request)
        body = await bodies.read_json(request)
        options = query.write_options(request, user, "DeleteOptions")
        if body.get("dryRun"):
            options.dry_run = True
        last = self._api.delete(
            resource,
            target.name,
            target.namespace or None,
            options=options,
            **query.delete_options(body, request.query),
        )
        remains = self._api.find(resource, target.name, target.namespace)
        if remains is not None and not options.dry_run:
            return respond(form, form.shaped(resource, last), options=options)
        if (
            resource.plural in ("pods", "services", "serviceaccounts", "nodes", "persistentvolumes")
            and not resource.group
        ):
            # These kinds' strategies return the object itself even when it is gone.
            return respond(form, form.shaped(resource, last), options=options)
        return respond(form, _deleted(resource, last), options=options)

    async def _delete_all(
        self, request: web.Request, target: Target, resource: Resource, user: User
    ) -> web.Response:
        form = negotiate(request)
        body = await bodies.read_json(request)
        options = query.write_options(request, user, "DeleteOptions")
        objects, metadata = self._lists.read(resource, target.namespace, request.query)
        arguments = query.delete_options(body, request.query)
        for obj in objects:
            try:
                self._api.delete(
                    resource,
                    obj["metadata"]["name"],
                    obj["metadata"].get("namespace"),
                    options=options,
                    **arguments,
                )
            except ApiError as error:
                if error.code != 404:
                    raise
        return respond(form, form.shaped_list(resource, objects, metadata), options=options)

    async def _review(
        self, request: web.Request, target: Target, resource: Resource, user: User
    ) -> web.Response:
        options = query.write_options(request, user, "CreateOptions")
        obj = await bodies.read_object(request, resource, resource.kind, options)
        review = self._api.schemas.decode(resource.group, resource.version, resource.kind, obj, options)
        head: Obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}}
        if target.namespace:
            head["metadata"] = {"namespace": target.namespace}
        answer = REVIEWS[resource.plural](self._api, self._tokens, user, {**head, **review})
        return respond(negotiate(request), answer, status=201)

    # Parts of objects

    async def _subresource(
        self, request: web.Request, target: Target, resource: Resource, user: User
    ) -> web.StreamResponse:
        subresource = resource.subresources.get(target.subresource)
        if subresource is None:
            if resource.custom is not None:
                raise not_found(resource.group, resource.plural, target.name)
            raise no_such_resource()
        verb = _VERBS.get(request.method)
        if verb is None or verb not in subresource.verbs:
            if resource.custom is not None and verb is not None:
                raise unsupported_method(resource, verb)
            raise method_not_allowed()
        name = subresource.name
        if resource.qualified == "pods" and name in POD_STREAMS:
            pod = self._api.get("pods", target.name, target.namespace)
            return await POD_STREAMS[name](request, pod, self._need_runtime())
        if resource.qualified == "nodes" and name == "proxy":
            self._api.get("nodes", target.name)
            path = target.rest + (f"?{request.query_string}" if request.query_string else "")
            return await node_proxy(request, path, self._need_runtime())
        form = negotiate(request)
        if name == "scale":
            return await self._scale(request, target, resource, user, form)
        if verb == "create":
            return await self._create_subresource(request, target, resource, name, user, form)
        if verb == "get":
            return self._get(request, target, resource)
        if verb == "update":
            return await self._put(request, target, resource, name, user)
        return await self._patch(request, target, resource, name, user)

    async def _create_subresource(
        self, request: web.Request, target: Target, resource: Resource, name: str, user: User, form: Form
    ) -> web.Response:
        options = query.write_options(request, user, "CreateOptions")
        subresource = resource.subresources[name]
        body = await bodies.read_object(request, resource, subresource.kind, options)
        body = self._api.schemas.decode(
            subresource.group, subresource.version, subresource.kind, body, options
        )
        if name == "token":
            answer = token_request(self._api, self._tokens, target.namespace, target.name, body)
            return respond(form, answer, status=201)
        if name == "binding":
            return self._bind(form, target.namespace, target.name, body, options)
        if name == "eviction":
            arguments = query.delete_options(body.get("deleteOptions") or {}, {})
            self._api.delete(resource, target.name, target.namespace, options=options, **arguments)
            return respond(form, _success(), status=201)
        raise no_such_resource()

    def _bind(self, form: Form, namespace: str, name: str, binding: Obj, options: Options) -> web.Response:
        bind(self._api, namespace, name, binding, options)
        return respond(form, _success(), status=201)

    async def _scale(
        self, request: web.Request, target: Target, resource: Resource, user: User, form: Form
    ) -> web.Response:
        paths = None if resource.custom is None else resource.custom.scale
        scale = scale_of(self._api.get(resource, target.name, target.namespace), paths)
        if request.method in ("GET", "HEAD"):
            return respond(form, scale)
        if request.method == "PUT":
            options = query.write_options(request, user, "UpdateOptions")
            wanted = await bodies.read_object(request, resource, "Scale", options)
        else:
            options = query.write_options(request, user, "PatchOptions")
            media = bodies.media_type(request)
            node = self._api.schemas.kind("autoscaling", "v1", "Scale")
            wanted = apply_patch(node, media, scale, await bodies.read_patch(request, media))
            if wanted["metadata"].get("resourceVersion") == scale["metadata"]["resourceVersion"]:
                wanted["metadata"].pop("resourceVersion")
        wanted = self._api.schemas.decode("autoscaling", "v1", "Scale", wanted, options)
        done = set_scale(self._api, resource, target.name, target.namespace, wanted, options)
        return respond(form, done, options=options)

    def _need_runtime(self) -> Runtime:
        if self._runtime is None:
            raise internal("this cluster has no node")
        return self._runtime


def unsupported_method(resource: Resource, verb: str) -> ApiError:
    """405, in the words for custom resources."""
    words = f'{verb} is not supported on resources of kind "{resource.qualified}"'
    return failure(405, "MethodNotAllowed", words, group=resource.group, kind=resource.plural)


def _success() -> Obj:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _deleted(resource: Resource, last: Obj) -> Obj:
    metadata = last["metadata"]
    details: dict[str, Any] = {"name": metadata["name"]}
    if resource.group:
        details["group"] = resource.group
    details |= {"kind": resource.plural, "uid": metadata["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
