"""Keys, signing requests and certificates as cert-manager makes and compares them; no cluster here, only cryptography.

Upstream: pkg/util/pki of cert-manager.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from labkit.pocket.api.custom.durations import seconds
from labkit.pocket.components.certmanager import usages

Obj = dict[str, Any]
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

DEFAULT_DURATION = 90 * 24 * 3600.0
MINIMUM_RSA, MAXIMUM_RSA = 2048, 8192
_CURVES: dict[int, type[ec.EllipticCurve]] = {256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}

_SUBJECT = (
    ("countries", NameOID.COUNTRY_NAME),
    ("organizations", NameOID.ORGANIZATION_NAME),
    ("organizationalUnits", NameOID.ORGANIZATIONAL_UNIT_NAME),
    ("localities", NameOID.LOCALITY_NAME),
    ("provinces", NameOID.STATE_OR_PROVINCE_NAME),
    ("streetAddresses", NameOID.STREET_ADDRESS),
    ("postalCodes", NameOID.POSTAL_CODE),
)


class Unreadable(Exception):  # noqa: N818 - a state of somebody's data, with words for them
    """Data that is no key, certificate or request."""


def generate_key(wish: Mapping[str, Any]) -> Key:
    """A new key for `spec.privateKey`."""
    algorithm, size = wish.get("algorithm") or "RSA", wish.get("size") or 0
    if algorithm == "ECDSA":
        return ec.generate_private_key(_CURVES[size or 256]())
    if algorithm == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=size or MINIMUM_RSA)


def encode_key(key: Key, encoding: str = "PKCS1") -> bytes:
    """PEM in PKCS#1 (for elliptic curves: SEC 1) or PKCS#8; Ed25519 knows the latter only."""
    traditional = encoding != "PKCS8" and not isinstance(key, ed25519.Ed25519PrivateKey)
    form = (
        serialization.PrivateFormat.TraditionalOpenSSL if traditional else serialization.PrivateFormat.PKCS8
    )
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def read_key(pem: bytes) -> Key:
    """A key from PEM. Raises Unreadable."""
    if b"-----BEGIN" not in pem:
        raise Unreadable("error decoding private key PEM block")
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise Unreadable(f"error parsing private key: {error}") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise Unreadable("unknown private key type")
    return key


def read_chain(pem: bytes) -> list[x509.Certificate]:
    """The certificates in PEM, in their order; at least one. Raises Unreadable."""
    if b"-----BEGIN" not in pem:
        raise Unreadable("error decoding certificate PEM block")
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise Unreadable(f"error parsing TLS certificate: {error}") from None


def read_request(pem: bytes) -> x509.CertificateSigningRequest:
    """A signing request from PEM. Raises Unreadable."""
    if b"-----BEGIN" not in pem:
        raise Unreadable("error decoding certificate request PEM block")
    try:
        return x509.load_pem_x509_csr(pem)
    except ValueError as error:
        raise Unreadable(str(error)) from None


def public_bytes(key: Any) -> bytes:
    """A public key in a form that can be compared."""
    encoded: bytes = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def key_violations(key: Key, wish: Mapping[str, Any]) -> list[str]:
    """The fields of `spec.privateKey` that a key does not meet."""
    algorithm, size = wish.get("algorithm") or "RSA", wish.get("size") or 0
    found = {rsa.RSAPrivateKey: "RSA", ec.EllipticCurvePrivateKey: "ECDSA"}
    actual = next((name for kind, name in found.items() if isinstance(key, kind)), "Ed25519")
    if actual != algorithm:
        return ["spec.privateKey.algorithm"]
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size != (size or MINIMUM_RSA):
        return ["spec.privateKey.size"]
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size != (size or 256):
        return ["spec.privateKey.size"]
    return []


# Requests


def subject_of(spec: Mapping[str, Any]) -> x509.Name:
    """The distinguished name that a Certificate's spec asks for."""
    if spec.get("literalSubject"):
        return x509.Name.from_rfc4514_string(spec["literalSubject"])
    subject = spec.get("subject") or {}
    parts = [x509.NameAttribute(oid, text) for field, oid in _SUBJECT for text in subject.get(field) or ()]
    if spec.get("commonName"):
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, spec["commonName"]))
    if subject.get("serialNumber"):
        parts.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, subject["serialNumber"]))
    return x509.Name(parts)


def alternative_names(spec: Mapping[str, Any]) -> list[x509.GeneralName]:
    """The subject alternative names that a Certificate's spec asks for."""
    found: list[x509.GeneralName] = [x509.DNSName(name) for name in spec.get("dnsNames") or ()]
    found += [x509.RFC822Name(name) for name in spec.get("emailAddresses") or ()]
    found += [x509.IPAddress(ipaddress.ip_address(text)) for text in spec.get("ipAddresses") or ()]
    found += [x509.UniformResourceIdentifier(uri) for uri in spec.get("uris") or ()]
    return found


def make_request(spec: Mapping[str, Any], key: Key) -> bytes:
    """A signing request in PEM for a Certificate's spec."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject_of(spec))
    names = alternative_names(spec)
    is_ca = bool(spec.get("isCA"))
    if names:
        # Without a subject these names are all there is, and RFC 5280 has them critical.
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not subject_of(spec))
    if spec.get("encodeUsagesInRequest") is not False:
        wanted = usages.wanted(spec.get("usages"), is_ca=is_ca)
        builder = builder.add_extension(usages.key_usage(wanted), critical=True)
        extended = usages.extended_key_usage(wanted)
        if extended is not None:
            builder = builder.add_extension(extended, critical=False)
    if is_ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    signed = builder.sign(key, _digest(key, spec.get("signatureAlgorithm", "")))
    return signed.public_bytes(serialization.Encoding.PEM)


def _digest(key: Any, algorithm: str = "") -> Any:
    """The hash that a key signs with: as asked for, else by the key's strength."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    for bits, digest in (("512", hashes.SHA512), ("384", hashes.SHA384), ("256", hashes.SHA256)):
        if algorithm.replace("WithRSA", "").endswith(bits):
            return digest()
    size = key.key_size if isinstance(key, rsa.RSAPrivateKey) else key.curve.key_size * 8
    if size >= 4096:
        return hashes.SHA512()
    return hashes.SHA384() if size >= 3072 else hashes.SHA256()


def request_violations(request: Obj, spec: Mapping[str, Any]) -> list[str]:
    """The fields of a Certificate's spec that a CertificateRequest (an object) no longer meets.

    Upstream: RequestMatchesSpec. Raises Unreadable.
    """
    asked = request["spec"]
    csr = read_request(base64.b64decode(asked["request"]))
    violations = []
    if csr.subject != subject_of(spec):
        common = [one.value for one in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if (common[0] if common else "") != (spec.get("commonName") or "") and not spec.get("literalSubject"):
            violations.append("spec.commonName")
        else:
            violations.append("spec.literalSubject" if spec.get("literalSubject") else "spec.subject")
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    wanted = alternative_names(spec)
    for kind, field in (
        (x509.DNSName, "spec.dnsNames"),
        (x509.IPAddress, "spec.ipAddresses"),
        (x509.UniformResourceIdentifier, "spec.uris"),
        (x509.RFC822Name, "spec.emailAddresses"),
    ):
        if {n for n in names if isinstance(n, kind)} != {n for n in wanted if isinstance(n, kind)}:
            violations.append(field)
    if bool(asked.get("isCA")) != bool(spec.get("isCA")):
        violations.append("spec.isCA")
    if sorted(asked.get("usages") or ()) != sorted(spec.get("usages") or ()):
        violations.append("spec.usages")
    if (asked.get("duration") or "") != (spec.get("duration") or ""):
        violations.append("spec.duration")
    if _reference(asked["issuerRef"]) != _reference(spec["issuerRef"]):
        violations.append("spec.issuerRef")
    return violations


def _reference(issuer: Mapping[str, Any]) -> tuple[str, str, str]:
    return (
        issuer.get("name", ""),
        issuer.get("kind") or "Issuer",
        issuer.get("group") or "cert-manager.io",
    )


# Certificates


def sign(request: Obj, issuer: x509.Certificate | None, key: Key) -> x509.Certificate:
    """The certificate for a CertificateRequest, signed by `key`; without an issuer it is its own.

    Raises Unreadable.
    """
    asked = request["spec"]
    csr = read_request(base64.b64decode(asked["request"]))
    is_ca = bool(asked.get("isCA"))
    length = seconds(asked.get("duration") or "") or DEFAULT_DURATION
    began = datetime.now(UTC).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(csr.subject)
        .issuer_name(csr.subject if issuer is None else issuer.subject)
        .public_key(csr.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(seconds=length))
    )
    wanted = usages.wanted(asked.get("usages"), is_ca=is_ca)
    builder = builder.add_extension(usages.key_usage(wanted), critical=True)
    extended = usages.extended_key_usage(wanted)
    if extended is not None:
        builder = builder.add_extension(extended, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    if is_ca:
        own = x509.SubjectKeyIdentifier.from_public_key(csr.public_key())
        builder = builder.add_extension(own, critical=False)
    if issuer is not None:
        builder = builder.add_extension(_authority(issuer), critical=False)
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        builder = builder.add_extension(names.value, critical=not csr.subject)
    except x509.ExtensionNotFound:
        pass
    return builder.sign(key, _digest(key))


def _authority(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def bundle(certificate: x509.Certificate, chain: list[x509.Certificate]) -> tuple[bytes, bytes]:
    """(tls.crt, ca.crt) for a certificate signed by the first of `chain`: the leaf and what leads up to the root but
    not the root, and the root (or the topmost that is known). Upstream: ParseSingleCertificateChain."""
    ordered = [certificate]
    left = list(chain)
    while not _is_root(ordered[-1]):
        parent = next((one for one in left if one.subject == ordered[-1].issuer), None)
        if parent is None:
            break
        left.remove(parent)
        ordered.append(parent)
    top = ordered[-1]
    shown = ordered if len(ordered) == 1 or not _is_root(top) else ordered[:-1]
    return b"".join(map(to_pem, shown)), to_pem(top)


def _is_root(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer


def to_pem(certificate: x509.Certificate) -> bytes:
    """A certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether a certificate may sign others."""
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def renewal_time(certificate: x509.Certificate, spec: Mapping[str, Any]) -> datetime:
    """When to renew: a third of its life before its end, or as spec.renewBefore or renewBeforePercentage say."""
    began, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    life = ends - began
    before = life / 3
    if spec.get("renewBefore"):
        asked = timedelta(seconds=seconds(spec["renewBefore"]) or 0)
        before = asked if asked < life else before
    elif spec.get("renewBeforePercentage"):
        before = life * spec["renewBeforePercentage"] / 100
    return (ends - before).replace(microsecond=0)
