"""Service accounts' tokens: JSON Web Tokens (ES256) signed with the cluster's key, bound to a Pod if asked for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from labkit.pocket.api.request import User

Obj = dict[str, Any]

ISSUER = "https://kubernetes.default.svc.cluster.local"
DEFAULT_SECONDS = 3600
MINIMUM_SECONDS = 600


class InvalidToken(ValueError):  # noqa: N818 - it is what it says
    """The bearer token is not one of ours, is expired, or its account or Pod has gone."""


def service_account_user(namespace: str, name: str, uid: str = "") -> User:
    """The identity of a service account."""
    return User(
        f"system:serviceaccount:{namespace}:{name}",
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
        uid,
    )


class Tokens:
    """Issues and checks the tokens of one cluster."""

    def __init__(self, key_pem: bytes) -> None:
        key = serialization.load_pem_private_key(key_pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        numbers = key.public_key().public_numbers()
        self._x, self._y = (value.to_bytes(32, "big") for value in (numbers.x, numbers.y))
        self.key_id = _encoded(hashlib.sha256(self._x + self._y).digest())

    def issue(
        self,
        account: Mapping[str, Any],
        *,
        audiences: Sequence[str] = (),
        seconds: int = DEFAULT_SECONDS,
        pod: Mapping[str, Any] | None = None,
        now: float | None = None,
    ) -> tuple[str, float]:
        """A token for a ServiceAccount (bound to a Pod), and when it expires (seconds since the epoch)."""
        issued = int(time.time() if now is None else now)
        metadata = account["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        private: Obj = {"namespace": namespace, "serviceaccount": {"name": name, "uid": metadata["uid"]}}
        if pod is not None:
            private["pod"] = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        claims = {
            "aud": list(audiences) or [ISSUER],
            "exp": issued + seconds,
            "iat": issued,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": issued,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        head = {"alg": "ES256", "kid": self.key_id}
        signed = f"{_encoded(_json(head))}.{_encoded(_json(claims))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"{signed}.{_encoded(signature)}", float(issued + seconds)

    def claims(self, token: str, *, audience: str = ISSUER, now: float | None = None) -> Obj:
        """The claims of a token of ours that is valid now. Raises InvalidToken."""
        try:
            head, body, signature = token.split(".")
            raw = _decoded(signature)
            if len(raw) != 64 or json.loads(_decoded(head)).get("alg") != "ES256":
                raise InvalidToken("not an ES256 token")
            pair = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
            self._key.public_key().verify(pair, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
            claims: Obj = json.loads(_decoded(body))
        except InvalidToken:
            raise
        except (ValueError, InvalidSignature, binascii.Error, UnicodeDecodeError, AttributeError) as error:
            raise InvalidToken("not a token of this cluster") from error
        moment = time.time() if now is None else now
        if not claims["nbf"] <= moment < claims["exp"]:
            raise InvalidToken("token has expired")
        if audience not in claims["aud"]:
            raise InvalidToken("token is for another audience")
        return claims

    def authenticate(
        self, token: str, find: Callable[[str, str, str], Mapping[str, Any] | None], audience: str = ISSUER
    ) -> User:
        """Who a token speaks for. `find(resource, name, namespace)` looks up the account and the Pod.

        Raises InvalidToken, also when the account or the Pod has been deleted (or made anew).
        """
        claims = self.claims(token, audience=audience)
        private = claims["kubernetes.io"]
        namespace = private["namespace"]
        reference = private["serviceaccount"]
        extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
        for resource, bound in (("serviceaccounts", reference), ("pods", private.get("pod"))):
            if bound is None:
                continue
            found = find(resource, bound["name"], namespace)
            if found is None or found["metadata"]["uid"] != bound["uid"]:
                raise InvalidToken(f"the token's {resource[:-1]} {bound['name']} is gone")
            if resource == "pods":
                extra["authentication.kubernetes.io/pod-name"] = [bound["name"]]
                extra["authentication.kubernetes.io/pod-uid"] = [bound["uid"]]
        user = service_account_user(namespace, reference["name"], reference["uid"])
        return User(user.name, user.groups, user.uid, extra)

    def keys(self) -> Obj:
        """The public key as a JSON Web Key Set (/openid/v1/jwks)."""
        key = {"use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256"}
        return {"keys": [{**key, "x": _encoded(self._x), "y": _encoded(self._y)}]}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
