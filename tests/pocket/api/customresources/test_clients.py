"""kubectl and the official client with custom resources."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from labkit.pocket.controllers import run_all
from tests.pocket.api.conftest import KUBECTL, Served
from tests.pocket.api.customresources.record import session

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")

WIDGET = """\
apiVersion: lab.example.com/v1
kind: Widget
metadata: {name: NAME, namespace: shop}
spec: {mode: fast, replicas: 2}
"""


@pytest.fixture(scope="module")
def widgets(served: Served) -> Iterator[Served]:
    """A server with its controllers and the definition of widgets."""
    running = asyncio.run_coroutine_threadsafe(run_all(served.api), served.loop)
    served.kubectl("apply", "-f", "-", stdin=json.dumps(session()[0]["body"]))
    crd = "crd/widgets.lab.example.com"
    served.kubectl("wait", crd, "--for=condition=Established", "--timeout=20s")
    yield served
    running.cancel()


def test_apply_get_and_delete_by_any_name(widgets: Served) -> None:
    text = WIDGET.replace("NAME", "applied")
    said = "widget.lab.example.com/applied "
    assert widgets.kubectl("apply", "-f", "-", stdin=text) == said + "created\n"
    assert widgets.kubectl("apply", "-f", "-", stdin=text) == said + "unchanged\n"
    assert widgets.kubectl("apply", "-f", "-", stdin=text.replace("fast", "slow")) == said + "configured\n"
    for name in ("wg", "widget", "widgets.lab.example.com", "gadgets"):
        lines = widgets.kubectl("get", name, "-n", "shop").splitlines()
        assert lines[0].split() == ["NAME", "SIZE", "MODE", "READY", "SINCE", "AGE"], name
        assert lines[1].split()[:3] == ["applied", "2", "slow"]
    assert widgets.kubectl("delete", "wg", "applied", "-n", "shop").startswith(
        'widget.lab.example.com "applied" deleted'
    )


def test_server_side_apply_takes_what_is_ones_own(widgets: Served) -> None:
    text = WIDGET.replace("NAME", "owned")
    widgets.kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", stdin=text)
    other = text.replace("fast", "slow")
    said = widgets.kubectl(
        "apply", "--server-side", "--field-manager=two", "-f", "-", stdin=other, fails=True
    )
    assert 'conflict with "one": .spec.mode' in said
    forced = ("apply", "--server-side", "--field-manager=two", "--force-conflicts", "-f", "-")
    widgets.kubectl(*forced, stdin=other)


def test_explain_and_strict_validation_know_the_schema(widgets: Served) -> None:
    assert "How many there shall be" in widgets.kubectl("explain", "widget.spec.replicas")
    wrong = WIDGET.replace("NAME", "wrong").replace("mode", "mod")
    assert 'strict decoding error: unknown field "spec.mod"' in widgets.kubectl(
        "create", "-f", "-", stdin=wrong, fails=True
    )
    quick = WIDGET.replace("NAME", "wrong").replace("fast", "quick")
    assert 'spec.mode: Unsupported value: "quick": supported values: "fast", "slow"' in widgets.kubectl(
        "create", "-f", "-", stdin=quick, fails=True
    )


def test_scale_patch_label_and_wait(widgets: Served) -> None:
    widgets.kubectl("create", "-f", "-", stdin=WIDGET.replace("NAME", "scaled"))
    widgets.kubectl("scale", "widget/scaled", "-n", "shop", "--replicas=5")
    size = widgets.kubectl("get", "wg", "scaled", "-n", "shop", "-o", "jsonpath={.spec.replicas}")
    assert size == "5"
    status = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    patch = ("patch", "wg", "scaled", "-n", "shop", "--type=merge", "--subresource=status", "-p", status)
    widgets.kubectl(*patch)
    widgets.kubectl("wait", "wg/scaled", "-n", "shop", "--for=condition=Ready", "--timeout=5s")
    widgets.kubectl("label", "wg", "scaled", "-n", "shop", "a=b")
    assert "scaled" in widgets.kubectl("get", "wg", "-n", "shop", "-l", "a=b", "-o", "name")


def test_a_watch_tells_what_happens(widgets: Served) -> None:
    assert KUBECTL
    command = [KUBECTL, f"--kubeconfig={widgets.kubeconfig}", "get", "wg", "-n", "shop", "-w", "-o", "name"]
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout is not None
        widgets.kubectl("create", "-f", "-", stdin=WIDGET.replace("NAME", "watched"))
        for line in watch.stdout:
            if "watched" in line:
                break
    finally:
        watch.kill()
        watch.wait(10)


def test_the_official_client_reads_and_writes_them(widgets: Served) -> None:
    client = pytest.importorskip("kubernetes.client")
    config = pytest.importorskip("kubernetes.config")
    api = client.CustomObjectsApi(config.new_client_from_config(str(widgets.kubeconfig)))
    place = ("lab.example.com", "v1", "shop", "widgets")
    body: dict[str, Any] = {
        "apiVersion": "lab.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "python"},
        "spec": {"mode": "fast"},
    }
    assert api.create_namespaced_custom_object(*place, body)["spec"]["replicas"] == 1
    patched = api.patch_namespaced_custom_object(*place, "python", {"spec": {"mode": "slow"}})
    assert patched["spec"]["mode"] == "slow"
    names = [item["metadata"]["name"] for item in api.list_namespaced_custom_object(*place)["items"]]
    assert "python" in names
    api.delete_namespaced_custom_object(*place, "python")
    extensions = client.ApiextensionsV1Api(config.new_client_from_config(str(widgets.kubeconfig)))
    crd = extensions.read_custom_resource_definition("widgets.lab.example.com")
    assert crd.status.accepted_names.kind == "Widget"
