"""The Status that ends a stream, as the error channel of exec and attach carries it."""

from __future__ import annotations

from typing import Any

from labkit.pocket.api import errors
from labkit.pocket.runtime import RuntimeFailure

_REASONS = {400: "BadRequest", 403: "Forbidden", 404: "NotFound", 503: "ServiceUnavailable"}


def success() -> dict[str, Any]:
    """The Status of a stream that ended well."""
    return {"metadata": {}, "status": "Success"}


def exit_code(code: int) -> dict[str, Any]:
    """The Status of a command that ran and ended with a non-zero exit code (a kubelet's ServeExec)."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def refused(failure: RuntimeFailure) -> errors.ApiError:
    """The answer to a request that the node refuses before there is a stream."""
    if failure.code not in _REASONS:
        return errors.internal(failure.message)
    return errors.failure(failure.code, _REASONS[failure.code], failure.message)
