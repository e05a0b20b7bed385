"""Components that come as manifests, on a real cluster: cert-manager's part is played by a stand-in (see standins.py)."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.cluster import Cluster, components
from labkit.cluster.components import ComponentError, Options, applying
from labkit.cluster.tools import CannotDownload, WrongChecksum, download
from tests.cluster.tools.upstream import Upstream

from .conftest import BIN, KindCluster
from .standins import definition, deployment, namespace, publish, skip_without_image, text_of, webhook

NAME = "cert-manager"
LABELS = {"app.kubernetes.io/version": "v1.21.1"}
# What upstream's webhook says of such a Certificate, by its own rule.
RULE = """
def answer(certificate):
    spec = certificate["spec"]
    hours = lambda text: int(text.partition("h")[0])
    if spec.get("renewBefore") and hours(spec["renewBefore"]) >= hours(spec["duration"]):
        return False, "spec.renewBefore: must be less than spec.duration", None
    return True, "", None
"""


def manifest(**changes: Any) -> str:
    """Definitions, a controller that sleeps, a webhook that decides."""
    kinds = {"apiGroups": ["cert-manager.io"], "apiVersions": ["v1"], "resources": ["certificates"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "cert-manager-controller-certificates"},
        "rules": [{"apiGroups": ["cert-manager.io"], "resources": ["certificates"], "verbs": ["get"]}],
    }
    leader = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "cert-manager:leaderelection", "namespace": "kube-system"},
        "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]}],
    }
    controller = deployment(NAME, NAME, ["sleep", "infinity"], labels=LABELS) | changes.pop("controller", {})
    return text_of(
        namespace(NAME),
        definition("cert-manager.io", "Certificate"),
        role,
        leader,
        controller,
        *webhook("cert-manager-webhook", NAME, RULE, "ValidatingWebhookConfiguration", kinds),
    )


@pytest.fixture(autouse=True)
def _cleared(kind_cluster: KindCluster) -> Iterator[None]:
    """Nothing of cert-manager afterwards."""
    cluster = kind_cluster.cluster
    skip_without_image(cluster)
    yield
    if left(cluster):
        cluster.delete("namespaces", NAME)
        if components.get(NAME).version(cluster) or any("labkit-component" in one for one in left(cluster)):
            components.remove(cluster, NAME)
    assert left(cluster) == set()


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    monkeypatch.setattr(download, "PAUSES", (0.01,))
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with Upstream() as running:
        yield running


@pytest.fixture
def published(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that publishes a manifest as this machine's cert-manager 1.21.1."""

    def put(text: str) -> None:
        folder = tmp_path / f"clusters-{len(upstream.asked)}"
        monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / f"cache-{len(upstream.asked)}"))
        monkeypatch.setenv(
            "LABKIT_CLUSTERS", str(publish(upstream, folder, cert_manager={"cert-manager.yaml": text}))
        )

    return put


def left(cluster: Cluster) -> set[str]:
    """What there is of it, by name."""
    kinds = (
        "namespaces", "customresourcedefinitions.apiextensions.k8s.io", "clusterroles", "clusterrolebindings",
        "validatingwebhookconfigurations.admissionregistration.k8s.io", "roles", "configmaps", "leases.coordination.k8s.io",
    )  # fmt: skip
    names = {f"{kind} {one['metadata']['name']}" for kind in kinds for one in cluster.list(kind)}
    return {one for one in names if NAME in one}


def test_it_is_downloaded_installed_asked_and_removed_without_a_trace(
    published: Any, upstream: Upstream, kind_cluster: KindCluster
) -> None:
    cluster = kind_cluster.cluster
    published(manifest())
    [outcome] = components.ensure(cluster, [NAME])
    assert str(outcome) == "cert-manager 1.21.1 was installed and works."
    assert [one.title for one in components.get(NAME).verify(cluster)] == [
        "the controller runs",
        "a Certificate is taken",
        "a broken Certificate is refused",
    ]
    [again] = components.ensure(cluster, [NAME])
    assert again.action == "found"
    assert upstream.paths() == ["/cert-manager/cert-manager.yaml"]  # once

    lease = {  # as the real one leaves it behind, outside of its namespace
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "cert-manager-controller", "namespace": "kube-system"},
    }
    cluster.apply(lease)
    components.remove(cluster, NAME)
    assert left(cluster) == set()


def test_a_webhook_that_takes_everything_is_noticed(published: Any, kind_cluster: KindCluster) -> None:
    cluster = kind_cluster.cluster
    published(manifest().replace("return False, ", "return True, "))
    with pytest.raises(ComponentError) as caught:
        components.ensure(cluster, [NAME])
    assert "cert-manager was installed and does not work:" in str(caught.value)
    assert "✗ a broken Certificate is refused: it was taken" in str(caught.value)


def test_an_image_that_cannot_be_had_is_told_early_with_its_pod_and_event(
    published: Any, kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "IMAGE_PATIENCE", 10.0)
    cluster = kind_cluster.cluster
    image = "registry.example.invalid/jetstack/cert-manager-controller:v1.21.1"
    published(manifest(controller=deployment(NAME, NAME, ["sleep", "infinity"], labels=LABELS, image=image)))
    with pytest.raises(ComponentError) as caught:
        components.ensure(cluster, [NAME], options={NAME: Options(timeout=300)})
    said = str(caught.value)
    assert said.startswith("cert-manager does not start.")
    assert "pod cert-manager/cert-manager-" in said
    assert "ImagePull" in said
    assert "event: Failed: " in said
    assert image in said
    assert "labkit bundle load" in said  # what to do

    published(manifest())  # the same command goes on, once the cause is gone
    [outcome] = components.ensure(cluster, [NAME])
    assert outcome.action == "repaired"


def test_a_program_that_dies_is_told_with_the_end_of_its_log(
    published: Any, kind_cluster: KindCluster
) -> None:
    dying = ["sh", "-c", "echo cannot read /etc/cert-manager/config; exit 3"]
    controller = deployment(NAME, NAME, dying, labels=LABELS)
    controller["spec"]["minReadySeconds"] = (
        5  # without a probe it would count as there for the moment that it runs
    )
    published(manifest(controller=controller))
    with pytest.raises(ComponentError, match="log of main: cannot read /etc/cert-manager/config"):
        components.ensure(kind_cluster.cluster, [NAME], options={NAME: Options(timeout=25)})


def test_an_object_that_the_server_refuses_is_named_in_its_words(
    published: Any, kind_cluster: KindCluster
) -> None:
    broken = deployment(NAME, NAME, ["sleep", "infinity"], labels=LABELS)
    broken["spec"]["replicas"] = -1
    published(manifest(controller=broken))
    with pytest.raises(ComponentError) as caught:
        components.ensure(kind_cluster.cluster, [NAME])
    assert "does not accept Deployment cert-manager/cert-manager" in str(caught.value)
    assert "must be greater than or equal to 0" in str(caught.value)


def test_what_broke_off_in_the_middle_is_removed_as_well(published: Any, kind_cluster: KindCluster) -> None:
    published(manifest())

    def interrupt(line: str) -> None:
        if line.startswith("Waiting for cert-manager"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        components.ensure(kind_cluster.cluster, [NAME], interrupt)
    assert left(kind_cluster.cluster)
    components.remove(kind_cluster.cluster, NAME)
    assert left(kind_cluster.cluster) == set()


def test_ctrl_c_says_what_is_left_and_how_to_go_on(
    published: Any, kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    unready = {"readinessProbe": {"exec": {"command": ["false"]}}}
    published(
        manifest(controller=deployment(NAME, NAME, ["sleep", "infinity"], labels=LABELS, container=unready))
    )
    monkeypatch.setenv("KUBECONFIG", str(kind_cluster.kubeconfig))
    command = [BIN / "labkit", "install", NAME]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stderr
        said = ""
        for line in running.stdout:
            said += line
            if line.strip().startswith("Waiting for cert-manager"):
                running.send_signal(signal.SIGINT)
                break
        told = running.stderr.read()
        assert running.wait(60) == 130, said + told
    assert f"labkit install {NAME} goes on from here, labkit uninstall NAME takes it all away again" in told
    assert "Traceback" not in told
    components.remove(kind_cluster.cluster, NAME)
    assert left(kind_cluster.cluster) == set()


def test_what_others_installed_is_neither_overwritten_nor_removed(
    published: Any, kind_cluster: KindCluster
) -> None:
    cluster = kind_cluster.cluster
    published(manifest())
    theirs = [
        namespace(NAME),
        deployment(NAME, NAME, ["sleep", "infinity"], labels={"app.kubernetes.io/version": "v1.9.0"}),
    ]
    cluster.apply(theirs)
    with pytest.raises(
        ComponentError, match=r"cert-manager 1.9.0 is in this cluster but does not work, and labkit did not"
    ):
        components.ensure(cluster, [NAME])
    with pytest.raises(ComponentError, match="was not installed by labkit, so labkit does not remove it"):
        components.remove(cluster, NAME)
    assert cluster.get("deployments", NAME, NAME)


@pytest.mark.parametrize(("status", "error"), [(404, CannotDownload), (200, WrongChecksum)])
def test_what_cannot_be_downloaded_or_is_something_else_leaves_the_cluster_as_it_was(
    status: int, error: type[Exception], published: Any, upstream: Upstream, kind_cluster: KindCluster
) -> None:
    published(manifest())
    served = upstream.files["/cert-manager/cert-manager.yaml"]
    if status == 404:
        del upstream.files["/cert-manager/cert-manager.yaml"]
    else:
        served.content = b"<html>Please log in</html>"
    with pytest.raises(error):
        components.ensure(kind_cluster.cluster, [NAME])
    assert left(kind_cluster.cluster) == set()
