"""Tokens are read, and their signatures checked, without anything but the standard library."""

import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from labkit.policy import Facts, HttpRequest
from labkit.policy.mesh.jwtfilter import authenticate
from labkit.policy.mesh.jwtrules import JwtRule
from labkit.policy.mesh.tokens import Signature, TokenError, encode, parse_token, signed_text, verify

KEY = rsa.generate_private_key(65537, 2048)
NUMBERS = KEY.public_key().public_numbers()
JWK = {"kty": "RSA", "kid": "k", "n": encode(NUMBERS.n.to_bytes(256)), "e": "AQAB"}
JWKS = json.dumps({"keys": [JWK]})


def token(claims, algorithm="RS256", digest=hashes.SHA256, **header):
    text = signed_text({"alg": algorithm, "kid": "k", **header}, claims)
    return f"{text}.{encode(KEY.sign(text.encode(), padding.PKCS1v15(), digest()))}"


@pytest.mark.parametrize(
    ("name", "digest"), [("RS256", hashes.SHA256), ("RS384", hashes.SHA384), ("RS512", hashes.SHA512)]
)
def test_a_good_signature_is_known_as_one(name, digest):
    good = token({"iss": "lab"}, name, digest)
    assert verify(good, JWKS) is Signature.VALID
    assert verify(good[:-8] + "AAAAAAAA", JWKS) is Signature.INVALID


def test_the_algorithm_of_the_key_must_fit():
    assert verify(token({"iss": "lab"}), json.dumps({"keys": [{**JWK, "alg": "RS512"}]})) is Signature.NO_KEY


def test_another_kid_is_another_key():
    assert verify(token({"iss": "lab"}, kid="other"), JWKS) is Signature.NO_KEY
    assert (
        verify(token({"iss": "lab"}, kid="other"), json.dumps({"keys": [{**JWK, "kid": ""}]}))
        is Signature.VALID
    )


def test_what_cannot_be_checked_here_is_said_to_be_unknown():
    text = f"{signed_text({'alg': 'ES256', 'kid': 'k'}, {'iss': 'lab'})}.c2ln"
    assert verify(text, json.dumps({"keys": [{"kty": "EC", "kid": "k"}]})) is Signature.UNKNOWN
    result = authenticate(
        [JwtRule(issuer="lab", jwks='{"keys": [{"kty": "EC", "kid": "k"}]}')],
        HttpRequest.of(token=text),
        Facts(),
        0,
    )
    assert result.open == "whether the token's signature is good could not be checked"


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c.d", "..", "eyJh.x.y"])
def test_a_text_that_is_no_token_is_refused(text):
    with pytest.raises(TokenError):
        parse_token(text)


def test_a_verifier_of_ones_own_is_asked():
    asked = []

    def verifier(text, jwks):
        asked.append((text, jwks))
        return Signature.VALID

    text = token({"iss": "lab", "sub": "ann"})
    rule = JwtRule(issuer="lab", jwks="the set")
    result = authenticate([rule], HttpRequest.of(token=text), Facts(verifier=verifier), 0)
    assert asked == [(text, "the set")]
    assert result.claims["sub"] == "ann"


def test_a_key_set_that_is_fetched_is_given_as_a_fact():
    rule = JwtRule(issuer="lab", jwks_uri="http://keys.lab/jwks")
    request = HttpRequest.of(token=token({"iss": "lab", "sub": "ann"}))
    assert "is not known here" in authenticate([rule], request, Facts(), 0).open
    known = Facts(fetched={"http://keys.lab/jwks": JWKS})
    assert authenticate([rule], request, known, 0).problem == ""
    failed = Facts(fetched={"http://keys.lab/jwks": None})
    assert authenticate([rule], request, failed, 0).status == 401
    assert authenticate([rule], HttpRequest(), failed, 0).problem == ""


def test_list_claims_go_into_a_header_as_base64_of_json():
    rule = JwtRule(issuer="lab", jwks=JWKS, claim_headers=(("x-groups", "groups"), ("x-deep", "a.b")))
    request = HttpRequest.of(token=token({"iss": "lab", "groups": ["g"], "a": {"b": 1.5}}))
    result = authenticate([rule], request, Facts(), 0)
    assert result.request.header("x-groups") == encode(b'["g"]')
    assert result.request.header("x-deep") == "1.500000"
    assert result.request.header("authorization") is None
