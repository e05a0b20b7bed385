"""The embedded components by name. Each is a module with a `COMPONENT`, imported when it is turned on."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labkit.pocket.api import Api
from labkit.pocket.api.custom.kind import Webhook

Obj = dict[str, Any]

_MODULES = {"cert-manager": "labkit.pocket.components.certmanager"}


@dataclass(frozen=True)
class EmbeddedComponent:
    """What a component brings.

    `version` is the release of the real one whose API and behaviour it follows; `stands_in_for` says in a sentence
    what is played and what is not. `definitions` and `objects` are made in this order and go in the reverse one.
    `run` works until it is cancelled. `webhooks` watch over writes to its resources, by qualified name.
    """

    name: str
    version: str
    stands_in_for: str
    definitions: Sequence[Obj]
    objects: Sequence[Obj]
    run: Callable[[Api], Awaitable[None]]
    webhooks: Mapping[str, Webhook] = field(default_factory=dict)


def known() -> list[str]:
    """The names of all embedded components, sorted."""
    return sorted(_MODULES)


def find(name: str) -> EmbeddedComponent | None:
    """The component of a name, or None."""
    module = _MODULES.get(name)
    if module is None:
        return None
    component: EmbeddedComponent = importlib.import_module(module).COMPONENT
    return component
