"""Components that chapters need in a cluster, as plugins of one shape: install, wait, verify, version, uninstall.

`get("istio")` gives one for whatever cluster it is then asked about; `ensure` installs what is missing. A further component is a
further module and a line in `_MODULES`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .ensuring import Outcome, ensure, remove
from .shape import Component, ComponentError, Missing, Options, Refused

if TYPE_CHECKING:
    from .sources import Sources

__all__ = [
    "Component",
    "ComponentError",
    "Missing",
    "Options",
    "Outcome",
    "Refused",
    "ensure",
    "get",
    "names",
    "remove",
    "split",
    "title_of",
]

_MODULES = {
    "calico": "calico:Calico",
    "cert-manager": "certmanager:CertManager",
    "gateway-api": "gatewayapi:GatewayApi",
    "istio": "istio:Istio",
    "linkerd": "linkerd:Linkerd",
}


def names() -> list[str]:
    """The components there are."""
    return list(_MODULES)


def title_of(name: str) -> str:
    """What a component is called: "istio+ambient" is Istio. Raises ComponentError."""
    return get(split(name)[0]).title


def split(name: str) -> tuple[str, frozenset[str]]:
    """A component's name and its optional parts: "istio+ambient+ingress"."""
    first, *extras = name.split("+")
    return first, frozenset(extras)


def get(name: str, sources: Sources | None = None) -> Component:
    """A component by name. Raises ComponentError with the names there are.

    sources: where tools and manifests come from, if not from `clusters/components.toml`.
    """
    from .embedded import Embedded

    try:
        module, _, class_name = _MODULES[name.lower()].partition(":")
    except KeyError:
        raise ComponentError(f'There is no component "{name}"; there are: {", ".join(_MODULES)}.') from None
    real: Component = getattr(importlib.import_module(f"{__name__}.{module}"), class_name)(sources)
    return Embedded(real)
