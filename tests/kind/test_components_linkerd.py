"""Linkerd's component on a real cluster. Its command line and its programs are stand-ins (see standins.py).

The stand-in `linkerd` takes the commands and flags that upstream's documentation has, refuses what upstream refuses (install
without the Gateway API, install where it is installed), answers `check -o json` in upstream's format, and renders small objects
with upstream's names; its proxy injector is a real webhook that adds a container called linkerd-proxy.
"""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labkit.cluster import Cluster, components
from labkit.cluster.components import ComponentError, Options, Refused
from tests.cluster.tools.upstream import Upstream

from .conftest import BIN, KindCluster
from .standins import definition, deployment, namespace, publish, skip_without_image, text_of, webhook

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
HTTP_ROUTES = "httproutes.gateway.networking.k8s.io"

INJECT = """
def answer(pod):
    if (pod["metadata"].get("annotations") or {}).get("linkerd.io/inject") != "enabled":
        return True, "", None
    proxy = {"name": "linkerd-proxy", "image": "cr.l5d.io/linkerd/proxy"}
    return True, "", [{"op": "add", "path": "/spec/containers/0", "value": proxy}]
"""

PROGRAM = """#!{python}
import json, pathlib, subprocess, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
with (here / "asked").open("a") as log:
    log.write(" ".join(words) + "\\n")

def kubectl(*wanted):
    # KUBECONFIG is what labkit gives; --context is among the words
    context = words[words.index("--context") + 1]
    return subprocess.run(["{kubectl}", "--context", context, *wanted], capture_output=True).returncode == 0

def render(name):
    print((here / f"{{name}}.yaml").read_text())

def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)

if words[0] == "version":
    print("edge-26.6.3")
elif words[0] == "check":
    failing = here / ("failing-pre" if "--pre" in words else "failing")
    checks = [{{"description": "can query the Kubernetes API", "result": "success"}}]
    if failing.exists():
        checks.append(json.loads(failing.read_text()))
    print(json.dumps({{"success": not failing.exists(), "categories": [{{"categoryName": "kubernetes-api", "checks": checks}}]}}))
    sys.exit(failing.exists())
elif words[:2] == ["viz", "install"]:
    render("viz")
elif words[:2] == ["install", "--crds"]:
    if not kubectl("get", "crd", "httproutes.gateway.networking.k8s.io"):
        fail("Linkerd requires the Gateway API CRDs to be installed")
    render("crds")
elif words[0] in ("install", "upgrade"):
    there = kubectl("get", "configmap", "linkerd-config", "-n", "linkerd")
    if words[0] == "install" and there:
        fail("Unable to install the Linkerd control plane. It appears that there is an existing installation")
    if words[0] == "upgrade" and not there:
        fail("could not read linkerd-config")
    render("control-plane")
else:
    fail(f"unknown command {{words[0]}}")
"""


@dataclass
class Linkerd:
    """The stand-in: where it is, and what it was asked."""

    folder: Path
    cluster: Cluster

    @property
    def asked(self) -> list[str]:
        """The commands so far, without flags that say which cluster."""
        lines = (self.folder / "asked").read_text().splitlines()
        return [line.partition(" --context")[0] for line in lines]

    def fails(self, when: str, check: dict[str, str]) -> None:
        """Have a check fail from now on: `failing` or `failing-pre`."""
        (self.folder / when).write_text(json.dumps(check))

    def left(self) -> set[str]:
        """What there is of it, and of what came along with it, by name."""
        kinds = (
            "namespaces", "customresourcedefinitions.apiextensions.k8s.io", "clusterroles", "configmaps",
            "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        )  # fmt: skip
        names = {f"{kind} {one['metadata']['name']}" for kind in kinds for one in self.cluster.list(kind)}
        return {
            one for one in names if any(word in one for word in ("linkerd", "gateway", "labkit-component"))
        }


def gateway_api(version: str = "v1.2.1") -> str:
    """One of the definitions, with the annotation by which upstream says its version."""
    said = {
        "gateway.networking.k8s.io/bundle-version": version,
        "api-approved.kubernetes.io": "https://example.test",
    }
    return text_of(definition("gateway.networking.k8s.io", "HTTPRoute", annotations=said))


@pytest.fixture
def linkerd(kind_cluster: KindCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Linkerd]:
    skip_without_image(kind_cluster.cluster)
    folder = tmp_path / "tool"
    folder.mkdir()
    by = {"linkerd.io/created-by": "linkerd/cli edge-26.6.3"}
    destination = deployment("linkerd-destination", "linkerd", ["sleep", "infinity"])
    destination["metadata"]["annotations"] = by
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "linkerd-config", "namespace": "linkerd"},
    }
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    outside = {
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": ["kube-system", "linkerd"],
    }
    injector = webhook(
        "linkerd-proxy-injector", "linkerd", INJECT, "MutatingWebhookConfiguration", pods,
        namespaceSelector={"matchExpressions": [outside]},
    )  # fmt: skip
    parts = {
        "crds": text_of(definition("policy.linkerd.io", "Server", "v1beta3")),
        "control-plane": text_of(namespace("linkerd"), config, destination, *injector),
        "viz": text_of(
            namespace("linkerd-viz"), deployment("metrics-api", "linkerd-viz", ["sleep", "infinity"])
        ),
    }
    for name, text in parts.items():
        (folder / f"{name}.yaml").write_text(text)
    program = folder / "linkerd"
    program.write_text(PROGRAM.format(python=sys.executable, kubectl=BIN / "kubectl"))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("LABKIT_LINKERD", str(program))
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    found = Linkerd(folder, kind_cluster.cluster)
    with Upstream() as upstream:
        clusters = publish(
            upstream, tmp_path / "clusters", gateway_api={"standard-install.yaml": gateway_api()}
        )
        monkeypatch.setenv("LABKIT_CLUSTERS", str(clusters))
        yield found
    for name in ("linkerd", "gateway-api"):
        if any(f"labkit-component-{name}" in one for one in found.left()):
            components.remove(found.cluster, name)
    assert found.left() == set()


def test_the_gateway_api_comes_first_and_goes_with_it(linkerd: Linkerd) -> None:
    done = components.ensure(linkerd.cluster, ["linkerd+viz"])
    assert [(one.name, one.version, one.action) for one in done] == [
        ("gateway-api", "1.2.1", "installed"),
        ("linkerd", "edge-26.6.3", "installed"),
    ]
    values = linkerd.folder.parent / "clusters" / "linkerd" / "lab.yaml"
    assert [line for line in linkerd.asked if not line.startswith("version") and line != "check -o json"] == [
        "check --pre -o json",
        "install --crds",
        f"install --values {values}",
        "viz install",
    ]
    assert linkerd.cluster.get("deployments", "metrics-api", "linkerd-viz")
    assert [one.action for one in components.ensure(linkerd.cluster, ["linkerd"])] == ["found", "found"]

    gone = components.remove(linkerd.cluster, "linkerd")
    assert [one.name for one in gone] == ["linkerd", "gateway-api"]
    assert linkerd.left() == set()


@pytest.fixture
def theirs(linkerd: Linkerd) -> Iterator[Callable[[str], None]]:
    """A function that has somebody else install a version of the Gateway API; removed afterwards."""

    def install(version: str) -> None:
        linkerd.cluster.apply(gateway_api(version))
        linkerd.cluster.wait(DEFINITIONS, HTTP_ROUTES, condition="Established")

    yield install
    linkerd.cluster.delete(DEFINITIONS, HTTP_ROUTES)


def test_a_gateway_api_that_was_there_before_stays(linkerd: Linkerd, theirs: Callable[[str], None]) -> None:
    theirs("v1.5.1")
    done = components.ensure(linkerd.cluster, ["linkerd"])
    assert [(one.action, one.version) for one in done] == [("found", "1.5.1"), ("installed", "edge-26.6.3")]
    assert [one.name for one in components.remove(linkerd.cluster, "linkerd")] == ["linkerd"]
    assert any(HTTP_ROUTES in one for one in linkerd.left())


def test_a_gateway_api_of_another_time_is_a_refusal_with_the_reason(
    linkerd: Linkerd, theirs: Callable[[str], None]
) -> None:
    theirs("v1.0.0")
    with pytest.raises(Refused) as caught:
        components.ensure(linkerd.cluster, ["linkerd"])
    assert "Linkerd edge-26.6.3 supports Gateway API 1.2.1 to 1.5.1, and here is Gateway API 1.0.0" in str(
        caught.value
    )
    assert not linkerd.cluster.get("namespaces", "linkerd")


def test_what_linkerd_check_finds_beforehand_is_a_refusal_in_its_words(linkerd: Linkerd) -> None:
    hint = "https://linkerd.io/checks/#pre-k8s-clock-skew"
    check = {
        "description": "no clock skew detected",
        "result": "error",
        "error": "clock skew of 5m",
        "hint": hint,
    }
    linkerd.fails("failing-pre", check)
    with pytest.raises(Refused) as caught:
        components.ensure(linkerd.cluster, ["linkerd"])
    assert "no clock skew detected: clock skew of 5m" in str(caught.value)
    assert hint in str(caught.value)
    assert not linkerd.cluster.get("namespaces", "linkerd")


def test_what_broke_off_goes_on_by_upgrade_which_keeps_the_certificates(linkerd: Linkerd) -> None:
    def interrupt(line: str) -> None:
        if line.startswith("Waiting for Linkerd: "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        components.ensure(linkerd.cluster, ["linkerd"], interrupt)
    linkerd.cluster.patch(
        "deployments", "linkerd-destination", {"spec": {"replicas": 0}}, namespace="linkerd"
    )
    linkerd.cluster.delete(
        "mutatingwebhookconfigurations.admissionregistration.k8s.io", "linkerd-proxy-injector"
    )
    done = components.ensure(linkerd.cluster, ["linkerd"])
    assert done[-1].action == "repaired"
    assert any(line.startswith("upgrade --values") for line in linkerd.asked)


def test_what_linkerd_check_finds_afterwards_is_told(linkerd: Linkerd) -> None:
    linkerd.fails(
        "failing", {"description": "control plane pods are ready", "result": "error", "error": "no"}
    )
    with pytest.raises(ComponentError, match="✗ kubernetes-api: control plane pods are ready: no"):
        components.ensure(linkerd.cluster, ["linkerd"], options={"linkerd": Options(timeout=120)})
