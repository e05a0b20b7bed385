"""A cluster's Api with components, for their tests."""

from __future__ import annotations

import base64
from typing import Any

from cryptography import x509

from labkit.pocket.api.api import Api
from labkit.pocket.components.certmanager import pki
from labkit.pocket.components.resource import RESOURCE
from tests.pocket.controllers.lab_cluster import until

Obj = dict[str, Any]

CERTIFICATES, REQUESTS = "certificates.cert-manager.io", "certificaterequests.cert-manager.io"
ISSUERS, CLUSTER_ISSUERS = "issuers.cert-manager.io", "clusterissuers.cert-manager.io"
# Elliptic curves: an RSA key may take a second on a busy machine.
QUICK = {"algorithm": "ECDSA", "size": 256}


def condition(obj: Obj, kind: str = "Ready") -> Obj:
    found = [one for one in (obj.get("status") or {}).get("conditions") or () if one["type"] == kind]
    return found[0] if found else {}


class Lab:
    """What a test holds in its hands."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def until(self, claim: Any, seconds: float = 20.0) -> Any:
        return await until(claim, seconds)

    async def turn_on(self, name: str) -> Obj:
        self.api.create(RESOURCE, {"metadata": {"name": name}})
        return await self.until(lambda: self.ready(RESOURCE, name, None))

    def ready(self, resource: str, name: str, namespace: str | None = "default") -> Obj | None:
        obj = self.api.get(resource, name, namespace)
        return obj if condition(obj).get("status") == "True" else None

    def issuer(self, name: str, namespace: str | None = "default", **spec: Any) -> None:
        resource = ISSUERS if namespace else CLUSTER_ISSUERS
        self.api.create(resource, {"metadata": {"name": name}, "spec": spec}, namespace)

    def certificate(self, name: str, issuer: str, namespace: str = "default", **spec: Any) -> None:
        spec = {
            "secretName": f"{name}-tls",
            "privateKey": QUICK,
            "issuerRef": {"name": issuer},
            **({} if "dnsNames" in spec or "commonName" in spec else {"dnsNames": [f"{name}.example.com"]}),
            **spec,
        }
        self.api.create(CERTIFICATES, {"metadata": {"name": name}, "spec": spec}, namespace)

    async def issued(self, name: str, namespace: str = "default", revision: int = 1) -> Obj:
        def claim() -> Obj | None:
            found = self.ready(CERTIFICATES, name, namespace)
            return found if found and found["status"].get("revision", 0) >= revision else None

        return await self.until(claim)

    async def ca(self) -> None:
        """An Issuer `ca` that signs with the key of a self-signed root."""
        self.issuer("self", selfSigned={})
        self.certificate("root", "self", isCA=True, commonName="the lab's root")
        await self.issued("root")
        self.issuer("ca", ca={"secretName": "root-tls"})
        await self.until(lambda: self.ready(ISSUERS, "ca"))

    def data(self, secret: str, key: str, namespace: str = "default") -> bytes:
        return base64.b64decode(self.api.get("secrets", secret, namespace)["data"][key])

    def chain(self, secret: str, key: str = "tls.crt", namespace: str = "default") -> list[x509.Certificate]:
        return pki.read_chain(self.data(secret, key, namespace))

    def events(self, name: str, namespace: str = "default") -> list[tuple[str, str]]:
        found = self.api.list("events", namespace)
        return [(e["reason"], e["message"]) for e in found if e["involvedObject"]["name"] == name]

    def change(self, resource: str, name: str, namespace: str | None = "default", **spec: Any) -> None:
        def apply(copy: Obj) -> Obj:
            copy["spec"].update(spec)
            return copy

        self.api.modify(resource, name, namespace, apply)
