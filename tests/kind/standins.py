"""Stand-ins for components whose images and command lines cannot be had without internet.

What is real here: the cluster, every object, the downloads, the waits, the webhooks (HTTPS servers in pods that the API server
calls), the failures. What stands in: the programs inside. A test with these says that labkit's part works; whether upstream's
release works with it, only upstream's release can say.
"""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from labkit.cluster import Cluster
from tests.cluster.tools.upstream import Upstream

from .engines import ROOT

#: In the offline node image: python3 and its standard library.
IMAGE = "offline.lab/base:1"

_SERVER = """
import base64, http.server, json, ssl
{answer}
class Review(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        allowed, message, patch = answer(asked["object"])
        said = {{"uid": asked["uid"], "allowed": allowed, "status": {{"message": message}}}}
        if patch:
            said |= {{"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}}
        body = json.dumps({{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": said}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("", 8443), Review)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def skip_without_image(cluster: Cluster) -> None:
    """Skip where the nodes do not have what the stand-ins run from: nothing could be pulled."""
    nodes = cluster.list("nodes")
    names = {name for node in nodes for image in node["status"]["images"] for name in image.get("names", [])}
    if not any(name.endswith(IMAGE) for name in names):
        pytest.skip(
            f"the nodes do not have {IMAGE}, which the stand-ins run from: use the offline node image"
        )


def publish(upstream: Upstream, folder: Path, **manifests: dict[str, str]) -> Path:
    """A `clusters` folder like the repository's, whose manifests are these, by component (cert_manager) and file."""
    shutil.copytree(ROOT / "clusters", folder)
    table = folder / "components.toml"
    text = table.read_text()
    for component, files in manifests.items():
        name = component.replace("_", "-")
        start = text.index(f"[manifests.{name}]")
        following = text.find("\n[manifests.", text.index(f"[manifests.{name}.files]") + 1)
        end = following if following != -1 else len(text)
        section = text[start:end]
        section = re.sub(r'from = "[^"]*"', f'from = "{upstream.address}/{name}/"', section)
        section = section[: section.index(f"[manifests.{name}.files]")] + f"[manifests.{name}.files]\n"
        for file, content in files.items():
            data = content.encode()
            upstream.add(f"/{name}/{file}", data)
            section += f'"{file}" = {{ sha256 = "{hashlib.sha256(data).hexdigest()}" }}\n'
        text = text[:start] + section + text[end:]
    table.write_text(text)
    return folder


def text_of(*objects: dict[str, Any]) -> str:
    """Objects as a manifest."""
    return yaml.safe_dump_all(objects, sort_keys=False)


def definition(
    group: str, kind: str, version: str = "v1", scope: str = "Namespaced", **schema: Any
) -> dict[str, Any]:
    """A CustomResourceDefinition that takes any spec, or the one of `spec`."""
    plural = kind.lower() + "s" if not kind.lower().endswith("s") else kind.lower() + "es"
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties = {"spec": schema.get("spec", loose), "status": loose}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "annotations": schema.get("annotations", {})},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
                }
            ],
        },
    }


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def deployment(
    name: str,
    where: str,
    command: list[str],
    *,
    image: str = IMAGE,
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """One pod of one container."""
    container = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "command": command}
    container |= spec.pop("container", {})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": where, "labels": labels or {}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec},
            },
        },
    }


def webhook(
    name: str, where: str, answer: str, kind: str, rule: dict[str, Any], **more: Any
) -> list[dict[str, Any]]:
    """A webhook server and its configuration. answer: Python that defines answer(object) -> allowed, message, JSON patch."""
    certificate, key = _tls(f"{name}.{where}.svc")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{name}-tls", "namespace": where},
        "stringData": {"tls.crt": certificate, "tls.key": key},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": where},
        "spec": {"selector": {"app": name}, "ports": [{"port": 443, "targetPort": 8443}]},
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": f"{name}.{where}.test",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "clientConfig": {
                    "service": {"name": name, "namespace": where, "path": "/"},
                    "caBundle": base64.b64encode(certificate.encode()).decode(),
                },
                "rules": [{"operations": ["CREATE"], "scope": "*", **rule}],
                **more,
            }
        ],
    }
    server = deployment(
        name, where, ["python3", "-c", _SERVER.format(answer=answer)],
        container={
            "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
            "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
        },
        volumes=[{"name": "tls", "secret": {"secretName": f"{name}-tls"}}],
    )  # fmt: skip
    return [secret, service, server, configuration]


@functools.cache  # a manifest that is rendered again has the same one: the server reads it only at its start
def _tls(host: str) -> tuple[str, str]:
    """A certificate that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()
