"""Certificate: triggered, given a key, requested, issued into its Secret, and renewed in time.

Upstream has a controller for each of these (pkg/controller/certificates/{trigger,keymanager,requestmanager,issuing,
readiness,revisionmanager}); here they are steps of one, and each step that writes is followed by another look.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import UTC, datetime

from labkit.pocket.api import Api
from labkit.pocket.api.objects import now
from labkit.pocket.components.certmanager import pki, policies, secretdata
from labkit.pocket.components.certmanager.belongings import (
    NEXT_KEY,
    request_of,
    requests_of,
    revision_of,
    secret_of,
    tell,
    write_status,
)
from labkit.pocket.components.certmanager.conditions import (
    CERTIFICATES,
    REQUESTS,
    Obj,
    condition,
    data_of,
    drop_condition,
    is_true,
    moment,
    parsed,
    put_condition,
)
from labkit.pocket.components.certmanager.nextkeys import NextKeys
from labkit.pocket.components.certmanager.nextrequests import next_request
from labkit.pocket.controllers.ownership import controller_of, is_controlled_by
from labkit.pocket.controllers.reconcile import Key, Reconciler, Seen, itself

READY = "Certificate is up to date and has not expired"
_FIRST_BACKOFF, _LAST_BACKOFF = 3600.0, 32 * 3600.0  # seconds, after failed issuances


async def run(api: Api) -> None:
    """Work until cancelled."""
    await Certificates(api).run()


class Certificates:
    """The controller; keys are generated in a thread, since a large one takes seconds."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._reconciler = Reconciler(api, "cert-manager certificate", self._reconcile)
        self._keys = NextKeys(api, self._reconciler.queue)

    async def run(self) -> None:
        """Work until cancelled."""
        self._reconciler.watch(CERTIFICATES, itself)
        self._reconciler.watch(REQUESTS, _of_owned)
        self._reconciler.watch("secrets", self._of_secret)
        await self._reconciler.run()

    def _of_secret(self, seen: Seen) -> Iterable[Key]:
        metadata = seen.object["metadata"]
        named = [
            (metadata["namespace"], certificate["metadata"]["name"])
            for certificate in self._api.list(CERTIFICATES, metadata["namespace"])
            if certificate["spec"]["secretName"] == metadata["name"]
        ]
        return [*named, *_of_owned(seen)]

    def _reconcile(self, key: Key) -> float | None:
        namespace, name = key
        certificate = self._api.find(CERTIFICATES, name, namespace)
        if certificate is None or certificate["metadata"].get("deletionTimestamp"):
            return None
        again = self._trigger(certificate)
        certificate = self._api.get(CERTIFICATES, name, namespace)
        self._readiness(certificate)
        if is_true(certificate, "Issuing"):
            self._issue(self._api.get(CERTIFICATES, name, namespace))
            return again
        self._tidy(self._api.get(CERTIFICATES, name, namespace))
        return again

    def _given(self, certificate: Obj) -> tuple[Obj, Obj | None, Obj | None]:
        revision = (certificate.get("status") or {}).get("revision", 0)
        secret = secret_of(self._api, certificate)
        return certificate, secret, request_of(self._api, certificate, revision)

    # Steps

    def _trigger(self, certificate: Obj) -> float | None:
        """Begin an issuance if there is a reason; gives the seconds until there may be one."""
        if is_true(certificate, "Issuing"):
            return None
        status = certificate.get("status") or {}
        wait = self._backoff(certificate, status)
        if wait > 0:
            return wait
        reason = policies.why_issue(*self._given(certificate))
        if reason is None:
            renewal = status.get("renewalTime")
            if not renewal:
                return None
            return max(0.1, (parsed(renewal) - datetime.now(UTC)).total_seconds())

        def change(copy: Obj) -> Obj:
            put_condition(copy, "Issuing", "True", *reason)
            return copy

        written = write_status(self._api, certificate, change)
        tell(self._api, written, "Issuing", reason[1], "trigger")
        return None

    def _backoff(self, certificate: Obj, status: Obj) -> float:
        """The seconds that a failed issuance still has to rest; none when something was changed since."""
        failed = status.get("lastFailureTime")
        if not failed:
            return 0
        request = request_of(self._api, certificate, status.get("revision", 0) + 1)
        if request is not None:
            try:
                if pki.request_violations(request, certificate["spec"]):
                    return 0
            except pki.Unreadable:
                return 0
        attempts = status.get("failedIssuanceAttempts", 1)
        rest: float = min(_FIRST_BACKOFF * 2.0 ** (attempts - 1), _LAST_BACKOFF)
        return rest - (datetime.now(UTC) - parsed(failed)).total_seconds()

    def _readiness(self, certificate: Obj) -> None:
        certificate, secret, request = self._given(certificate)
        reason = policies.why_not_ready(certificate, secret, request)
        times: Obj = {}
        if secret is not None:
            try:
                leaf = pki.read_chain(data_of(secret, "tls.crt"))[0]
                times = {
                    "notBefore": moment(leaf.not_valid_before_utc),
                    "notAfter": moment(leaf.not_valid_after_utc),
                    "renewalTime": moment(pki.renewal_time(leaf, certificate["spec"])),
                }
            except pki.Unreadable:
                pass

        def change(copy: Obj) -> Obj:
            if reason is None:
                put_condition(copy, "Ready", "True", "Ready", READY)
            else:
                put_condition(copy, "Ready", "False", *reason)
            status = copy["status"]
            for field in ("notBefore", "notAfter", "renewalTime"):
                status.pop(field, None)
            status.update(times)
            return copy

        write_status(self._api, certificate, change)

    def _issue(self, certificate: Obj) -> None:
        key = self._keys.next(certificate)
        if key is None:
            return
        certificate = self._api.get(
            CERTIFICATES, certificate["metadata"]["name"], certificate["metadata"]["namespace"]
        )
        request = next_request(self._api, certificate, key)
        ready = None if request is None else condition(request, "Ready")
        if request is None or ready is None:
            return
        if ready["reason"] in ("Failed", "Denied"):
            self._fail(certificate, ready)
        elif ready["reason"] == "Issued":
            self._finish(certificate, request, key)

    def _fail(self, certificate: Obj, ready: Obj) -> None:
        words = (
            f"The certificate request has failed to complete and will be retried: {ready.get('message', '')}"
        )

        def change(copy: Obj) -> Obj:
            put_condition(copy, "Issuing", "False", ready["reason"], words)
            status = copy["status"]
            status["lastFailureTime"] = now()
            status["failedIssuanceAttempts"] = status.get("failedIssuanceAttempts", 0) + 1
            return copy

        written = write_status(self._api, certificate, change)
        tell(self._api, written, ready["reason"], words, "issuing", "Warning")

    def _finish(self, certificate: Obj, request: Obj, key: pki.Key) -> None:
        status = request["status"]
        chain, root = base64.b64decode(status["certificate"]), base64.b64decode(status.get("ca", ""))
        secretdata.write(self._api, certificate, chain, root, key)

        def change(copy: Obj) -> Obj:
            drop_condition(copy, "Issuing")
            status = copy["status"]
            status["revision"] = status.get("revision", 0) + 1
            for field in ("lastFailureTime", "failedIssuanceAttempts", "nextPrivateKeySecretName"):
                status.pop(field, None)
            return copy

        written = write_status(self._api, certificate, change)
        tell(self._api, written, "Issuing", "The certificate has been successfully issued", "issuing")

    def _tidy(self, certificate: Obj) -> None:
        """Nothing is under way: temporary keys go, and requests that are older than the history wanted."""
        metadata, status = certificate["metadata"], certificate.get("status") or {}
        for secret in self._api.list("secrets", metadata["namespace"], label_selector=f"{NEXT_KEY}=true"):
            if is_controlled_by(secret, certificate):
                self._api.delete("secrets", secret["metadata"]["name"], metadata["namespace"])
        if status.get("nextPrivateKeySecretName"):

            def change(copy: Obj) -> Obj:
                copy["status"].pop("nextPrivateKeySecretName", None)
                return copy

            write_status(self._api, certificate, change)
        self._keys.forget(certificate)
        limit = certificate["spec"].get("revisionHistoryLimit") or 1
        if not is_true(certificate, "Ready"):
            return
        old = sorted(requests_of(self._api, certificate), key=revision_of)[:-limit]
        for request in old:
            self._api.delete(REQUESTS, request["metadata"]["name"], metadata["namespace"])


def _of_owned(seen: Seen) -> Iterable[Key]:
    """The Certificate that owns what has changed."""
    owner = controller_of(seen.object)
    if owner is None or owner["kind"] != "Certificate":
        return ()
    return ((seen.object["metadata"]["namespace"], owner["name"]),)
