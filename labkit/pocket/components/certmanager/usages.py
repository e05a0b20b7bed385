"""Key usages by the names that cert-manager gives them, and what they are in X.509 (RFC 5280, 4.2.1.3 and 4.2.1.12)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

DEFAULT = ("digital signature", "key encipherment")

# Names of cryptography's x509.KeyUsage fields; "signing" is the same bit as "digital signature".
_KEY = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": ObjectIdentifier("2.16.840.1.113730.4.1"),
}
NAMES = (*_KEY, *_EXTENDED)
_FIELDS = tuple(dict.fromkeys(_KEY.values()))


def wanted(usages: Sequence[str] | None, *, is_ca: bool) -> tuple[str, ...]:
    """What a request means: the defaults where it says nothing, and `cert sign` for a CA."""
    found = tuple(usages or DEFAULT)
    return (*found, "cert sign") if is_ca and "cert sign" not in found else found


def key_usage(usages: Iterable[str]) -> x509.KeyUsage:
    """The KeyUsage extension of some usages."""
    on = {_KEY[name] for name in usages if name in _KEY}
    if on & {"encipher_only", "decipher_only"}:
        on.add("key_agreement")  # these two mean nothing without it
    return x509.KeyUsage(**{field: field in on for field in _FIELDS})


def extended_key_usage(usages: Iterable[str]) -> x509.ExtendedKeyUsage | None:
    """The ExtendedKeyUsage extension, or None when none of the usages is such."""
    found = list(dict.fromkeys(_EXTENDED[name] for name in usages if name in _EXTENDED))
    return x509.ExtendedKeyUsage(found) if found else None
