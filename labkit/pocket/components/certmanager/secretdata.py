"""The Secret of an issued Certificate: its data, its annotations, its labels.

Upstream: pkg/controller/certificates/issuing/internal/secret.go, internal/controller/certificates/secrets.go.
"""

from __future__ import annotations

import base64
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from labkit.pocket.api import Api
from labkit.pocket.components.certmanager import pki
from labkit.pocket.components.certmanager.conditions import Obj

PREFIX = "cert-manager.io/"
FAO = "controller.cert-manager.io/fao"
"""The label by which cert-manager finds its Secrets ("for attention of")."""

_SUBJECT = (
    ("subject-organizations", NameOID.ORGANIZATION_NAME),
    ("subject-organizationalunits", NameOID.ORGANIZATIONAL_UNIT_NAME),
    ("subject-countries", NameOID.COUNTRY_NAME),
    ("subject-provinces", NameOID.STATE_OR_PROVINCE_NAME),
    ("subject-localities", NameOID.LOCALITY_NAME),
    ("subject-postalcodes", NameOID.POSTAL_CODE),
    ("subject-streetaddresses", NameOID.STREET_ADDRESS),
    ("subject-serialnumber", NameOID.SERIAL_NUMBER),
)


def notes_of(certificate: Obj, leaf: x509.Certificate) -> dict[str, str]:
    """The annotations that tell what is in a Secret and who asked for it."""
    found: dict[str, str] = {}
    for name, oid in _SUBJECT:
        values = [str(one.value) for one in leaf.subject.get_attributes_for_oid(oid)]
        if values:
            found[PREFIX + name] = ",".join(values)
    common = [str(one.value) for one in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    found[PREFIX + "common-name"] = common[0] if common else ""
    for name, kind in (
        ("alt-names", x509.DNSName),
        ("ip-sans", x509.IPAddress),
        ("uri-sans", x509.UniformResourceIdentifier),
        ("email-sans", x509.RFC822Name),
    ):
        values = [str(value) for value in _names(leaf, kind)]
        if values or name != "email-sans":
            found[PREFIX + name] = ",".join(values)
    reference = certificate["spec"]["issuerRef"]
    found[PREFIX + "certificate-name"] = certificate["metadata"]["name"]
    found[PREFIX + "issuer-name"] = reference.get("name", "")
    found[PREFIX + "issuer-kind"] = reference.get("kind") or "Issuer"
    found[PREFIX + "issuer-group"] = reference.get("group", "")
    return found


def _names(leaf: x509.Certificate, kind: Any) -> list[Any]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return list(names.get_values_for_type(kind))


def write(api: Api, certificate: Obj, chain: bytes, root: bytes, key: pki.Key) -> None:
    """Create the Secret of a Certificate, or bring what is issued into it."""
    spec = certificate["spec"]
    wish = spec.get("privateKey") or {}
    pem = pki.encode_key(key, wish.get("encoding") or "PKCS1")
    data = {"tls.crt": chain, "tls.key": pem, "ca.crt": root}
    for output in spec.get("additionalOutputFormats") or ():
        if output["type"] == "CombinedPEM":
            data["tls-combined.pem"] = pem + b"\n" + chain
        elif output["type"] == "DER":
            data["key.der"] = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    encoded = {name: base64.b64encode(value).decode() for name, value in data.items() if value}
    metadata = certificate["metadata"]
    template = spec.get("secretTemplate") or {}
    notes = {**(template.get("annotations") or {}), **notes_of(certificate, pki.read_chain(chain)[0])}
    labels = {**(template.get("labels") or {}), FAO: "true"}

    if api.find("secrets", spec["secretName"], metadata["namespace"]) is None:
        meta = {"name": spec["secretName"], "labels": labels, "annotations": notes}
        secret = {"metadata": meta, "type": "kubernetes.io/tls", "data": encoded}
        api.create("secrets", secret, metadata["namespace"])
        return

    def change(copy: Obj) -> Obj:
        copy["metadata"].setdefault("labels", {}).update(labels)
        copy["metadata"].setdefault("annotations", {}).update(notes)
        copy["data"] = {**(copy.get("data") or {}), **encoded}
        return copy

    api.modify("secrets", spec["secretName"], metadata["namespace"], change)
