"""A learner's mistake, or a cluster's error, as one clear message instead of a traceback."""

from __future__ import annotations

CANNOT_START = (
    "Kubernetes goes on trying, but that alone seldom helps. Where an image cannot be pulled, the cluster's nodes do not"
    " reach its registry: bring the image in yourself (with kind: labkit images load IMAGE), then run this cell again."
)

NOT_RUNNING = "If it is the lab's own, start it in a terminal with `labkit up`, then run lab.setup()."


class LearnerError(Exception):
    """Something was asked that cannot be done; shown to the learner as this one message, never as a traceback."""

    def _render_traceback_(self) -> list[str]:
        # IPython's hook for errors that speak for themselves.
        return [f"✗ {self}"]


def for_learner(error: Exception) -> Exception:
    """An error as a learner should see it; our own mistakes stay what they are."""
    from labkit.cluster import CannotStart, ClusterError, ClusterUnreachable
    from labkit.course.load import AuthorError
    from labkit.course.places import NotFoundError
    from labkit.policy import PolicyError, WorldError, yamlseam

    told: tuple[type[Exception], ...] = (
        AuthorError,
        NotFoundError,
        PolicyError,
        WorldError,
        yamlseam.YamlError,
        ConnectionError,
    )
    if not isinstance(error, (*told, ClusterError)):
        return error
    if isinstance(error, ClusterUnreachable) and "labkit up" not in str(error):
        return LearnerError(f"{error}\n{NOT_RUNNING}")
    return LearnerError(f"{error}\n{CANNOT_START}" if isinstance(error, CannotStart) else str(error))
