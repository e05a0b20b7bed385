"""Failures as the API server words them: each is a metav1.Status.

The texts follow k8s.io/apimachinery/pkg/api/errors; clients show them to the learner as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labkit.pocket.api.fields import FieldError


class ApiError(Exception):
    """A request that was refused; `status` is the metav1.Status to answer with."""

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__(status.get("message", ""))
        self.status = status

    @property
    def code(self) -> int:
        """The HTTP status code."""
        return int(self.status["code"])

    @property
    def reason(self) -> str:
        """The machine-readable reason, such as `NotFound`."""
        return str(self.status.get("reason", ""))

    @property
    def message(self) -> str:
        """The sentence for people."""
        return str(self.status.get("message", ""))


def failure(
    code: int,
    reason: str,
    message: str,
    *,
    group: str = "",
    kind: str = "",
    name: str = "",
    causes: Sequence[dict[str, str]] = (),
    retry_after: int = 0,
    uid: str = "",
) -> ApiError:
    """An ApiError from its parts; empty details are left out, as upstream's JSON does."""
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    if uid:
        details["uid"] = uid
    if causes:
        details["causes"] = list(causes)
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
    }
    if details:
        status["details"] = details
    status["code"] = code
    return ApiError(status)


def qualified(group: str, plural: str) -> str:
    """`deployments.apps`, or the bare plural in the core group (schema.GroupResource.String)."""
    return f"{plural}.{group}" if group else plural


def not_found(group: str, plural: str, name: str) -> ApiError:
    """404: there is no such object."""
    return failure(
        404, "NotFound", f'{qualified(group, plural)} "{name}" not found', group=group, kind=plural, name=name
    )


def no_such_resource() -> ApiError:
    """404: the server serves no such resource or path."""
    error = failure(404, "NotFound", "the server could not find the requested resource")
    error.status["details"] = {}
    return error


def already_exists(group: str, plural: str, name: str) -> ApiError:
    """409: the name is taken."""
    return failure(
        409,
        "AlreadyExists",
        f'{qualified(group, plural)} "{name}" already exists',
        group=group,
        kind=plural,
        name=name,
    )


def conflict(group: str, plural: str, name: str, why: str | None = None) -> ApiError:
    """409: somebody else wrote the object meanwhile, or a precondition failed."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    return failure(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {why}',
        group=group,
        kind=plural,
        name=name,
    )


def forbidden(
    group: str, plural: str, name: str, why: str, causes: Sequence[dict[str, str]] = ()
) -> ApiError:
    """403: an admission rule says no."""
    subject = f'{qualified(group, plural)} "{name}"' if name else qualified(group, plural)
    return failure(
        403,
        "Forbidden",
        f"{subject} is forbidden: {why}",
        group=group,
        kind=plural,
        name=name,
        causes=causes,
    )


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422: the object's content breaks rules; one cause for each."""
    messages = list(dict.fromkeys(str(error) for error in errors))  # upstream's aggregate says each once
    text = messages[0] if len(messages) == 1 else "[" + ", ".join(messages) + "]"
    return failure(
        422,
        "Invalid",
        f'{qualified(group, kind)} "{name}" is invalid: {text}',
        group=group,
        kind=kind,
        name=name,
        causes=[error.cause() for error in errors],
    )


def bad_request(message: str) -> ApiError:
    """400: the request makes no sense."""
    return failure(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: no credential, or one that is not ours."""
    return failure(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> ApiError:
    """405: the resource does not do this verb."""
    error = failure(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )
    error.status["details"] = {}
    return error


def expired(message: str) -> ApiError:
    """410: the resourceVersion or continue token is older than what is kept."""
    return failure(410, "Expired", message)


def unsupported_media_type(allowed: Sequence[str]) -> ApiError:
    """415: the body's encoding is not one the server reads."""
    return failure(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(allowed),
    )


def not_acceptable(allowed: Sequence[str]) -> ApiError:
    """406: the client takes no encoding that the server writes."""
    return failure(
        406,
        "NotAcceptable",
        "only the following media types are accepted: " + ", ".join(allowed),
    )


def internal(message: str) -> ApiError:
    """500: our mistake."""
    return failure(500, "InternalError", f"Internal error occurred: {message}", causes=[{"message": message}])
