"""What cert-manager's webhook would do: note who asks, and refuse what makes no sense, in its words.

Upstream: internal/apis/certmanager/validation.
"""

from __future__ import annotations

import base64
import ipaddress
from typing import Any

from labkit.pocket.api import User, names
from labkit.pocket.api.custom import durations
from labkit.pocket.api.custom.kind import Webhook
from labkit.pocket.api.fields import FieldError, forbidden, invalid, not_supported, required, too_long
from labkit.pocket.components.certmanager import pki
from labkit.pocket.components.certmanager.conditions import (
    CERTIFICATES,
    CLUSTER_ISSUERS,
    ISSUERS,
    REQUESTS,
    Obj,
)

_NAME = "webhook.cert-manager.io"
_CONTROLLER = "system:serviceaccount:cert-manager:cert-manager"
_MINIMUM_DURATION, _MINIMUM_RENEW = 3600.0, 300.0
_ISSUER_TYPES = ("acme", "ca", "selfSigned", "vault", "venafi")
_IDENTITIES = (
    "commonName",
    "literalSubject",
    "dnsNames",
    "uris",
    "emailAddresses",
    "ipAddresses",
    "otherNames",
)
_ALGORITHMS = {
    "RSA": ["SHA256WithRSA", "SHA384WithRSA", "SHA512WithRSA"],
    "ECDSA": ["ECDSAWithSHA256", "ECDSAWithSHA384", "ECDSAWithSHA512"],
    "Ed25519": ["PureEd25519"],
}


def _certificate(obj: Obj, _old: Obj | None) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors: list[FieldError] = []
    if not spec.get("secretName"):
        errors.append(required("spec.secretName", "must be specified"))
    else:
        problems = names.is_dns_subdomain(spec["secretName"])
        errors += [invalid("spec.secretName", spec["secretName"], words) for words in problems]
    errors += _issuer_ref(spec.get("issuerRef") or {})
    if not any(spec.get(field) for field in _IDENTITIES):
        words = (
            "at least one of commonName (from the commonName field or from a literalSubject), dnsNames, emailSANs, "
            "ipAddresses, otherNames, or uriSANs must be set"
        )
        errors.append(invalid("spec", "", words))
    if len(spec.get("commonName") or "") > 64:
        errors.append(too_long("spec.commonName", 64))
    for index, text in enumerate(spec.get("ipAddresses") or ()):
        try:
            ipaddress.ip_address(text)
        except ValueError:
            errors.append(invalid(f"spec.ipAddresses[{index}]", text, "invalid IP address"))
    errors += _private_key(spec) + _lengths(spec)
    if (spec.get("revisionHistoryLimit") or 1) < 1:
        limit = spec["revisionHistoryLimit"]
        errors.append(invalid("spec.revisionHistoryLimit", limit, "must not be less than 1"))
    template = spec.get("secretTemplate") or {}
    for note in template.get("annotations") or {}:
        if note.startswith("cert-manager.io/") and note != "cert-manager.io/allow-direct-injection":
            words = "cert-manager.io/* annotations are not allowed"
            errors.append(invalid("spec.secretTemplate.annotations", note, words))
    return errors + names.label_map(template.get("labels"), "spec.secretTemplate.labels")


def _private_key(spec: Obj) -> list[FieldError]:
    wish = spec.get("privateKey") or {}
    algorithm, size = wish.get("algorithm") or "RSA", wish.get("size") or 0
    errors: list[FieldError] = []
    if algorithm == "RSA" and size and not pki.MINIMUM_RSA <= size <= pki.MAXIMUM_RSA:
        words = f"must be between {pki.MINIMUM_RSA} and {pki.MAXIMUM_RSA} for rsa keyAlgorithm"
        errors.append(invalid("spec.privateKey.size", size, words))
    if algorithm == "ECDSA" and size and size not in (256, 384, 521):
        errors.append(not_supported("spec.privateKey.size", size, ["256", "384", "521"]))
    signature = spec.get("signatureAlgorithm")
    if signature and signature not in _ALGORITHMS[algorithm]:
        allowed = " ".join(_ALGORITHMS[algorithm])
        words = f"for key algorithm {algorithm} the allowed signature algorithms are [{allowed}]"
        errors.append(invalid("spec.signatureAlgorithm", signature, words))
    return errors


def _lengths(spec: Obj) -> list[FieldError]:
    found: dict[str, float | None] = {}
    errors: list[FieldError] = []
    for field in ("duration", "renewBefore"):
        text = spec.get(field)
        found[field] = durations.seconds(text) if text else None
        if text and found[field] is None:
            errors.append(invalid(f"spec.{field}", text, f'time: invalid duration "{text}"'))
    if errors or not (spec.get("duration") or spec.get("renewBefore")):
        return errors
    duration = found["duration"] or pki.DEFAULT_DURATION
    renew, percentage = found["renewBefore"], spec.get("renewBeforePercentage")
    if duration < _MINIMUM_DURATION:
        words = f"certificate duration must be greater than {durations.text(_MINIMUM_DURATION)}"
        errors.append(invalid("spec.duration", durations.text(duration), words))
    if renew is not None:
        shown = durations.text(renew)
        if percentage is not None:
            words = "renewBefore and renewBeforePercentage are mutually exclusive and cannot both be set"
            errors.append(invalid("spec.renewBefore", shown, words))
            errors.append(invalid("spec.renewBeforePercentage", percentage, words))
        if renew < _MINIMUM_RENEW:
            words = f"certificate renewBefore must be greater than {durations.text(_MINIMUM_RENEW)}"
            errors.append(invalid("spec.renewBefore", shown, words))
        if renew >= duration:
            words = (
                f"certificate duration {durations.text(duration)} must be greater than renewBefore {shown}"
            )
            errors.append(invalid("spec.renewBefore", shown, words))
    return errors


def _issuer_ref(reference: Obj) -> list[FieldError]:
    errors: list[FieldError] = []
    if not reference.get("name"):
        errors.append(required("spec.issuerRef.name", "must be specified"))
    group, kind = reference.get("group") or "", reference.get("kind") or ""
    if group in ("", "cert-manager.io") and kind not in ("", "Issuer", "ClusterIssuer"):
        words = "must be one of Issuer or ClusterIssuer"
        if not group:
            words += " (did you forget to set spec.issuerRef.kind.group?)"
        errors.append(invalid("spec.issuerRef.kind", kind, words))
    return errors


def _issuer(obj: Obj, _old: Obj | None) -> list[FieldError]:
    spec = obj.get("spec") or {}
    given = [kind for kind in _ISSUER_TYPES if spec.get(kind) is not None]
    errors = [forbidden(f"spec.{kind}", "may not specify more than one issuer type") for kind in given[1:]]
    if not given:
        errors.append(required("spec", "at least one issuer must be configured"))
    elif given[0] == "ca" and not spec["ca"].get("secretName"):
        errors.append(required("spec.ca.secretName"))
    return errors


def _note_requester(obj: Obj, old: Obj | None, user: User) -> None:
    if old is not None:
        return
    # The cluster's own parts have no name of their own; here it is the controller that asks.
    own = user.name == "system:apiserver"
    spec = obj.setdefault("spec", {})
    spec["username"] = _CONTROLLER if own else user.name
    groups = ["system:serviceaccounts", "system:serviceaccounts:cert-manager", "system:authenticated"]
    spec["groups"] = groups if own else list(user.groups)
    if user.uid:
        spec["uid"] = user.uid


def _request(obj: Obj, old: Obj | None) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors: list[FieldError] = []
    if old is None:
        errors += _issuer_ref(spec.get("issuerRef") or {})
        try:
            pki.read_request(base64.b64decode(spec.get("request") or ""))
        except (pki.Unreadable, ValueError) as error:
            words = f"failed to decode csr: {error}"
            errors.append(invalid("spec.request", spec.get("request"), words))
        return errors + _approval(obj, None)
    notes, before = (_own_notes(one) for one in (obj, old))
    for note in sorted(set(notes) | set(before)):
        if notes.get(note) != before.get(note):
            words = "cannot change cert-manager annotation after creation"
            errors.append(forbidden(f"metadata.annotations.{note}", words))
    errors += _approval(obj, old)
    if spec != old.get("spec"):
        errors.append(forbidden("spec", "cannot change spec after creation"))
    return errors


def _own_notes(obj: Obj) -> dict[str, Any]:
    notes = obj["metadata"].get("annotations") or {}
    return {key: value for key, value in notes.items() if key.startswith("cert-manager.io")}


def _approval(obj: Obj, old: Obj | None) -> list[FieldError]:
    field = "status.conditions"

    def found(one: Obj, kind: str) -> list[Obj]:
        conditions = (one.get("status") or {}).get("conditions") or ()
        return [condition for condition in conditions if condition.get("type") == kind]

    errors: list[FieldError] = []
    for kind in ("Approved", "Denied"):
        if old is not None and found(old, kind) and found(old, kind) != found(obj, kind):
            errors.append(forbidden(field, f"'{kind}' condition may not be modified once set"))
        for condition in found(obj, kind):
            if condition.get("status") != "True":
                words = f'"{kind}" condition may only be set to True'
                errors.append(invalid(f"{field}.{kind}", condition.get("status"), words))
    if found(obj, "Approved") and found(obj, "Denied"):
        errors.append(forbidden(field, "both 'Denied' and 'Approved' conditions cannot coexist"))
    return errors


WEBHOOKS = {
    CERTIFICATES: Webhook(_NAME, validate=_certificate),
    REQUESTS: Webhook(_NAME, mutate=_note_requester, validate=_request),
    ISSUERS: Webhook(_NAME, validate=_issuer),
    CLUSTER_ISSUERS: Webhook(_NAME, validate=_issuer),
}
