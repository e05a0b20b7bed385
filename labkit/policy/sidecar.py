"""What a pod says about a service mesh's proxy in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a pod says about a service mesh's proxy in it.

    present: a container istio-proxy is there. inject: what its label or annotation sidecar.istio.io/inject asks for.
    skipped_inbound, only_inbound: ports that traffic.sidecar.istio.io annotations keep from the proxy, or leave to it
    alone (None: all).
    """

    present: bool = False
    inject: bool | None = None
    by_label: bool = False
    skipped_inbound: frozenset[int] = frozenset()
    only_inbound: frozenset[int] | None = None


NO_SIDECAR = Sidecar()


def read_sidecar(
    labels: Mapping[str, str], annotations: Mapping[str, Any], spec: Mapping[str, Any]
) -> Sidecar:
    """Read it from a pod's labels, annotations and spec."""
    label = labels.get("sidecar.istio.io/inject")
    asked = label if label is not None else annotations.get("sidecar.istio.io/inject")
    # A native sidecar is an init container that keeps running.
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    present = any(container.get("name") == "istio-proxy" for container in containers)
    only = annotations.get("traffic.sidecar.istio.io/includeInboundPorts")
    skipped = annotations.get("traffic.sidecar.istio.io/excludeInboundPorts")
    if not present and asked is None and not annotations:
        return NO_SIDECAR
    return Sidecar(
        present,
        None if asked is None else str(asked).lower() in ("true", "y", "yes", "on"),
        label is not None,
        _port_list(skipped),
        None if only is None or str(only).strip() == "*" else _port_list(only),
    )


def _port_list(text: Any) -> frozenset[int]:
    return frozenset(int(item) for item in str(text or "").split(",") if item.strip().isdigit())
