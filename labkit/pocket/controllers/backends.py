"""Which pods stand behind a Service, on which ports, and in which state. Pure functions.

Upstream: k8s.io/endpointslice (utils.go, util/controller_utils.go).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from labkit.pocket.controllers.pods import is_ready, is_terminal
from labkit.pocket.controllers.reconcile import Obj
from labkit.policy.labels import Selector

HEADLESS = "service.kubernetes.io/headless"


@dataclass(frozen=True)
class Port:
    """One port of a Service as one pod serves it."""

    name: str
    number: int
    protocol: str
    app_protocol: str | None

    def to_dict(self, *, always_named: bool) -> Obj:
        """As Endpoints write it; as EndpointSlices do, with an empty name too."""
        port: Obj = {"name": self.name, "port": self.number, "protocol": self.protocol}
        if not self.name and not always_named:
            del port["name"]
        if self.app_protocol:
            port["appProtocol"] = self.app_protocol
        return port


@dataclass(frozen=True)
class Backend:
    """One address of one pod behind a Service."""

    address: str
    ports: tuple[Port, ...]
    pod: str
    namespace: str
    uid: str
    node: str
    hostname: str
    serving: bool
    terminating: bool
    published: bool

    @property
    def ready(self) -> bool:
        """Whether new connections should go there."""
        return self.published or (self.serving and not self.terminating)

    @property
    def family(self) -> str:
        """`IPv4` or `IPv6`."""
        return f"IPv{ip_address(self.address).version}"

    @property
    def reference(self) -> Obj:
        """The pod as a targetRef."""
        return {"kind": "Pod", "namespace": self.namespace, "name": self.pod, "uid": self.uid}


def is_selected(service: Obj) -> bool:
    """Whether the Service's endpoints are ours to write: it has a selector, and is not just a name."""
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def is_headless(service: Obj) -> bool:
    """Whether it has no address of its own."""
    return service["spec"].get("clusterIP") in (None, "", "None")


def selects(service: Obj, pod: Obj) -> bool:
    """Whether the Service's selector matches the pod's labels."""
    return Selector.from_labels(service["spec"]["selector"]).matches(pod["metadata"].get("labels") or {})


def backends(service: Obj, pods: Iterable[Obj]) -> list[Backend]:
    """The pods of the namespace that stand behind the Service, by address. Ended pods never do."""
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    found = []
    for pod in pods:
        if is_terminal(pod) or not selects(service, pod):
            continue
        for address in _addresses(pod):
            metadata, spec = pod["metadata"], pod["spec"]
            named = spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]
            found.append(
                Backend(
                    address=address,
                    ports=tuple(_ports(service, pod)),
                    pod=metadata["name"],
                    namespace=metadata["namespace"],
                    uid=metadata["uid"],
                    node=spec.get("nodeName", ""),
                    hostname=spec["hostname"] if named else "",
                    serving=is_ready(pod),
                    terminating=bool(metadata.get("deletionTimestamp")),
                    published=published,
                )
            )
    return sorted(found, key=lambda backend: ip_address(backend.address).packed)


def _addresses(pod: Obj) -> list[str]:
    status = pod.get("status") or {}
    listed = [item["ip"] for item in status.get("podIPs") or () if item.get("ip")]
    return [address for address in listed or [status.get("podIP")] if _is_address(address)]


def _is_address(text: str | None) -> bool:
    """A pod's status may hold anything; one wrong address must not take a whole Service down."""
    try:
        return bool(text) and ip_address(text or "") is not None
    except ValueError:
        return False


def _ports(service: Obj, pod: Obj) -> Iterable[Port]:
    """The Service's ports that the pod has: a named target port may be missing, or have another number."""
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol", "TCP")
        number = _target(pod, port.get("targetPort", port["port"]), protocol)
        if number is not None:
            yield Port(port.get("name", ""), number, protocol, port.get("appProtocol"))


def _target(pod: Obj, target: Any, protocol: str) -> int | None:
    if isinstance(target, int):
        return target
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for port in container.get("ports") or ():
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None
