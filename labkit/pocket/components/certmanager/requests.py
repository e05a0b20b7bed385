"""CertificateRequest: approved by cert-manager itself, then signed by the issuer it names.

Upstream: pkg/controller/certificaterequests (approver, ca, selfsigned, sync).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

from labkit.pocket.api import Api
from labkit.pocket.api.objects import now
from labkit.pocket.components.certmanager import pki
from labkit.pocket.components.certmanager.conditions import (
    CLUSTER_ISSUERS,
    ISSUERS,
    REQUESTS,
    Obj,
    condition,
    data_of,
    is_ours,
    is_true,
    issuer_of,
    put_condition,
    secrets_namespace,
)
from labkit.pocket.components.certmanager.issuers import NoSecret, signing_pair
from labkit.pocket.controllers.reconcile import Key, Reconciler, Seen, itself

PRIVATE_KEY = "cert-manager.io/private-key-secret-name"
APPROVAL = "Certificate request has been approved by cert-manager.io"
ISSUED = "Certificate fetched from issuer successfully"


async def run(api: Api) -> None:
    """Work until cancelled."""
    reconciler = Reconciler(api, "cert-manager request", lambda key: reconcile(api, key))
    reconciler.watch(REQUESTS, itself)
    for resource in (ISSUERS, CLUSTER_ISSUERS, "secrets"):
        reconciler.watch(resource, lambda seen: _waiting(api, seen))
    await reconciler.run()


def _waiting(api: Api, seen: Seen) -> Iterable[Key]:
    """Requests that are not settled look again when an issuer or a Secret has changed."""
    namespace = seen.object["metadata"].get("namespace")
    return [
        (request["metadata"]["namespace"], request["metadata"]["name"])
        for request in api.list(REQUESTS, None if namespace in (None, "cert-manager") else namespace)
        if not is_settled(request)
    ]


def is_settled(request: Obj) -> bool:
    """Whether nothing more will happen to it."""
    ready = condition(request, "Ready")
    return ready is not None and ready["reason"] in ("Issued", "Failed", "Denied")


def reconcile(api: Api, key: Key) -> float | None:
    """Take one request as far as it goes now."""
    namespace, name = key
    request = api.find(REQUESTS, name, namespace)
    if request is None or request["metadata"].get("deletionTimestamp") or is_settled(request):
        return None
    if not is_ours(request["spec"]["issuerRef"]):
        return None
    if is_true(request, "Denied"):
        _report(api, request, "Denied", "", "The CertificateRequest was denied by an approval controller")
        return None
    if not is_true(request, "Approved"):
        _approve(api, request)
        return None
    _sign(api, request)
    return None


def _approve(api: Api, request: Obj) -> None:
    def change(copy: Obj) -> Obj:
        put_condition(copy, "Approved", "True", "cert-manager.io", APPROVAL, observed=False)
        return copy

    metadata = request["metadata"]
    written = api.modify(REQUESTS, metadata["name"], metadata["namespace"], change, subresource="status")
    approver = "cert-manager-certificaterequests-approver"
    api.record_event(written, "Normal", "cert-manager.io", APPROVAL, approver)


def _sign(api: Api, request: Obj) -> None:
    reference, namespace = request["spec"]["issuerRef"], request["metadata"]["namespace"]
    kind = reference.get("kind") or "Issuer"
    issuer = issuer_of(api, reference, namespace)
    if issuer is None:
        words = (
            f'Referenced "{kind}" not found: {kind.lower()}.cert-manager.io "{reference["name"]}" not found'
        )
        _report(api, request, "Pending", "IssuerNotFound", words)
        return
    if not is_true(issuer, "Ready"):
        words = "Referenced issuer does not have a Ready status condition"
        _report(api, request, "Pending", "IssuerNotReady", words)
        return
    try:
        if "ca" in issuer["spec"]:
            certificate, root = _by_ca(api, request, issuer)
        else:
            certificate, root = _by_itself(api, request)
    except _Stop as stop:
        _report(api, request, stop.state, stop.reason, str(stop))
        return

    def change(copy: Obj) -> Obj:
        put_condition(copy, "Ready", "True", "Issued", ISSUED, observed=False)
        copy["status"]["certificate"] = base64.b64encode(certificate).decode()
        copy["status"]["ca"] = base64.b64encode(root).decode()
        return copy

    written = api.modify(REQUESTS, request["metadata"]["name"], namespace, change, subresource="status")
    api.record_event(written, "Normal", "CertificateIssued", ISSUED, _component(issuer))


def _component(issuer: Obj | None) -> str:
    kind = "ca" if issuer is not None and "ca" in issuer["spec"] else "selfsigned"
    return f"cert-manager-certificaterequests-issuer-{kind}"


class _Stop(Exception):  # noqa: N818 - how a request fares
    """It cannot be signed, for now (Pending) or for good (Failed)."""

    def __init__(self, state: str, reason: str, words: str) -> None:
        super().__init__(words)
        self.state, self.reason = state, reason


def _by_ca(api: Api, request: Obj, issuer: Obj) -> tuple[bytes, bytes]:
    place = f"{secrets_namespace(issuer)}/{issuer['spec']['ca']['secretName']}"
    try:
        chain, key = signing_pair(api, issuer)
    except NoSecret as error:
        raise _Stop("Pending", "SecretMissing", f"Referenced secret {place} not found: {error}") from None
    except pki.Unreadable as error:
        words = f"Failed to parse signing CA keypair from secret {place}: {error}"
        raise _Stop("Pending", "SecretInvalidData", words) from None
    try:
        return pki.bundle(pki.sign(request, chain[0], key), chain)
    except (pki.Unreadable, ValueError) as error:
        raise _Stop("Failed", "SigningError", f"Error signing certificate: {error}") from None


def _by_itself(api: Api, request: Obj) -> tuple[bytes, bytes]:
    metadata = request["metadata"]
    name = (metadata.get("annotations") or {}).get(PRIVATE_KEY, "")
    if not name:
        words = f'Annotation "{PRIVATE_KEY}" missing or reference empty: secret name missing'
        raise _Stop("Failed", "MissingAnnotation", words)
    secret = api.find("secrets", name, metadata["namespace"])
    if secret is None:
        words = f'Referenced secret {metadata["namespace"]}/{name} not found: secret "{name}" not found'
        raise _Stop("Pending", "MissingSecret", words)
    try:
        key = pki.read_key(data_of(secret, "tls.key"))
    except pki.Unreadable as error:
        words = f'Failed to get key "{name}" referenced in annotation "{PRIVATE_KEY}": {error}'
        raise _Stop("Pending", "ErrorParsingKey", words) from None
    try:
        csr = pki.read_request(base64.b64decode(request["spec"]["request"]))
        if pki.public_bytes(csr.public_key()) != pki.public_bytes(key.public_key()):
            words = "Referenced private key in Secret does not match that in the request"
            raise _Stop("Failed", "ErrorKeyMatch", f"{words}: CSR not signed by referenced private key")
        certificate = pki.to_pem(pki.sign(request, None, key))
    except (pki.Unreadable, ValueError) as error:
        raise _Stop("Failed", "ErrorSigning", f"Error signing certificate: {error}") from None
    return certificate, certificate


def _report(api: Api, request: Obj, state: str, reason: str, message: str) -> None:
    """Write how a request fares into its Ready condition, and tell it as an event when it is news."""
    metadata = request["metadata"]
    before = condition(request, "Ready")
    if before is not None and (before["reason"], before.get("message")) == (state, message):
        return

    def change(copy: Obj) -> Obj:
        put_condition(copy, "Ready", "False", state, message, observed=False)
        if state in ("Failed", "Denied"):
            copy["status"].setdefault("failureTime", now())
        return copy

    written = api.modify(REQUESTS, metadata["name"], metadata["namespace"], change, subresource="status")
    if reason:
        issuer = issuer_of(api, request["spec"]["issuerRef"], metadata["namespace"])
        kind = "Warning" if state == "Failed" else "Normal"
        api.record_event(written, kind, reason, message, _component(issuer))
