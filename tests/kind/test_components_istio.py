"""A real Istio on a real cluster, installed, verified, repaired and removed by labkit's component."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from labkit.cluster import Cluster, components
from labkit.cluster.components import Options
from labkit.cluster.components.commands import rendered, run
from labkit.cluster.components.ensuring import told
from labkit.cluster.components.istio import Istio
from labkit.course.lab import Lab
from labkit.course.progress import Progress

from .conftest import KindCluster
from .engines import ROOT
from .istio import TOOLS_IMAGE, IstioKit

T = TypeVar("T")

SERVER = """
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write((self.headers.get("x-forwarded-client-cert") or "plain").encode())
http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""


def pod(name: str, *command: str, meshed: bool, **container: Any) -> dict:
    main = {"name": "app", "image": TOOLS_IMAGE, "imagePullPolicy": "IfNotPresent", "command": list(command)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name, "sidecar.istio.io/inject": str(meshed).lower()}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [main | container]},
    }


def demo() -> list[dict]:
    """A server in the mesh, a client in it, and one outside."""
    listening = {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "ports": [{"name": "http", "port": 8080}]},
    }
    return [
        service,
        pod("server", "python3", "-c", SERVER, meshed=True, readinessProbe=listening),
        pod("inside", "sleep", "infinity", meshed=True),
        pod("outside", "sleep", "infinity", meshed=False),
    ]


def curl(cluster: Cluster, room: str, client: str) -> tuple[int, str]:
    """curl's exit code, and the body or curl's own words."""
    found = cluster.exec(
        room, client, ["curl", "-sS", "-m", "10", f"http://server.{room}:8080/"], container="app"
    )
    return found.exit_code, found.stdout or found.stderr


def everything_named(cluster: Cluster, word: str) -> set[str]:
    """Kinds that a mesh leaves behind, by name: what has the word in it."""
    kinds = (
        "namespaces", "customresourcedefinitions.apiextensions.k8s.io", "clusterroles", "clusterrolebindings",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io", "apiservices.apiregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io", "configmaps", "serviceaccounts", "roles",
        "rolebindings", "services", "deployments", "daemonsets", "secrets", "leases.coordination.k8s.io",
    )  # fmt: skip
    found = {
        f"{kind} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}"
        for kind in kinds
        for one in cluster.list(kind)
    }
    return {one for one in found if word in one}


def test_a_pod_in_the_mesh_is_reached_by_its_kind_and_strict_shuts_out_the_others(
    istio: IstioKit, kind_cluster: KindCluster, room: str
) -> None:
    cluster = kind_cluster.cluster
    cluster.apply(demo(), namespace=room)
    cluster.wait_ready(demo(), namespace=room, timeout=120)

    # istiod tells the proxies of pods and policies; nothing in the API says when they know.
    code, body = until(lambda: curl(cluster, room, "inside"), lambda said: "/sa/default" in said[1])
    assert code == 0, body
    assert f"/ns/{room}/sa/default" in body  # the server saw a client certificate
    assert curl(cluster, room, "outside") == (0, "plain")

    strict = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "strict"},
        "spec": {"mtls": {"mode": "STRICT"}},
    }
    cluster.apply(strict, namespace=room)
    code, words = until(lambda: curl(cluster, room, "outside"), lambda said: said[0] != 0)
    assert code == 56
    assert "reset by peer" in words
    assert curl(cluster, room, "inside")[0] == 0


def until(ask: Callable[[], T], good: Callable[[T], bool], seconds: float = 60) -> T:
    """The first good answer, or the last one."""
    deadline = time.monotonic() + seconds
    while not good(answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer


def test_it_fits_into_4_gib_and_optional_parts_are_rendered(istio_images: IstioKit) -> None:
    """By the real istioctl, with the images and the version that a learner gets."""
    plain = objects_of(istio_images, Options(hub="registry.istio.io/release", tag="1.30.4"))
    assert list(plain) == ["istiod"]
    container = plain["istiod"]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.istio.io/release/pilot:1.30.4"
    assert container["resources"]["requests"] == {"cpu": "10m", "memory": "100Mi"}

    ingress = objects_of(istio_images, Options(extras=frozenset({"ingress"})))
    assert list(ingress) == ["istio-ingressgateway", "istiod"]
    ambient = objects_of(istio_images, Options(extras=frozenset({"ambient"})))
    assert sorted(ambient) == ["istio-cni-node", "istiod", "ztunnel"]
    for workload in (*ingress.values(), *ambient.values()):
        for one in workload["spec"]["template"]["spec"]["containers"]:
            assert one["resources"]["requests"]["memory"] in ("40Mi", "100Mi")


def objects_of(kit: IstioKit, options: Options) -> dict[str, dict]:
    """The workloads that would be installed, by name."""
    said = run(kit.istioctl, ["manifest", "generate", *Istio().arguments(options)])
    workloads = [one for one in rendered(said) if one["kind"] in ("Deployment", "DaemonSet")]
    return {one["metadata"]["name"]: one for one in workloads}


def test_what_is_there_and_works_is_left_alone(istio: IstioKit, kind_cluster: KindCluster) -> None:
    cluster = kind_cluster.cluster
    before = cluster.get("deployments", "istiod", "istio-system")
    [outcome] = components.ensure(cluster, ["istio"])
    after = cluster.get("deployments", "istiod", "istio-system")
    assert outcome.action == "found"
    assert before
    assert after
    assert before["metadata"]["generation"] == after["metadata"]["generation"]


def test_the_version_is_what_istiod_says(istio: IstioKit, kind_cluster: KindCluster) -> None:
    assert components.get("istio").version(kind_cluster.cluster) == "1.31.1"


def test_verify_asks_the_webhooks_and_sees_that_nobody_answers(
    istio: IstioKit, kind_cluster: KindCluster
) -> None:
    cluster = kind_cluster.cluster
    assert all(one.ok for one in components.get("istio").verify(cluster))
    cluster.patch("deployments", "istiod", {"spec": {"replicas": 0}}, namespace="istio-system")
    cluster.wait("pods", namespace="istio-system", label_selector="app=istiod", condition="gone")
    findings = {one.title: one for one in components.get("istio").verify(cluster)}
    assert not findings["istiod runs"].ok
    assert not findings["a pod gets a sidecar"].ok
    assert "does not answer" in findings["a pod gets a sidecar"].explanation

    [outcome] = components.ensure(cluster, ["istio"], options={"istio": istio.options()})
    assert outcome.action == "repaired"
    assert all(one.ok for one in components.get("istio").verify(cluster))


def test_a_dropped_webhook_is_noticed(istio: IstioKit, kind_cluster: KindCluster) -> None:
    cluster = kind_cluster.cluster
    cluster.delete("validatingwebhookconfigurations.admissionregistration.k8s.io", "istiod-default-validator")
    findings = components.get("istio").verify(cluster)
    assert [one.title for one in findings if not one.ok] == ["a broken policy is refused"]
    assert "the validation webhook does not work" in told(findings)


def test_nothing_of_it_stays(istio: IstioKit, kind_cluster: KindCluster, room: str) -> None:
    cluster = kind_cluster.cluster
    cluster.apply(pod("meshed", "sleep", "infinity", meshed=True), namespace=room)
    cluster.wait_ready(pod("meshed", "sleep", "infinity", meshed=True), namespace=room, timeout=120)
    [outcome] = components.remove(cluster, "istio")
    assert outcome.action == "removed"
    assert f"{room}/meshed" in outcome.notes[0]  # it keeps its sidecar
    assert everything_named(cluster, "istio") == set()
    assert everything_named(cluster, "labkit-component") == set()
    assert components.get("istio").version(cluster) is None
    with pytest.raises(components.ComponentError, match="Istio is not installed"):
        components.remove(cluster, "istio")


CHAPTER = """
format: labkit-steps/1
chapter: 90-mesh
title: A mesh
minutes: 1
requires: [istio]
demo: [room.yaml]
namespaces: [mesh-of-a-chapter]
ports: [8080]
steps:
- id: one
  title: One
  kind: answer
  task: Which?
  points: 1
  expect: {what: choice, is: a}
  choices: {a: A, b: B}
  hints: [a, b, c]
"""


@pytest.fixture
def chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind_cluster: KindCluster) -> Iterator[str]:
    folder = tmp_path / "notebooks" / "90-mesh"
    folder.mkdir(parents=True)
    (folder / "steps.yaml").write_text(CHAPTER)
    (folder / "room.yaml").write_text(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: mesh-of-a-chapter}\n"
    )
    (tmp_path / "clusters").symlink_to(ROOT / "clusters")
    monkeypatch.setenv("LABKIT_ROOT", str(tmp_path))
    yield "90-mesh"
    kind_cluster.cluster.delete("namespaces", "mesh-of-a-chapter", wait=None)


def test_a_chapter_brings_what_it_requires(
    chapter: str,
    istio_images: IstioKit,
    kind_cluster: KindCluster,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if components.get("istio").version(kind_cluster.cluster):
        components.remove(kind_cluster.cluster, "istio")
    lab = Lab(chapter, cluster=kind_cluster.cluster, progress=Progress(tmp_path / "progress.json", "me"))
    lab.setup()
    said = capsys.readouterr().out
    assert "Istio 1.31.1 was installed and works." in said
    assert "Waiting for Istio: istiod" in said
    lab.require("istio")
    assert capsys.readouterr().out.strip().endswith("Istio 1.31.1 is there and works.")


def test_the_command_line_says_what_is_there_and_removes_it(
    istio: IstioKit, kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kind_cluster.kubeconfig))
    assert "Istio 1.31.1 is there and works." in labkit(kind_cluster, "install", "istio")
    listed = json.loads(labkit(kind_cluster, "install", "-o", "json"))
    assert {one["name"]: one["version"] for one in listed}["istio"] == "1.31.1"
    assert "Istio is gone." in labkit(kind_cluster, "uninstall", "istio")


def labkit(kind_cluster: KindCluster, *words: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).parent / "labkit", *words],
        capture_output=True, text=True, check=False, timeout=300, env={**os.environ, "LABKIT_HOME": str(kind_cluster.home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
