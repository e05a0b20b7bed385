"""The CertificateRequest of an issuance that is under way. Upstream: pkg/controller/certificates/requestmanager."""

from __future__ import annotations

import base64
import logging

from labkit.pocket.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.components.certmanager import pki
from labkit.pocket.components.certmanager.belongings import REVISION, request_of, tell
from labkit.pocket.components.certmanager.conditions import REQUESTS, Obj, condition, data_of, parsed
from labkit.pocket.controllers.ownership import controller_reference

log = logging.getLogger(__name__)


def next_request(api: Api, certificate: Obj, key: pki.Key) -> Obj | None:
    """The request of the issuance that is under way; made when there is none that fits."""
    metadata, status = certificate["metadata"], certificate.get("status") or {}
    revision = status.get("revision", 0) + 1
    request = request_of(api, certificate, revision)
    if request is not None:
        if not _is_stale(request, certificate, key):
            return request
        api.delete(REQUESTS, request["metadata"]["name"], metadata["namespace"])
    spec = certificate["spec"]
    try:
        pem = pki.make_request(spec, key)
    except (ValueError, TypeError) as error:
        # Upstream only logs that ("will not retry"); a learner reads events.
        log.warning("no request can be made of certificate %s: %s", metadata["name"], error)
        words = f"Failed to generate CSR - will not retry: {error}"
        tell(api, certificate, "RequestFailed", words, "request-manager", "Warning")
        return None
    asked: Obj = {
        "issuerRef": spec["issuerRef"],
        "request": base64.b64encode(pem).decode(),
        **{field: spec[field] for field in ("duration", "isCA", "usages") if spec.get(field)},
    }
    notes = {
        note: text
        for note, text in (metadata.get("annotations") or {}).items()
        if not note.startswith(("kubectl.kubernetes.io/", "fluxcd.io/", "argocd.argoproj.io/"))
    }
    notes |= {
        "cert-manager.io/certificate-name": metadata["name"],
        REVISION: str(revision),
        "cert-manager.io/private-key-secret-name": status["nextPrivateKeySecretName"],
    }
    meta: Obj = {
        "name": f"{metadata['name'][:52].rstrip('.-')}-{revision}",
        "annotations": notes,
        "labels": metadata.get("labels") or {},
        "ownerReferences": [controller_reference(certificate)],
    }
    try:
        made = api.create(REQUESTS, {"metadata": meta, "spec": asked}, metadata["namespace"])
    except ApiError as error:
        words = f"Failed to create CertificateRequest: {error.message}"
        tell(api, certificate, "RequestFailed", words, "request-manager", "Warning")
        raise
    words = f'Created new CertificateRequest resource "{made["metadata"]["name"]}"'
    tell(api, certificate, "Requested", words, "request-manager")
    return made


def _is_stale(request: Obj, certificate: Obj, key: pki.Key) -> bool:
    """Whether a request is of an earlier attempt, or asks for something else than is wanted now."""
    try:
        asked = pki.read_request(data_of({"data": request["spec"]}, "request"))
        if pki.request_violations(request, certificate["spec"]):
            return True
    except pki.Unreadable:
        return True
    if pki.public_bytes(asked.public_key()) != pki.public_bytes(key.public_key()):
        return True
    issuing, failed = condition(certificate, "Issuing"), (request.get("status") or {}).get("failureTime")
    return bool(failed and issuing and parsed(failed) < parsed(issuing["lastTransitionTime"]))
