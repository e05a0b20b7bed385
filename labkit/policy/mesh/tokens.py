"""JSON Web Tokens as Envoy's jwt_authn reads them: parsing with its messages, and whose key signed them.

Whether a signature is good is asked of a Verifier, so that cryptography stays outside the engine. The one given here
knows RSA with PKCS #1 v1.5 (RS256, RS384, RS512), which needs no more than integers and a hash.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

Verifier = Callable[[str, str], "Signature"]

_ALGORITHMS = (
    *("ES256", "ES384", "ES512", "HS256", "HS384", "HS512"),
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"),
)
_BASE64URL = re.compile("[A-Za-z0-9_-]*")
# The DER of AlgorithmIdentifier and DigestInfo before the digest: RFC 8017, 9.2.
_DIGEST_INFO = {
    "RS256": (hashlib.sha256, bytes.fromhex("3031300d060960864801650304020105000420")),
    "RS384": (hashlib.sha384, bytes.fromhex("3041300d060960864801650304020205000430")),
    "RS512": (hashlib.sha512, bytes.fromhex("3051300d060960864801650304020305000440")),
}
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "HS": "oct", "Ed": "OKP"}


class Signature(StrEnum):
    """What a verifier finds: UNKNOWN when it cannot say, which leaves the decision open."""

    VALID = "valid"
    INVALID = "invalid"
    NO_KEY = "no key"
    UNKNOWN = "unknown"


class TokenError(ValueError):
    """A text that is no token; the message is Envoy's."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that could be parsed."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """`iss`, "" when there is none."""
        return str(self.claims.get("iss", ""))

    @property
    def audiences(self) -> tuple[str, ...]:
        """`aud` as a list."""
        value = self.claims.get("aud", ())
        return (value,) if isinstance(value, str) else tuple(value)

    def time_problem(self, now: float, skew: int = 60) -> str:
        """Why it is too early or too late for the token; "" when it is not."""
        seconds = int(now)
        if int(self.claims.get("nbf", 0)) > seconds + skew:
            return "Jwt not yet valid"
        if "exp" in self.claims and int(self.claims["exp"]) and seconds > int(self.claims["exp"]) + skew:
            return "Jwt is expired"
        return ""


@lru_cache(maxsize=512)
def parse_token(text: str) -> Token:
    """Read a token. Raises TokenError with the message that Envoy would answer."""
    # Empty sections are passed over, so "a..b.c" has three.
    parts = [part for part in text.split(".") if part]
    if len(parts) != 3:
        raise TokenError("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections")
    header = _section(parts[0], "header")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise TokenError("Jwt header [alg] field is required and must be a string")
    if algorithm not in _ALGORITHMS:
        raise TokenError("Jwt header [alg] is not supported")
    if not isinstance(header.get("kid", ""), str):
        raise TokenError("Jwt header [kid] field is not a string")
    claims = _section(parts[1], "payload")
    for name in ("iss", "sub", "jti"):
        if not isinstance(claims.get(name, ""), str):
            raise TokenError(f"Jwt payload [{name}] field is not a string")
    for name in ("iat", "nbf", "exp"):
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TokenError(f"Jwt payload [{name}] field is not an integer")
        if value < 0 or value >= 2**64:
            raise TokenError(f"Jwt payload [{name}] field is not a positive 64 bit integer")
    audience = claims.get("aud", "")
    if not isinstance(audience, str) and not (
        isinstance(audience, list) and all(isinstance(item, str) for item in audience)
    ):
        raise TokenError("Jwt payload [aud] field is not a string or string list")
    if decode(parts[2]) is None:
        raise TokenError("Jwt signature is an invalid Base64url encoded")
    return Token(text, header, claims)


def decode(text: str) -> bytes | None:
    """Base64url without padding, or None."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        return None
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed_text(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """The part of a token that is signed, for those who mint one: "header.payload"."""
    parts = (json.dumps(part, separators=(",", ":")).encode() for part in (header, claims))
    return ".".join(encode(part) for part in parts)


@lru_cache(maxsize=1024)
def verify(text: str, jwks: str) -> Signature:
    """Whether a key of the set signed a token: verifyJwtWithoutTimeChecking, for RSA keys.

    UNKNOWN for other kinds of keys: give `Facts` a verifier that knows them.
    """
    try:
        keys = json.loads(jwks)["keys"]
    except (ValueError, KeyError, TypeError):
        return Signature.NO_KEY
    token = parse_token(text)
    algorithm, kid = token.header["alg"], token.header.get("kid", "")
    first, second, signature = (part for part in text.split(".") if part)
    signed = f"{first}.{second}"
    found = Signature.NO_KEY
    for key in keys:
        if (kid and key.get("kid") and key["kid"] != kid) or (key.get("alg") and key["alg"] != algorithm):
            continue
        if _KEY_TYPES[algorithm[:2]] != key.get("kty"):
            # The key was looked at, and is of another kind.
            found = Signature.INVALID if found is Signature.NO_KEY else found
        elif algorithm not in _DIGEST_INFO:
            found = Signature.UNKNOWN
        elif _rsa(key, algorithm, signed.encode(), decode(signature) or b""):
            return Signature.VALID
        elif found is not Signature.UNKNOWN:
            found = Signature.INVALID
    return found


def _rsa(key: Mapping[str, Any], algorithm: str, signed: bytes, signature: bytes) -> bool:
    modulus, exponent = decode(str(key.get("n", ""))), decode(str(key.get("e", "")))
    if not modulus or not exponent or len(signature) != len(modulus):
        return False
    number = pow(int.from_bytes(signature), int.from_bytes(exponent), int.from_bytes(modulus))
    digest, prefix = _DIGEST_INFO[algorithm]
    expected = prefix + digest(signed).digest()
    padding = b"\xff" * (len(modulus) - len(expected) - 3)
    return number.to_bytes(len(modulus)) == b"\x00\x01" + padding + b"\x00" + expected


def _section(text: str, name: str) -> Mapping[str, Any]:
    data = decode(text)
    if data is None:
        raise TokenError(f"Jwt {name} is an invalid Base64url encoded")
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise TokenError(f"Jwt {name} is an invalid JSON")
    return value
