"""What the server's proxy knows of one request when the authorization filters look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.policy.model import Address

from .compiled import OF_THE_PEER, Subject

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Attributes:
    """Facts for conditions; None is a fact that is not there.

    peer: the SPIFFE identity of the client's certificate. source_ip: of the connection; remote_ip: what
    X-Forwarded-For makes of it. path: without query. headers: by lower-case name, as the filter sees them (a
    token that is not forwarded is gone). claims: the payload of the accepted token.
    """

    peer: str | None = None
    source_ip: Address | None = None
    remote_ip: Address | None = None
    destination_ip: Address | None = None
    port: int = 0
    server_name: str = ""
    host: str | None = None
    method: str | None = None
    path: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    claims: Claims | None = None

    def value(self, subject: Subject, name: tuple[str, ...] = ()) -> Any:
        """The fact that a condition is about, in a form that can be a dictionary's key."""
        if subject in OF_THE_PEER:
            return self.peer
        if subject is Subject.HEADER:
            return self.header(name[0] if name else "")
        if subject is Subject.CLAIM:
            return claim(self.claims, name)
        if subject is Subject.REQUEST_PRINCIPAL:
            return principal_of(self.claims)
        return getattr(self, _FIELDS[subject], None) if subject in _FIELDS else None

    def header(self, name: str) -> str | None:
        """A header, or one of HTTP's own: :method, :path, :authority."""
        if name.startswith(":"):
            return {":method": self.method, ":path": self.headers.get(":path"), ":authority": self.host}.get(
                name
            )
        return self.host if name == "host" else self.headers.get(name)


_FIELDS = {
    Subject.SOURCE_IP: "source_ip",
    Subject.REMOTE_IP: "remote_ip",
    Subject.DESTINATION_IP: "destination_ip",
    Subject.PORT: "port",
    Subject.SNI: "server_name",
    Subject.HOST: "host",
    Subject.METHOD: "method",
    Subject.PATH: "path",
}


def claim(claims: Claims | None, name: tuple[str, ...]) -> str | tuple[str, ...] | None:
    """A claim as matchers take it: a text, or the texts of a list; anything else can match nothing."""
    value: Any = claims
    for key in name:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(item for item in value if isinstance(item, str))
    return None


def principal_of(claims: Claims | None) -> tuple[str | None, str | None] | None:
    """Issuer and subject of a token."""
    if claims is None:
        return None
    issuer, subject = claims.get("iss"), claims.get("sub")
    return (issuer if isinstance(issuer, str) else None, subject if isinstance(subject, str) else None)
