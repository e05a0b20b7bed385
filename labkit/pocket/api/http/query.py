"""The options in a request's query and body, checked as a real server checks them."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from aiohttp import web

from labkit.pocket.api.errors import ApiError, bad_request, failure, invalid
from labkit.pocket.api.fields import FieldError, not_supported
from labkit.pocket.api.fields import forbidden as forbidden_field
from labkit.pocket.api.fields import required as required_field
from labkit.pocket.api.request import Options, User

_warnings: ContextVar[list[str] | None] = ContextVar("warnings", default=None)


def begin_warnings() -> None:
    """Forget the warnings of the connection's earlier requests."""
    _warnings.set(None)


def warnings_so_far() -> list[str]:
    """The sentences that came up for this request, for a refusal's Warning headers."""
    return _warnings.get() or []


FIELD_VALIDATION = ("", "Ignore", "Strict", "Warn")


def invalid_options(kind: str, *errors: FieldError) -> ApiError:
    """422 about the options of a request, such as CreateOptions."""
    return invalid("meta.k8s.io", kind, "", errors)


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean parameter; present without a value means true."""
    return name in query and query[name].lower() not in ("false", "0")


def number(query: Mapping[str, str], name: str) -> int | None:
    """An integer parameter. Raises ApiError (400)."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def resource_version(query: Mapping[str, str]) -> int | None:
    """resourceVersion, or None when it is not given. Raises ApiError."""
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdigit():
        error = failure(
            500,
            "",
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax',
        )
        del error.status["reason"]
        raise error
    return int(text)


def write_options(request: web.Request, user: User, kind: str) -> Options:
    """dryRun, fieldManager and fieldValidation of a write; `kind` is CreateOptions and the like."""
    query = request.query
    dry_run = query.getall("dryRun", [])
    if any(value != "All" for value in dry_run):
        raise invalid_options(kind, not_supported("dryRun", list(dry_run), ["All"]))
    validation = query.get("fieldValidation", "")
    if validation not in FIELD_VALIDATION:
        raise invalid_options(kind, not_supported("fieldValidation", validation, FIELD_VALIDATION))
    manager = query.get("fieldManager") or request.headers.get("User-Agent", "unknown").split("/")[0][:128]
    options = Options(user=user, manager=manager, dry_run=bool(dry_run), validation=validation or "Warn")
    # A refusal carries the warnings, too.
    _warnings.set(options.warnings)
    return options


def delete_options(body: Mapping[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
    """The keyword arguments of Api.delete from DeleteOptions, in the body or the query. Raises ApiError."""
    grace = body.get("gracePeriodSeconds")
    if grace is None:
        grace = number(query, "gracePeriodSeconds")
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy")
    if propagation is None and body.get("orphanDependents") is not None:
        propagation = "Orphan" if body["orphanDependents"] else "Background"
    if propagation not in (None, "Background", "Foreground", "Orphan"):
        supported = ("Foreground", "Background", "Orphan", "nil")
        raise invalid_options("DeleteOptions", not_supported("propagationPolicy", propagation, supported))
    return {
        "grace_period": grace,
        "propagation": propagation,
        "preconditions": body.get("preconditions") or {},
    }


def check_list_options(query: Mapping[str, str], *, watching: bool) -> None:
    """The rules about resourceVersionMatch and sendInitialEvents (ValidateListOptions). Raises ApiError."""
    match = query.get("resourceVersionMatch", "")
    initial = "sendInitialEvents" in query
    errors = []
    if initial and not watching:
        errors.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    elif initial and match != "NotOlderThan":
        errors.append(
            forbidden_field(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )
        )
    elif watching and match and not initial:
        errors.append(
            forbidden_field(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        )
    elif match and not watching:
        if not query.get("resourceVersion"):
            errors.append(
                forbidden_field(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                )
            )
        elif query.get("continue"):
            errors.append(
                forbidden_field(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"
                )
            )
        elif match not in ("Exact", "NotOlderThan"):
            errors.append(not_supported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]))
        elif match == "Exact" and query.get("resourceVersion") == "0":
            errors.append(
                forbidden_field(
                    "resourceVersionMatch",
                    'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
                )
            )
    if errors:
        raise invalid_options("ListOptions", *errors)


def require_manager(query: Mapping[str, str]) -> None:
    """Server-side apply wants to know who applies. Raises ApiError (422)."""
    if not query.get("fieldManager"):
        raise invalid_options("PatchOptions", required_field("fieldManager", "is required for apply patch"))
