"""What belongs to a Certificate: its Secret, its requests, its status, its events."""

from __future__ import annotations

from collections.abc import Callable

from labkit.pocket.api import Api
from labkit.pocket.components.certmanager.conditions import CERTIFICATES, REQUESTS, Obj
from labkit.pocket.controllers.ownership import is_controlled_by

REVISION = "cert-manager.io/certificate-revision"
NEXT_KEY = "cert-manager.io/next-private-key"


def secret_of(api: Api, certificate: Obj) -> Obj | None:
    """The Secret that it is issued into."""
    return api.find("secrets", certificate["spec"]["secretName"], certificate["metadata"]["namespace"])


def requests_of(api: Api, certificate: Obj) -> list[Obj]:
    """Its CertificateRequests."""
    found = api.list(REQUESTS, certificate["metadata"]["namespace"])
    return [request for request in found if is_controlled_by(request, certificate)]


def request_of(api: Api, certificate: Obj, revision: int) -> Obj | None:
    """Its CertificateRequest of one revision."""
    for request in requests_of(api, certificate):
        if (request["metadata"].get("annotations") or {}).get(REVISION) == str(revision):
            return request
    return None


def revision_of(request: Obj) -> int:
    """The revision that a CertificateRequest is of."""
    text = (request["metadata"].get("annotations") or {}).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def write_status(api: Api, certificate: Obj, change: Callable[[Obj], Obj]) -> Obj:
    """Change its status."""
    metadata = certificate["metadata"]
    return api.modify(CERTIFICATES, metadata["name"], metadata["namespace"], change, subresource="status")


def tell(api: Api, certificate: Obj, reason: str, message: str, who: str, kind: str = "Normal") -> None:
    """Record an event about it; `who` is the controller that would on a real cluster."""
    api.record_event(certificate, kind, reason, message, f"cert-manager-certificates-{who}")
