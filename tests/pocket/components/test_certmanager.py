"""The embedded cert-manager does what the real one does, and says it in its words."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from labkit.pocket.api.errors import ApiError
from labkit.pocket.components.certmanager import pki, policies
from labkit.pocket.components.certmanager.conditions import moment
from tests.pocket.components.lab import (
    CERTIFICATES,
    CLUSTER_ISSUERS,
    ISSUERS,
    QUICK,
    REQUESTS,
    Lab,
    condition,
)


def assert_signs(issuer: x509.Certificate, leaf: x509.Certificate) -> None:
    leaf.verify_directly_issued_by(issuer)


async def test_a_ca_signs_a_certificate_into_a_tls_secret(certs: Lab) -> None:
    await certs.ca()
    certs.certificate("web", "ca", dnsNames=["web.example.com", "www.example.com"])
    certificate = await certs.issued("web")
    secret = certs.api.get("secrets", "web-tls", "default")
    assert secret["type"] == "kubernetes.io/tls"
    assert set(secret["data"]) == {"tls.crt", "tls.key", "ca.crt"}
    [leaf], [root] = certs.chain("web-tls"), certs.chain("web-tls", "ca.crt")
    assert root == certs.chain("root-tls")[0]
    assert_signs(root, leaf)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["web.example.com", "www.example.com"]
    key = pki.read_key(certs.data("web-tls", "tls.key"))
    assert pki.public_bytes(key.public_key()) == pki.public_bytes(leaf.public_key())
    notes = secret["metadata"]["annotations"]
    assert notes["cert-manager.io/issuer-name"] == "ca"
    assert notes["cert-manager.io/alt-names"] == "web.example.com,www.example.com"
    assert secret["metadata"]["labels"]["controller.cert-manager.io/fao"] == "true"
    status = certificate["status"]
    assert condition(certificate)["message"] == "Certificate is up to date and has not expired"
    assert (status["revision"], "nextPrivateKeySecretName" in status) == (1, False)
    assert not condition(certificate, "Issuing")


async def test_the_chain_has_the_intermediate_and_not_the_root(certs: Lab) -> None:
    await certs.ca()
    certs.certificate("middle", "ca", isCA=True, commonName="the middle")
    await certs.issued("middle")
    certs.issuer("middle", ca={"secretName": "middle-tls"})
    certs.certificate("web", "middle")
    await certs.issued("web")
    leaf, middle = certs.chain("web-tls")
    assert_signs(middle, leaf)
    assert_signs(certs.chain("root-tls")[0], middle)
    # The issuer's Secret has no root in tls.crt: ca.crt is the topmost certificate that is known.
    assert certs.chain("web-tls", "ca.crt") == [middle]
    whole = base64.b64encode(certs.data("middle-tls", "tls.crt") + certs.data("root-tls", "tls.crt")).decode()
    data = {**certs.api.get("secrets", "middle-tls", "default")["data"], "tls.crt": whole}
    certs.api.create("secrets", {"metadata": {"name": "whole"}, "data": data}, "default")
    certs.issuer("whole", ca={"secretName": "whole"})
    certs.certificate("other", "whole")
    await certs.issued("other")
    assert certs.chain("other-tls")[1:] == [middle]
    assert certs.chain("other-tls", "ca.crt") == certs.chain("root-tls")


async def test_the_story_is_told_in_events(certs: Lab) -> None:
    certs.issuer("self", selfSigned={})
    certs.certificate("web", "self")
    await certs.issued("web")
    said = dict(certs.events("web"))
    assert [reason for reason, _ in certs.events("web") if reason == "Issuing"] == ["Issuing"] * 2
    assert ("Issuing", "Issuing certificate as Secret does not exist") in certs.events("web")
    assert ("Issuing", "The certificate has been successfully issued") in certs.events("web")
    assert said["Generated"].startswith('Stored new private key in temporary Secret resource "web-')
    assert said["Requested"] == 'Created new CertificateRequest resource "web-1"'
    request = certs.api.get(REQUESTS, "web-1", "default")
    assert condition(request, "Approved")["message"] == (
        "Certificate request has been approved by cert-manager.io"
    )
    assert condition(request)["reason"] == "Issued"
    assert request["spec"]["username"] == "system:serviceaccount:cert-manager:cert-manager"
    await certs.until(lambda: len(certs.api.list("secrets", "default")) == 1)


async def test_an_issuer_says_which_secret_it_misses_and_recovers(certs: Lab) -> None:
    certs.issuer("ca", ca={"secretName": "ca-key-pair"})
    found = await certs.until(lambda: condition(certs.api.get(ISSUERS, "ca", "default")))
    assert (found["status"], found["reason"]) == ("False", "ErrGetKeyPair")
    assert found["message"] == 'Error getting keypair for CA issuer: secret "ca-key-pair" not found'
    assert ("ErrInitIssuer", 'Error initializing issuer: secret "ca-key-pair" not found') in certs.events(
        "ca"
    )
    certs.issuer("self", selfSigned={})
    certs.certificate("web", "ca")
    pending = await certs.until(lambda: condition(certs.api.get(REQUESTS, "web-1", "default")))
    assert pending["message"] == "Referenced issuer does not have a Ready status condition"
    certs.certificate("root", "self", isCA=True, commonName="root", secretName="ca-key-pair")
    await certs.until(lambda: certs.ready(ISSUERS, "ca"))
    await certs.issued("web")


async def test_a_leaf_is_no_ca(certs: Lab) -> None:
    certs.issuer("self", selfSigned={})
    certs.certificate("leaf", "self")
    await certs.issued("leaf")
    certs.issuer("ca", ca={"secretName": "leaf-tls"})
    found = await certs.until(lambda: condition(certs.api.get(ISSUERS, "ca", "default")))
    assert found["message"] == "Error getting keypair for CA issuer: certificate is not a CA"


async def test_a_cluster_issuer_has_its_secret_in_cert_managers_namespace(certs: Lab) -> None:
    certs.issuer("self", None, selfSigned={})
    reference = {"name": "self", "kind": "ClusterIssuer"}
    certs.certificate("root", "self", "cert-manager", isCA=True, commonName="root", issuerRef=reference)
    await certs.issued("root", "cert-manager")
    certs.issuer("ca", None, ca={"secretName": "root-tls"})
    await certs.until(lambda: certs.ready(CLUSTER_ISSUERS, "ca", None))
    certs.certificate("web", "ca", issuerRef={"name": "ca", "kind": "ClusterIssuer"})
    await certs.issued("web")
    assert_signs(certs.chain("root-tls", namespace="cert-manager")[0], certs.chain("web-tls")[0])


async def test_what_is_not_played_says_so(certs: Lab) -> None:
    certs.issuer("letsencrypt", None, acme={"server": "https://acme.example.com", "email": "a@example.com"})
    found = await certs.until(lambda: condition(certs.api.get(CLUSTER_ISSUERS, "letsencrypt")))
    assert (found["status"], found["reason"]) == ("False", "NotAvailable")
    assert "not available here" in found["message"]


async def test_a_certificate_whose_issuer_does_not_exist_waits(certs: Lab) -> None:
    certs.certificate("web", "nobody")
    found = await certs.until(lambda: condition(certs.api.get(REQUESTS, "web-1", "default")))
    assert (found["status"], found["reason"]) == ("False", "Pending")
    assert found["message"] == 'Referenced "Issuer" not found: issuer.cert-manager.io "nobody" not found'
    certificate = certs.api.get(CERTIFICATES, "web", "default")
    assert condition(certificate, "Issuing")["status"] == "True"
    assert condition(certificate)["reason"] == "DoesNotExist"
    certs.issuer("nobody", selfSigned={})
    await certs.issued("web")


async def test_a_changed_wish_is_issued_anew_with_a_new_key(certs: Lab) -> None:
    certs.issuer("self", selfSigned={})
    certs.certificate("web", "self")
    await certs.issued("web")
    before = certs.data("web-tls", "tls.key")
    certs.change(CERTIFICATES, "web", dnsNames=["other.example.com"])
    await certs.issued("web", revision=2)
    assert ("Issuing", "Fields on existing CertificateRequest resource not up to date: [spec.dnsNames]") in (
        certs.events("web")
    )
    assert certs.data("web-tls", "tls.key") != before
    # revisionHistoryLimit is 1
    await certs.until(
        lambda: [r["metadata"]["name"] for r in certs.api.list(REQUESTS, "default")] == ["web-2"]
    )


async def test_a_key_that_never_rotates_is_kept(certs: Lab) -> None:
    certs.issuer("self", selfSigned={})
    certs.certificate("web", "self", privateKey={**QUICK, "rotationPolicy": "Never"})
    await certs.issued("web")
    before = certs.data("web-tls", "tls.key")
    certs.change(CERTIFICATES, "web", dnsNames=["other.example.com"])
    await certs.issued("web", revision=2)
    assert certs.data("web-tls", "tls.key") == before
    assert ("Reused", 'Reusing private key stored in existing Secret resource "web-tls"') in certs.events(
        "web"
    )


async def test_a_secret_that_is_lost_or_spoilt_is_issued_anew(certs: Lab) -> None:
    certs.issuer("self", selfSigned={})
    certs.certificate("web", "self")
    await certs.issued("web")
    certs.api.delete("secrets", "web-tls", "default")
    await certs.issued("web", revision=2)

    def spoil(copy: dict[str, Any]) -> dict[str, Any]:
        copy["data"]["tls.crt"] = base64.b64encode(b"nonsense").decode()
        return copy

    certs.api.modify("secrets", "web-tls", "default", spoil)
    await certs.issued("web", revision=3)
    assert certs.chain("web-tls")


async def test_a_request_that_is_denied_fails_the_certificate(certs: Lab) -> None:
    certs.certificate("web", "later")
    await certs.until(lambda: condition(certs.api.get(REQUESTS, "web-1", "default")))
    with pytest.raises(ApiError, match="both 'Denied' and 'Approved' conditions cannot coexist"):
        certs.api.modify(REQUESTS, "web-1", "default", _denied, subresource="status")


def _denied(copy: dict[str, Any]) -> dict[str, Any]:
    copy.setdefault("status", {}).setdefault("conditions", []).append({"type": "Denied", "status": "True"})
    return copy


async def test_a_request_never_changes(certs: Lab) -> None:
    certs.issuer("self", selfSigned={})
    certs.certificate("web", "self")
    await certs.issued("web")
    with pytest.raises(ApiError, match="spec: Forbidden: cannot change spec after creation"):
        certs.change(REQUESTS, "web-1", isCA=True)


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        ({"algorithm": "ECDSA", "size": 384}, ec.EllipticCurvePrivateKey),
        ({"algorithm": "Ed25519"}, ed25519.Ed25519PrivateKey),
        ({"algorithm": "RSA", "encoding": "PKCS8"}, rsa.RSAPrivateKey),
        ({}, rsa.RSAPrivateKey),
    ],
)
async def test_keys_are_of_the_kind_asked_for(certs: Lab, wish: dict[str, Any], kind: type) -> None:
    certs.issuer("self", selfSigned={})
    certs.certificate("web", "self", privateKey=wish)
    await certs.issued("web")
    pem = certs.data("web-tls", "tls.key")
    assert isinstance(pki.read_key(pem), kind)
    traditional = wish.get("encoding") != "PKCS8" and wish.get("algorithm") != "Ed25519"
    assert (b"BEGIN PRIVATE KEY" in pem) != traditional


async def test_everything_that_a_certificate_may_say_is_in_it(certs: Lab) -> None:
    await certs.ca()
    certs.certificate(
        "web",
        "ca",
        commonName="web",
        subject={"organizations": ["lab"], "countries": ["DE"]},
        ipAddresses=["10.0.0.1"],
        uris=["spiffe://cluster.local/ns/default/sa/web"],
        usages=["digital signature", "server auth", "client auth"],
        duration="2h",
        renewBefore="30m",
    )
    certificate = await certs.issued("web")
    [leaf] = certs.chain("web-tls")
    assert {part.value for part in leaf.subject} == {"lab", "DE", "web"}
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://cluster.local/ns/default/sa/web"
    ]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(hours=2)
    assert certificate["status"]["renewalTime"] == moment(leaf.not_valid_after_utc - timedelta(minutes=30))


def test_renewal_is_due_at_two_thirds_of_its_life() -> None:
    key = pki.generate_key(QUICK)
    spec: dict[str, Any] = {"dnsNames": ["a.example.com"], "duration": "3h", "issuerRef": {"name": "x"}}
    csr = base64.b64encode(pki.make_request(spec, key)).decode()
    leaf = pki.sign({"spec": {"request": csr, "duration": "3h"}}, None, key)
    assert pki.renewal_time(leaf, {}) == leaf.not_valid_before_utc + timedelta(hours=2)
    encoded = {
        "tls.crt": base64.b64encode(pki.to_pem(leaf)).decode(),
        "tls.key": base64.b64encode(pki.encode_key(key)).decode(),
    }
    secret = {"metadata": {}, "data": encoded}
    certificate = {"metadata": {"name": "a"}, "spec": {**spec, "privateKey": QUICK}}
    given = policies.Input(certificate, secret, None, datetime.now(UTC) + timedelta(hours=2, minutes=1))
    reason = policies._first(policies._TRIGGER, given)
    assert reason is not None
    assert reason[0] == "Renewing"
    assert policies._first(policies._READINESS, given) is None
    late = policies.Input(certificate, secret, None, datetime.now(UTC) + timedelta(hours=4))
    assert policies._first(policies._READINESS, late) == (
        "Expired",
        f"Certificate expired on {leaf.not_valid_after_utc.strftime('%a, %d %b %Y %H:%M:%S UTC')}",
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"dnsNames": []}, 'spec: Invalid value: "": at least one of commonName'),
        (
            {"privateKey": {"size": 1024}},
            "spec.privateKey.size: Invalid value: 1024: must be between 2048 and 8192",
        ),
        (
            {"issuerRef": {"name": "x", "kind": "Isuer"}},
            "must be one of Issuer or ClusterIssuer (did you forget",
        ),
        ({"duration": "10m"}, "certificate duration must be greater than 1h0m0s"),
        (
            {"duration": "1h", "renewBefore": "2h"},
            "certificate duration 1h0m0s must be greater than renewBefore 2h0m0s",
        ),
        ({"ipAddresses": ["10.0.0"]}, 'spec.ipAddresses[0]: Invalid value: "10.0.0": invalid IP address'),
        ({"usages": ["server"]}, "spec.usages[0]: Unsupported value"),
    ],
)
async def test_what_makes_no_sense_is_refused_in_upstreams_words(
    certs: Lab, spec: dict[str, Any], words: str
) -> None:
    with pytest.raises(ApiError) as refusal:
        certs.certificate("web", "ca", **spec)
    assert words in refusal.value.message
    if "Unsupported" not in words:
        assert refusal.value.message.startswith(
            'admission webhook "webhook.cert-manager.io" denied the request: '
        )


async def test_an_issuer_is_of_exactly_one_type(certs: Lab) -> None:
    with pytest.raises(ApiError, match="spec: Required value: at least one issuer must be configured"):
        certs.issuer("none")
    with pytest.raises(
        ApiError, match=r"spec\.selfSigned: Forbidden: may not specify more than one issuer type"
    ):
        certs.issuer("both", ca={"secretName": "x"}, selfSigned={})
