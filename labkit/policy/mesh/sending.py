"""The client's side: what its proxy, if it has one, puts on the wire towards a pod."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.policy.model import ObjectKey, Pod, Service, ServicePort
from labkit.policy.request import HttpRequest

from .destinationrules import TlsMode
from .mtls import Mode, Wire
from .protocols import PortProtocol, port_protocol
from .view import MeshView

_REMEMBERED = 20_000
_TLS_OF_RULE = {TlsMode.DISABLE: Wire.PLAINTEXT, TlsMode.ISTIO_MUTUAL: Wire.MUTUAL}


@dataclass(frozen=True, slots=True)
class Target:
    """What the client connects to: a pod's port, directly or through a Service.

    whole: every pod behind the Service. headless: the Service's name gives the pods' own addresses.
    """

    pod: Pod
    port: int
    service: Service | None = None
    service_port: ServicePort | None = None
    whole: tuple[Pod, ...] = ()

    @property
    def default_host(self) -> str:
        """What curl writes into `Host` when it is given the Service's name with its namespace, or the pod's address."""
        if self.service is None or self.service_port is None:
            name, port = str(self.pod.ips[0]), self.port
            name = f"[{name}]" if ":" in name else name
        else:
            name, port = f"{self.service.name}.{self.service.namespace}", self.service_port.port
        return name if port == 80 else f"{name}:{port}"


@dataclass(frozen=True, slots=True)
class Sending:
    """What arrives at the pod, and why.

    proxied: the client has a proxy, which is then who sees a failure. http: that proxy speaks HTTP, so it answers in
    the server's place; else it only carries bytes. decided_by, path, line: the object that decided.
    """

    wire: Wire
    reason: str
    proxied: bool = False
    http: bool = False
    peer: str | None = None
    server_name: str = ""
    decided_by: ObjectKey | None = None
    path: str = ""
    line: int | None = None
    broken: bool = False


def send(view: MeshView, client: Pod | None, target: Target, request: HttpRequest | None) -> Sending:
    """What a client puts on the wire towards a target; of a request only host and scheme have to do with it."""
    asked = (request.host, request.scheme) if request is not None else None
    service = target.service.key if target.service else ""
    port = target.service_port.port if target.service_port else 0
    key = (client.key if client else "", target.pod.key, target.port, service, port, len(target.whole), asked)
    known: Sending | None = view.remembered.get(key)
    if known is None:
        if len(view.remembered) > _REMEMBERED:
            view.remembered.clear()
        known = view.remembered[key] = _send(view, client, target, request)
    return known


def _send(view: MeshView, client: Pod | None, target: Target, request: HttpRequest | None) -> Sending:
    encrypted = request is not None and request.scheme == "https"
    own = Wire.TLS if encrypted else Wire.PLAINTEXT
    if client is None or not view.meshed(client):
        who = f"{client.key} has no sidecar" if client is not None else "the client is outside the mesh"
        name = _name_only(request.host) if encrypted and request is not None else ""
        return Sending(own, f"{who}, so it sends {own} and shows no certificate", server_name=name)
    service, port = target.service, target.service_port
    if service is None or port is None:
        return _passed_through(
            view, client, own, target.port, "it was called by its own address, not by a Service"
        )
    protocol = port_protocol(port)
    http = request is not None and not encrypted and protocol is not PortProtocol.TCP
    if encrypted and protocol is PortProtocol.HTTP:
        reason = f"port {port.port} of {service.key} is declared as HTTP, and the client's proxy is sent TLS instead"
        return Sending(own, reason, proxied=True, broken=True)
    host = (request.host if request else "") or target.default_host
    if http and not _is_host_of(view, service, port.port, client, host):
        why = f"the client's proxy knows no Service {host} on port {port.port}"
        return _passed_through(view, client, own, port.port, why)
    return _by_rule(view, client, target, service, port, http)


def _by_rule(
    view: MeshView, client: Pod, target: Target, service: Service, port: ServicePort, http: bool
) -> Sending:
    rule = view.destination_rule(service, client)
    mode, path = rule.traffic.on(port.port) if rule is not None else (None, "")
    if rule is not None and mode is not None:
        wire = _TLS_OF_RULE.get(mode, Wire.TLS)
        reason = f"DestinationRule {rule.key.path} says tls mode {mode} for {service.key}"
        return _sent(view, client, service, port, wire, reason, http, rule.key, path, rule.line(path))
    for_service = view.service_mode(service.namespace)
    if for_service.mode is Mode.DISABLE:
        policy = for_service.policy
        assert policy is not None
        reason = f"PeerAuthentication {policy.key.path} disables mutual TLS for the Services of {service.namespace}"
        line = policy.line(for_service.path)
        return _sent(
            view, client, service, port, Wire.PLAINTEXT, reason, http, policy.key, for_service.path, line
        )
    if service.headless:
        # A headless Service is one choice for all its pods (push_context.go, BestEffortInferServiceMTLSMode).
        mutual = bool(target.whole) and all(view.takes_mutual_tls(pod) for pod in target.whole)
        reason = f"{'every pod' if mutual else 'not every pod'} of headless {service.key} has a sidecar"
        wire = Wire.MUTUAL if mutual else Wire.PLAINTEXT
        return _sent(view, client, service, port, wire, f"auto mutual TLS: {reason}", http)
    if not view.takes_mutual_tls(target.pod):
        reason = f"auto mutual TLS: {target.pod.key} has no sidecar, so it is sent plaintext"
        return _sent(view, client, service, port, Wire.PLAINTEXT, reason, http)
    setting = view.workload(target.pod).modes.on(target.port)
    if setting.mode is Mode.DISABLE:
        policy = setting.policy
        assert policy is not None
        reason = f"auto mutual TLS: PeerAuthentication {policy.key.path} disables it on {target.pod.key}"
        line = policy.line(setting.path)
        return _sent(
            view, client, service, port, Wire.PLAINTEXT, reason, http, policy.key, setting.path, line
        )
    reason = f"auto mutual TLS: both {client.key} and {target.pod.key} have a sidecar"
    return _sent(view, client, service, port, Wire.MUTUAL, reason, http)


def _sent(
    view: MeshView,
    client: Pod,
    service: Service,
    port: ServicePort,
    wire: Wire,
    reason: str,
    http: bool,
    decided_by: ObjectKey | None = None,
    path: str = "",
    line: int | None = None,
) -> Sending:
    mutual = wire is Wire.MUTUAL
    full = f"{service.name}.{service.namespace}.svc.{view.config.cluster_domain}"
    return Sending(
        wire,
        reason,
        proxied=True,
        http=http,
        peer=view.identity(client) if mutual else None,
        server_name=f"outbound_.{port.port}_._.{full}" if mutual else "",
        decided_by=decided_by,
        path=path,
        line=line,
    )


def _passed_through(view: MeshView, client: Pod, own: Wire, port: int, why: str) -> Sending:
    reason = f"{why}, so the proxy of {client.key} passes the connection on as it is: {own}, no certificate"
    return Sending(own, reason, proxied=True, http=own is Wire.PLAINTEXT and view.http_listener(port))


def _is_host_of(view: MeshView, service: Service, port: int, client: Pod, host: str) -> bool:
    """generateVirtualHostDomains: the names of a Service that a client's proxy knows, with or without the port."""
    name = _name_only(host).lower().rstrip(".")
    number = host.rpartition(":")[2] if _name_only(host) != host else ""
    if number and number != str(port):
        return False
    namespaced = f"{service.name}.{service.namespace}"
    names = {namespaced, f"{namespaced}.svc", f"{namespaced}.svc.{view.config.cluster_domain}"}
    if client.namespace == service.namespace:
        names.add(service.name)
    names |= {str(ip) for ip in service.cluster_ips}
    if service.headless:
        return any(name == known or name.endswith(f".{known}") for known in names)
    return name in names


def _name_only(host: str) -> str:
    """A host without its port."""
    name, colon, port = host.rpartition(":")
    return name.strip("[]") if colon and port.isdigit() and (":" not in name or name.endswith("]")) else host
