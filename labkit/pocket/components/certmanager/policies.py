"""Why a certificate has to be issued, and why it is not ready: upstream's chains of checks, in their order.

Upstream: internal/controller/certificates/policies. Each check gives (reason, message), or None when it is content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from labkit.pocket.components.certmanager import pki
from labkit.pocket.components.certmanager.conditions import Obj, data_of, moment

Reason = tuple[str, str]
PREFIX = "cert-manager.io/"


@dataclass(frozen=True)
class Input:
    """What the checks look at: the Certificate, its Secret, the request that led to the Secret, and the time."""

    certificate: Obj
    secret: Obj | None
    request: Obj | None
    now: datetime

    @property
    def wish(self) -> Obj:
        """spec.privateKey."""
        found: Obj = self.certificate["spec"].get("privateKey") or {}
        return found

    def leaf(self) -> x509.Certificate:
        """The certificate in the Secret. Raises Unreadable."""
        return pki.read_chain(data_of(self.secret or {}, "tls.crt"))[0]

    def key(self) -> pki.Key:
        """The key in the Secret. Raises Unreadable."""
        return pki.read_key(data_of(self.secret or {}, "tls.key"))


Check = Callable[[Input], Reason | None]


def _go_list(words: Sequence[str]) -> str:
    return "[" + " ".join(words) + "]"


def _exists(given: Input) -> Reason | None:
    if given.secret is None:
        return "DoesNotExist", "Issuing certificate as Secret does not exist"
    return None


def _has_data(given: Input) -> Reason | None:
    assert given.secret is not None
    if not given.secret.get("data"):
        return "MissingData", "Issuing certificate as Secret does not contain any data"
    if not data_of(given.secret, "tls.key"):
        return "MissingData", "Issuing certificate as Secret does not contain a private key"
    if not data_of(given.secret, "tls.crt"):
        return "MissingData", "Issuing certificate as Secret does not contain a certificate"
    return None


def _pair_matches(given: Input) -> Reason | None:
    try:
        key = given.key()
    except pki.Unreadable as error:
        return "InvalidKeyPair", f"Issuing certificate as Secret contains invalid private key data: {error}"
    try:
        leaf = given.leaf()
    except pki.Unreadable as error:
        return "InvalidCertificate", f"Issuing certificate as Secret contains an invalid certificate: {error}"
    if pki.public_bytes(leaf.public_key()) != pki.public_bytes(key.public_key()):
        words = "Issuing certificate as Secret contains a private key that does not match the certificate"
        return "InvalidKeyPair", words
    return None


def _key_fits(given: Input) -> Reason | None:
    violations = pki.key_violations(given.key(), given.wish)
    if violations:
        return "SecretMismatch", f"Existing private key is not up to date for spec: {_go_list(violations)}"
    return None


def _issuer_is_the_same(given: Input) -> Reason | None:
    assert given.secret is not None
    notes = given.secret["metadata"].get("annotations") or {}
    if not any(f"{PREFIX}issuer-{part}" in notes for part in ("name", "kind", "group")):
        return None
    reference = given.certificate["spec"]["issuerRef"]
    was = (
        notes.get(f"{PREFIX}issuer-name", ""),
        notes.get(f"{PREFIX}issuer-kind") or "Issuer",
        notes.get(f"{PREFIX}issuer-group") or "cert-manager.io",
    )
    wanted = (
        reference.get("name", ""),
        reference.get("kind") or "Issuer",
        reference.get("group") or "cert-manager.io",
    )
    if was == wanted:
        return None
    shown = f"{was[1]}.{was[2]}/{was[0]}"
    return "IncorrectIssuer", f'Issuing certificate as Secret was previously issued by "{shown}"'


def _name_is_the_same(given: Input) -> Reason | None:
    assert given.secret is not None
    was = (given.secret["metadata"].get("annotations") or {}).get(f"{PREFIX}certificate-name")
    if was is None or was == given.certificate["metadata"]["name"]:
        return None
    words = (
        f'Secret was issued for "{was}". If this message is not transient, you might have two conflicting '
        "Certificates pointing to the same secret."
    )
    return "IncorrectCertificate", words


def _key_is_the_requests(given: Input) -> Reason | None:
    if given.request is None:
        return None
    try:
        asked = pki.read_request(data_of({"data": given.request["spec"]}, "request"))
    except pki.Unreadable as error:
        return "InvalidCertificateRequest", f"Failed to decode current CertificateRequest: {error}"
    if pki.public_bytes(asked.public_key()) != pki.public_bytes(given.key().public_key()):
        words = "Secret contains a private key that does not match the current CertificateRequest"
        return "SecretMismatch", words
    return None


def _request_fits(given: Input) -> Reason | None:
    spec = given.certificate["spec"]
    if given.request is None:
        violations = _names_missing(given.leaf(), spec)
        words = "Issuing certificate as Existing issued Secret is not up to date for spec"
        return ("SecretMismatch", f"{words}: {_go_list(violations)}") if violations else None
    try:
        violations = pki.request_violations(given.request, spec)
    except pki.Unreadable:
        return None
    if violations:
        words = "Fields on existing CertificateRequest resource not up to date"
        return "RequestChanged", f"{words}: {_go_list(violations)}"
    return None


def _names_missing(leaf: x509.Certificate, spec: Obj) -> list[str]:
    """The fields whose names a certificate lacks."""
    try:
        names = list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    fields = {
        x509.DNSName: "spec.dnsNames",
        x509.IPAddress: "spec.ipAddresses",
        x509.UniformResourceIdentifier: "spec.uris",
        x509.RFC822Name: "spec.emailAddresses",
    }
    missing = [fields[type(name)] for name in pki.alternative_names(spec) if name not in names]
    return list(dict.fromkeys(missing))


def _is_fresh(given: Input) -> Reason | None:
    renewal = pki.renewal_time(given.leaf(), given.certificate["spec"])
    if renewal > given.now:
        return None
    scheduled = (given.certificate.get("status") or {}).get("renewalTime") or moment(renewal)
    shown = datetime.fromisoformat(scheduled.replace("Z", "+00:00")).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
    return "Renewing", f"Renewing certificate as renewal was scheduled at {shown}"


def _has_not_expired(given: Input) -> Reason | None:
    ends = given.leaf().not_valid_after_utc
    if given.now > ends:
        return "Expired", f"Certificate expired on {ends.strftime('%a, %d %b %Y %H:%M:%S UTC')}"
    return None


_TRIGGER: tuple[Check, ...] = (
    _exists,
    _has_data,
    _pair_matches,
    _key_fits,
    _issuer_is_the_same,
    _name_is_the_same,
    _key_is_the_requests,
    _request_fits,
    _is_fresh,
)
_READINESS: tuple[Check, ...] = (
    _exists,
    _has_data,
    _pair_matches,
    _issuer_is_the_same,
    _name_is_the_same,
    _key_is_the_requests,
    _request_fits,
    _has_not_expired,
)


def _first(checks: Sequence[Check], given: Input) -> Reason | None:
    for check in checks:
        found = check(given)
        if found is not None:
            return found
    return None


def why_issue(certificate: Obj, secret: Obj | None, request: Obj | None) -> Reason | None:
    """Why it must be issued (anew), or None."""
    return _first(_TRIGGER, Input(certificate, secret, request, datetime.now(UTC)))


def why_not_ready(certificate: Obj, secret: Obj | None, request: Obj | None) -> Reason | None:
    """Why what is in the Secret is not good, or None."""
    return _first(_READINESS, Input(certificate, secret, request, datetime.now(UTC)))
