"""Components on a running cluster: what a learner sees of cert-manager, by kubectl and openssl's eyes."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from labkit.pocket import lifecycle
from tests.pocket.running import RunningCluster

pytestmark = pytest.mark.cluster

COMPONENT = "apiVersion: pocket.labkit.dev/v1\nkind: Component\nmetadata: {name: cert-manager}\n"
# The bootstrap of cert-manager's own documentation: a self-signed root, and a CA issuer that signs with it.
BOOTSTRAP = """\
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: selfsigned-issuer}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: my-selfsigned-ca, namespace: cert-manager}
spec:
  isCA: true
  commonName: my-selfsigned-ca
  secretName: root-secret
  privateKey: {algorithm: ECDSA, size: 256}
  issuerRef: {name: selfsigned-issuer, kind: ClusterIssuer, group: cert-manager.io}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: my-ca-issuer}
spec: {ca: {secretName: root-secret}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: acme-crt, namespace: default}
spec:
  secretName: acme-crt-secret
  dnsNames: [example.com, foo.example.com]
  issuerRef: {name: my-ca-issuer, kind: ClusterIssuer}
"""


@pytest.fixture(scope="module")
def cluster(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A cluster of these tests' own: components are the whole cluster's."""
    home = tmp_path_factory.mktemp("components")
    lifecycle.up("components", home=home)
    yield RunningCluster("components", home)
    lifecycle.down("components", home=home)


def lines(cluster: RunningCluster, *words: str) -> list[list[str]]:
    return [line.split() for line in cluster.out("get", *words, "--no-headers").splitlines()]


def test_cert_manager_is_turned_on_used_survives_and_is_turned_off(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    assert (
        "the server doesn't have a resource type"
        in cluster.kubectl("get", "certificates", check=False).stderr
    )
    assert lines(cluster, "crd") == []
    cluster.kubectl("apply", "-f", "-", given=COMPONENT)
    cluster.kubectl("wait", "component/cert-manager", "--for=condition=Ready", "--timeout=20s")
    assert lines(cluster, "components") == [["cert-manager", "v1.21.1", "True"]]
    assert cluster.out("get", "components").splitlines()[0].split() == ["NAME", "VERSION", "READY"]
    wait = ("deployment", "--all", "--for=condition=Available", "--timeout=30s")
    cluster.kubectl("wait", "-n", "cert-manager", *wait)
    assert "rotationPolicy" in cluster.out("explain", "certificate.spec.privateKey")

    cluster.kubectl("apply", "-f", "-", given=BOOTSTRAP)
    cluster.kubectl("wait", "certificate/acme-crt", "--for=condition=Ready", "--timeout=20s")
    assert lines(cluster, "cert", "acme-crt")[0][:3] == ["acme-crt", "True", "acme-crt-secret"]
    assert lines(cluster, "cr", "acme-crt-1")[0][:4] == ["acme-crt-1", "True", "True", "my-ca-issuer"]
    secret = cluster.get("secret", "acme-crt-secret")
    leaf, root = (
        x509.load_pem_x509_certificate(base64.b64decode(secret["data"][key])) for key in ("tls.crt", "ca.crt")
    )
    leaf.verify_directly_issued_by(root)
    said = cluster.out("describe", "certificate", "acme-crt")
    assert "Issuing certificate as Secret does not exist" in said
    assert "The certificate has been successfully issued" in said

    wrong = BOOTSTRAP.split("---")[3].replace("dnsNames: [example.com, foo.example.com]", "duration: 5m")
    refused = cluster.kubectl("apply", "-f", "-", given=wrong.replace("acme-crt,", "wrong,"), check=False)
    assert 'admission webhook "webhook.cert-manager.io" denied the request: ' in refused.stderr
    assert "at least one of commonName" in refused.stderr
    typo = cluster.kubectl("apply", "-f", "-", given=wrong.replace("duration", "duraton"), check=False)
    assert 'strict decoding error: unknown field "spec.duraton"' in typo.stderr

    os.kill(cluster.pid, signal.SIGKILL)
    lifecycle.up("components", home=cluster.home)
    assert lines(cluster, "components") == [["cert-manager", "v1.21.1", "True"]]
    cluster.kubectl("delete", "secret", "acme-crt-secret")
    cluster.kubectl("wait", "secret/acme-crt-secret", "--for=create", "--timeout=20s")

    cluster.kubectl("delete", "component", "cert-manager", "--timeout=30s")
    assert lines(cluster, "crd") == []
    assert "cert-manager" not in cluster.out("get", "namespaces")


def test_an_unknown_component_names_those_that_there_are(cluster: RunningCluster) -> None:
    cluster.kubectl("apply", "-f", "-", given=COMPONENT.replace("cert-manager", "cert-manger"))
    cluster.kubectl("wait", "component/cert-manger", "--for=condition=Ready=False", "--timeout=20s")
    [condition] = cluster.get("component", "cert-manger")["status"]["conditions"]
    assert (condition["reason"], "cert-manager" in condition["message"]) == ("Unknown", True)
    cluster.kubectl("delete", "component", "cert-manger")
