"""The CustomResourceDefinitions of cert-manager.io/v1, as far as the embedded counterpart goes.

Names, types, enumerations, list types and columns are those of cert-manager v1.21 (Apache License 2.0, the cert-manager
authors), so that manifests made for it are accepted, pruned and shown alike; the descriptions are our own. Issuer types
that are not played (acme, vault, venafi) are taken with whatever they hold.
"""

from __future__ import annotations

from typing import Any

from labkit.pocket.components.certmanager.conditions import GROUP
from labkit.pocket.components.certmanager.usages import NAMES

Obj = dict[str, Any]


def _text(words: str = "", *allowed: str, form: str = "") -> Obj:
    schema: Obj = {"type": "string"}
    if words:
        schema["description"] = words
    if allowed:
        schema["enum"] = list(allowed)
    if form:
        schema["format"] = form
    return schema


def _texts(words: str, item: Obj | None = None) -> Obj:
    return {
        "type": "array",
        "description": words,
        "items": item or _text(),
        "x-kubernetes-list-type": "atomic",
    }


def _number(words: str, form: str = "") -> Obj:
    return {"type": "integer", "description": words, **({"format": form} if form else {})}


def _flag(words: str) -> Obj:
    return {"type": "boolean", "description": words}


def _struct(words: str, *required: str, **properties: Obj) -> Obj:
    schema: Obj = {"type": "object", "description": words, "properties": properties}
    if required:
        schema["required"] = list(required)
    return schema


def _any(words: str) -> Obj:
    return {"type": "object", "description": words, "x-kubernetes-preserve-unknown-fields": True}


def _texts_by_name(words: str) -> Obj:
    return {"type": "object", "description": words, "additionalProperties": _text()}


_TIME = _text("", form="date-time")


def _conditions(*, observed: bool) -> Obj:
    fields = {
        "lastTransitionTime": _TIME,
        "message": _text("What there is to know about it, for people."),
        "reason": _text("Why, in a word."),
        "status": _text("Whether it holds.", "True", "False", "Unknown"),
        "type": _text("What is said here."),
    }
    if observed:
        fields["observedGeneration"] = _number("The metadata.generation that this was said about.", "int64")
    return {
        "type": "array",
        "description": "How it is.",
        "items": _struct("One condition.", "status", "type", **fields),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    }


_ISSUER_REF = _struct(
    "Who shall sign.",
    "name",
    group=_text("The API group of the issuer; cert-manager.io when left out."),
    kind=_text("Issuer (of the same namespace) or ClusterIssuer; Issuer when left out."),
    name=_text("The issuer's name."),
)
_USAGES = _texts(
    "What the key may be used for; digital signature and key encipherment by default.", _text("", *NAMES)
)
_SECRET_KEY = _struct(
    "A key of a Secret.", "name", name=_text("The Secret's name."), key=_text("Which of its keys.")
)


def _keystore(**more: Obj) -> Obj:
    return _struct(
        "A key store beside the PEM files.",
        "create",
        create=_flag("Whether to make it."),
        password=_text("Its password."),
        passwordSecretRef=_SECRET_KEY,
        **more,
    )


_NAME_LISTS = {
    field: _texts(words)
    for field, words in (
        ("dnsDomains", "DNS domains."),
        ("emailAddresses", "Email addresses."),
        ("ipRanges", "Ranges of addresses, as CIDR."),
        ("uriDomains", "Domains of URIs."),
    )
}

_CERTIFICATE = _struct(
    "What the certificate shall be, and where it shall be kept.",
    "issuerRef",
    "secretName",
    additionalOutputFormats=_texts(
        "Further forms of key and certificate in the Secret.",
        _struct("One form.", "type", type=_text("Which.", "DER", "CombinedPEM")),
    ),
    commonName=_text(
        "The common name; at most 64 characters. TLS clients look at the alternative names instead."
    ),
    dnsNames=_texts("DNS names that the certificate is for."),
    duration=_text("How long it shall be valid, such as 2160h (90 days, the default); at least 1h."),
    emailAddresses=_texts("Email addresses that the certificate is for."),
    encodeUsagesInRequest=_flag("Whether the usages stand in the signing request; true by default."),
    ipAddresses=_texts("IP addresses that the certificate is for."),
    isCA=_flag("Whether it may sign other certificates."),
    issuerRef=_ISSUER_REF,
    keystores=_struct(
        "Key stores in the Secret.",
        jks=_keystore(alias=_text("The key's alias.")),
        pkcs12=_keystore(profile=_text("Algorithms.", "LegacyRC2", "LegacyDES", "Modern2023")),
    ),
    literalSubject=_text("The whole subject as text, instead of subject and commonName."),
    nameConstraints=_struct(
        "Which names a CA may sign for.",
        critical=_flag("Whether who does not understand this must refuse."),
        excluded=_struct("Not these.", **_NAME_LISTS),
        permitted=_struct("These only.", **_NAME_LISTS),
    ),
    otherNames=_texts(
        "Alternative names of other kinds.",
        _struct("One name.", oid=_text("Of which kind."), utf8Value=_text("The name.")),
    ),
    privateKey=_struct(
        "The key.",
        algorithm=_text("RSA by default.", "RSA", "ECDSA", "Ed25519"),
        encoding=_text("PKCS1 by default.", "PKCS1", "PKCS8"),
        rotationPolicy=_text("Whether each issuance makes a new key; Always by default.", "Never", "Always"),
        size=_number("Bits: 2048 by default for RSA, 256 for ECDSA."),
    ),
    renewBefore=_text("How long before its end to renew it; a third of its life by default."),
    renewBeforePercentage=_number("The same as a part of its life.", "int32"),
    revisionHistoryLimit=_number("How many CertificateRequests to keep; 1 by default.", "int32"),
    secretName=_text("The Secret, in the same namespace, that gets key and certificate."),
    secretTemplate=_struct(
        "What else the Secret shall have.",
        annotations=_texts_by_name("Annotations."),
        labels=_texts_by_name("Labels."),
    ),
    signatureAlgorithm=_text(
        "How to sign the request.",
        "SHA256WithRSA",
        "SHA384WithRSA",
        "SHA512WithRSA",
        "ECDSAWithSHA256",
        "ECDSAWithSHA384",
        "ECDSAWithSHA512",
        "PureEd25519",
    ),
    subject=_struct(
        "The subject, besides the common name.",
        countries=_texts("Countries."),
        localities=_texts("Cities."),
        organizationalUnits=_texts("Units."),
        organizations=_texts("Organizations."),
        postalCodes=_texts("Postal codes."),
        provinces=_texts("Provinces."),
        serialNumber=_text("A serial number."),
        streetAddresses=_texts("Streets."),
    ),
    uris=_texts("URIs that the certificate is for, such as SPIFFE identities."),
    usages=_USAGES,
)

_CERTIFICATE_STATUS = _struct(
    "What became of it.",
    conditions=_conditions(observed=True),
    failedIssuanceAttempts=_number("Failures one after the other."),
    lastFailureTime=_TIME,
    nextPrivateKeySecretName=_text("The Secret with the key of the issuance that is under way."),
    notAfter=_TIME,
    notBefore=_TIME,
    renewalTime=_TIME,
    revision=_number("How often it was issued."),
)

_REQUEST = _struct(
    "What shall be signed. It never changes.",
    "issuerRef",
    "request",
    duration=_text("How long the certificate shall be valid."),
    extra={
        "type": "object",
        "description": "More about who asks; set by the server.",
        "additionalProperties": {"type": "array", "items": _text()},
    },
    groups=_texts("The groups of who asks; set by the server."),
    isCA=_flag("Whether the certificate may sign others."),
    issuerRef=_ISSUER_REF,
    request=_text("The signing request, PEM in base64.", form="byte"),
    uid=_text("The uid of who asks; set by the server."),
    usages=_USAGES,
    username=_text("Who asks; set by the server."),
)

_REQUEST_STATUS = _struct(
    "How it fares.",
    ca=_text("The signer's root certificate, PEM in base64.", form="byte"),
    certificate=_text("The certificate, PEM in base64.", form="byte"),
    conditions=_conditions(observed=False),
    failureTime=_TIME,
)

_ISSUER = _struct(
    "How this issuer signs: exactly one of these.",
    acme=_any("By an ACME server such as Let's Encrypt. Not available here."),
    ca=_struct(
        "With a CA's key from a Secret.",
        "secretName",
        crlDistributionPoints=_texts("Where revoked certificates are listed."),
        issuingCertificateURLs=_texts("Where the CA's certificate can be had."),
        ocspServers=_texts("Who can be asked about a certificate."),
        secretName=_text("The Secret with tls.crt and tls.key of the CA."),
    ),
    selfSigned=_struct(
        "Each certificate with its own key.",
        crlDistributionPoints=_texts("Where revoked certificates are listed."),
    ),
    vault=_any("By HashiCorp Vault. Not available here."),
    venafi=_any("By Venafi. Not available here."),
)
_ISSUER_STATUS = _struct(
    "How it is.",
    acme=_any("The account with the ACME server."),
    conditions=_conditions(observed=True),
)


def _column(name: str, path: str, *, wide: bool = False, kind: str = "string") -> Obj:
    return {"name": name, "type": kind, "jsonPath": path, **({"priority": 1} if wide else {})}


def _of_condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type == "{kind}")].{field}'


_AGE = _column("Age", ".metadata.creationTimestamp", kind="date")
_READY = _column("Ready", _of_condition("Ready", "status"))
_SAID = _column("Status", _of_condition("Ready", "message"), wide=True)


def _definition(
    plural: str,
    kind: str,
    words: str,
    spec: Obj,
    status: Obj,
    columns: list[Obj],
    short: tuple[str, ...] = (),
    *,
    scope: str = "Namespaced",
    needs: tuple[str, ...] = (),
) -> Obj:
    schema = _struct(
        words,
        *needs,
        apiVersion=_text("cert-manager.io/v1"),
        kind=_text(kind),
        metadata={"type": "object"},
        spec=spec,
        status=status,
    )
    names: Obj = {
        "categories": ["cert-manager"],
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
    }
    if short:
        names["shortNames"] = list(short)
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": schema},
    }
    labels = {"app": "cert-manager", "app.kubernetes.io/name": "cert-manager"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": labels},
        "spec": {"group": GROUP, "names": names, "scope": scope, "versions": [version]},
    }


DEFINITIONS = (
    _definition(
        "certificaterequests",
        "CertificateRequest",
        "CertificateRequest asks an issuer to sign one certificate, once.",
        _REQUEST,
        _REQUEST_STATUS,
        [
            _column("Approved", _of_condition("Approved", "status")),
            _column("Denied", _of_condition("Denied", "status")),
            _READY,
            _column("Issuer", ".spec.issuerRef.name"),
            _column("Requester", ".spec.username"),
            _SAID,
            _AGE,
        ],
        ("cr", "crs"),
    ),
    _definition(
        "certificates",
        "Certificate",
        "Certificate keeps a signed certificate, and its key, up to date in a Secret.",
        _CERTIFICATE,
        _CERTIFICATE_STATUS,
        [
            _READY,
            _column("Secret", ".spec.secretName"),
            _column("Issuer", ".spec.issuerRef.name", wide=True),
            _SAID,
            _AGE,
        ],
        ("cert", "certs"),
    ),
    _definition(
        "clusterissuers",
        "ClusterIssuer",
        "ClusterIssuer signs for all namespaces; its Secrets are in namespace cert-manager.",
        _ISSUER,
        _ISSUER_STATUS,
        [_READY, _SAID, _AGE],
        ("ciss",),
        scope="Cluster",
        needs=("spec",),
    ),
    _definition(
        "issuers",
        "Issuer",
        "Issuer signs certificates of its namespace.",
        _ISSUER,
        _ISSUER_STATUS,
        [_READY, _SAID, _AGE],
        ("iss",),
        needs=("spec",),
    ),
)
