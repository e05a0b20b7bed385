"""What an HTTP client asks for: the part of a Flow that proxies read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request, as it leaves the client.

    path: with its query. host: what the client writes into `Host` ("" for what curl would write, the name or address
    and port it was given). headers: pairs in their order; a name may come twice. scheme: "https" when the application
    itself speaks TLS, which no sidecar reads.
    """

    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: Headers = ()
    scheme: str = "http"

    @classmethod
    def of(
        cls,
        method: str = "GET",
        path: str = "/",
        *,
        host: str = "",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        token: str = "",
        scheme: str = "http",
    ) -> HttpRequest:
        """A request; `token` goes into `Authorization: Bearer`."""
        pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)
        if token:
            pairs = (*pairs, ("authorization", f"Bearer {token}"))
        return cls(method, path, host, pairs, scheme)

    @classmethod
    def from_object(cls, data: Mapping[str, Any]) -> HttpRequest:
        """A request from plain data with the fields of `of`."""
        return cls.of(**{str(key): value for key, value in data.items()})

    def header(self, name: str) -> str | None:
        """A header's value as a proxy compares it: several of one name are joined with a comma."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return ",".join(found) if found else None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"
