"""The cluster's keys and certificates, and the kubeconfig that carries the learner's.

Made once per cluster and kept in its state directory: a CA, the API server's certificate, a client certificate for
the learner, and the key that signs service accounts' tokens. All keys are EC P-256.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ADMIN = "kubernetes-admin"
ADMIN_GROUP = "system:masters"
LIFETIME = timedelta(days=3650)

SERVER_NAMES: tuple[str, ...] = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "pocket",
)
SERVER_ADDRESSES: tuple[str, ...] = ("127.0.0.1", "::1", "10.96.0.1", "172.18.0.2")

_FILES = ("ca.crt", "ca.key", "server.crt", "server.key", "client.crt", "client.key", "sa.key")


@dataclass(frozen=True)
class Pki:
    """The directory that holds a cluster's keys; each property reads one of them as PEM."""

    directory: Path

    @classmethod
    def load_or_create(
        cls,
        directory: Path,
        *,
        names: Sequence[str] = SERVER_NAMES,
        addresses: Sequence[str] = SERVER_ADDRESSES,
    ) -> Pki:
        """The keys in `directory`; made now when there are none. Only the owner can read them."""
        pki = cls(directory)
        if not all((directory / name).exists() for name in _FILES):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(directory, names, addresses)
        return pki

    @property
    def ca(self) -> bytes:
        """The CA's certificate: what clients and pods trust."""
        return (self.directory / "ca.crt").read_bytes()

    @property
    def client_certificate(self) -> bytes:
        """The learner's certificate."""
        return (self.directory / "client.crt").read_bytes()

    @property
    def client_key(self) -> bytes:
        """The learner's private key."""
        return (self.directory / "client.key").read_bytes()

    @property
    def service_account_key(self) -> bytes:
        """The private key that signs service accounts' tokens."""
        return (self.directory / "sa.key").read_bytes()

    def server_context(self) -> ssl.SSLContext:
        """TLS for the API server: clients may show a certificate of this cluster's CA, and need not."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.directory / "server.crt", self.directory / "server.key")
        context.load_verify_locations(self.directory / "ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


def _create(directory: Path, names: Sequence[str], addresses: Sequence[str]) -> None:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )

    def leaf(
        common_name: str,
        purpose: x509.ObjectIdentifier,
        *,
        organization: str = "",
        alternatives: Sequence[x509.GeneralName] = (),
    ) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        if organization:
            attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        builder = (
            _builder(x509.Name(attributes), ca_name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            # Python 3.13 and later refuse certificates without it.
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
            )
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return key, builder.sign(ca_key, hashes.SHA256())

    server_key, server = leaf(
        "kube-apiserver",
        ExtendedKeyUsageOID.SERVER_AUTH,
        alternatives=[
            *(x509.DNSName(name) for name in names),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
        ],
    )
    client_key, client = leaf(ADMIN, ExtendedKeyUsageOID.CLIENT_AUTH, organization=ADMIN_GROUP)
    for name, content in {
        "ca.crt": _pem(ca),
        "ca.key": _pem_key(ca_key),
        "server.crt": _pem(server),
        "server.key": _pem_key(server_key),
        "client.crt": _pem(client),
        "client.key": _pem_key(client_key),
        "sa.key": _pem_key(ec.generate_private_key(ec.SECP256R1())),
    }.items():
        write_private(directory / name, content)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A client whose clock is behind must not see a certificate of the future.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def kubeconfig(name: str, server: str, pki: Pki) -> str:
    """A kubeconfig for the learner: context, cluster and user are called `labkit-NAME`; all data is in it.

    `server` is the URL, such as `https://127.0.0.1:41234`. The text is JSON, which is YAML.
    """
    context = f"labkit-{name}"

    def embedded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [
            {
                "name": context,
                "cluster": {"certificate-authority-data": embedded(pki.ca), "server": server},
            }
        ],
        "contexts": [
            {"name": context, "context": {"cluster": context, "user": context, "namespace": "default"}}
        ],
        "users": [
            {
                "name": context,
                "user": {
                    "client-certificate-data": embedded(pki.client_certificate),
                    "client-key-data": embedded(pki.client_key),
                },
            }
        ],
        "preferences": {},
    }
    return json.dumps(config, indent=2) + "\n"


def write_kubeconfig(path: Path, name: str, server: str, pki: Pki) -> None:
    """Write the learner's kubeconfig, readable by its owner alone."""
    write_private(path, kubeconfig(name, server, pki).encode())
