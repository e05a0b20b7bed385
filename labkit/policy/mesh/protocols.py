"""What a port speaks, as Istio is told: pkg/config/kube/conversion.go and pkg/config/protocol."""

from __future__ import annotations

from enum import StrEnum

from labkit.policy.model import ServicePort

_HTTP = ("http", "http2", "http_proxy", "grpc", "grpc-web")
_TCP = ("tcp", "https", "tls", "mongo", "mysql", "redis")
_APP_PROTOCOLS = {"kubernetes.io/h2c": "http2", "kubernetes.io/ws": "http", "kubernetes.io/wss": "https"}
# Protocols in which the server speaks first would break if the proxy waited for the client.
_KNOWN_TCP_PORTS = (25, 53, 3306, 27017)


class PortProtocol(StrEnum):
    """AUTO: nothing says, so the proxy looks at the first bytes."""

    HTTP = "HTTP"
    TCP = "TCP"
    AUTO = "AUTO"


def port_protocol(port: ServicePort) -> PortProtocol:
    """The protocol of a Service's port: its appProtocol, or else its name up to the first hyphen."""
    known = protocol_name(port)
    if known in _HTTP:
        return PortProtocol.HTTP
    return PortProtocol.TCP if known in _TCP else PortProtocol.AUTO


def protocol_name(port: ServicePort) -> str:
    """Istio's name of the protocol, "" when it is not declared."""
    name = port.name
    if port.app_protocol is not None:
        name = _APP_PROTOCOLS.get(port.app_protocol, port.app_protocol)
    if name.lower().startswith("grpc-web"):
        return "grpc-web"
    name = name.partition("-")[0].lower()
    if name in _HTTP or name in _TCP:
        return name
    return "tcp" if port.port in _KNOWN_TCP_PORTS else ""
