"""The embedded counterpart of cert-manager: Issuer, ClusterIssuer, Certificate, CertificateRequest.

Conditions, reasons, messages, events, annotations and the order of things follow cert-manager v1.21 (Apache License
2.0); the code is our own, on `cryptography`.
"""

from __future__ import annotations

import asyncio

from labkit.pocket.api import Api
from labkit.pocket.components.certmanager import certificates, issuers, requests
from labkit.pocket.components.certmanager.admission import WEBHOOKS
from labkit.pocket.components.certmanager.conditions import CLUSTER_ISSUERS, ISSUERS
from labkit.pocket.components.certmanager.definitions import DEFINITIONS
from labkit.pocket.components.certmanager.workloads import OBJECTS, VERSION
from labkit.pocket.components.registry import EmbeddedComponent


async def _run(api: Api) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(issuers.run(api, ISSUERS))
        tasks.create_task(issuers.run(api, CLUSTER_ISSUERS))
        tasks.create_task(requests.run(api))
        tasks.create_task(certificates.run(api))


COMPONENT = EmbeddedComponent(
    name="cert-manager",
    version=VERSION,
    stands_in_for=(
        f"cert-manager {VERSION}: selfSigned and ca issuers, certificates and their renewal, inside the cluster's own "
        "process. Not played: ACME, Vault, Venafi, the cainjector, trust and key stores (JKS, PKCS#12). "
        "The pods in namespace cert-manager only wait."
    ),
    definitions=DEFINITIONS,
    objects=OBJECTS,
    run=_run,
    webhooks=WEBHOOKS,
)
