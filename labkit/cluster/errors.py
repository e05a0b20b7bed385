"""What can go wrong with a cluster, in the API's own words."""

from __future__ import annotations

# ruff: noqa: N818 - named after what the API says (NotFound, Conflict), as in apimachinery
import json
from collections.abc import Mapping
from typing import Any


class ClusterError(Exception):
    """Something a cluster refused or could not do. `code` is the HTTP status, `reason` Kubernetes' word for it."""

    def __init__(
        self, message: str, *, code: int = 0, reason: str = "", status: Mapping[str, Any] | None = None
    ):
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.status = dict(status or {})


class ClusterUnreachable(ClusterError):
    """No answer from the API server: the cluster is down, or the kubeconfig points somewhere else."""


class NoSuchContext(ClusterError):
    """The kubeconfig cannot be read, or has no such context."""


class Unauthorized(ClusterError):
    """401: the server does not know us."""


class Denied(ClusterError):
    """403: the server knows us and says no."""


class NotFound(ClusterError):
    """404: no such object, or no such kind."""


class Conflict(ClusterError):
    """409: it exists already, or somebody changed it meanwhile."""


class Invalid(ClusterError):
    """400 or 422: the object is not valid. `fields` are (path, message) pairs where the server names them."""

    @property
    def fields(self) -> list[tuple[str, str]]:
        causes = self.status.get("details", {}).get("causes") or []
        return [(cause.get("field", ""), cause.get("message", "")) for cause in causes]


class WaitTimeout(ClusterError):
    """What was waited for did not happen in time; `last` is the object as last seen, None when it was never there."""

    def __init__(self, message: str, last: Mapping[str, Any] | None = None):
        super().__init__(message, reason="Timeout")
        self.last = last


class CannotStart(WaitTimeout):
    """Pods that were waited for are stuck, and waiting longer is no use; `pods` are their ObjectKeys."""

    def __init__(self, message: str, pods: list[Any]):
        super().__init__(message)
        self.pods = pods


class ExecError(ClusterError):
    """A command could not be started in a container (that it fails is a result, not an error)."""


class NotALab(ClusterError):
    """The context does not look like a lab cluster, and nobody said that it is one."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a signal that means the same, in the midst of something long; the message says what is left of it."""


class ApplyError(ClusterError):
    """Some objects were not accepted: `applied` are those that were, `failures` pairs of object and error."""

    def __init__(self, applied: list[Any], failures: list[tuple[Any, ClusterError]]):
        first = failures[0][1]
        super().__init__(
            "\n".join(str(error) for _, error in failures),
            code=first.code,
            reason=first.reason,
            status=first.status,
        )
        self.applied = applied
        self.failures = failures


_KINDS: dict[int, type[ClusterError]] = {
    400: Invalid, 401: Unauthorized, 403: Denied, 404: NotFound, 409: Conflict, 422: Invalid,
}  # fmt: skip


def from_response(code: int, body: bytes | str) -> ClusterError:
    """The error for an answer that is not a success."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    status: dict[str, Any] = {}
    try:
        parsed = json.loads(text)
        if isinstance(parsed, dict) and parsed.get("kind") == "Status":
            status = parsed
    except ValueError:
        pass  # a proxy's page, or plain text
    message = status.get("message") or text.strip() or f"the server answered {code}"
    return _KINDS.get(code, ClusterError)(message, code=code, reason=status.get("reason", ""), status=status)
