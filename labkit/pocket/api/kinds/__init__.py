"""One small module for each kind that has behaviour in the API server; a kind without one lives by its schema."""

from __future__ import annotations

from labkit.pocket.api.kinds.rules import Rules

GENERIC = Rules()

RULES: dict[str, Rules] = {}
"""By qualified resource name: `pods`, `deployments.apps`."""


def rules_for(qualified: str) -> Rules:
    """The rules of a resource; the generic ones when it has none of its own."""
    return RULES.get(qualified, GENERIC)
