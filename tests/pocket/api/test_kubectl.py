"""The real kubectl against the API. What needs controllers or a node is tested with a whole cluster."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pocket.api.conftest import KUBECTL, Served, deployment, pod

pytestmark = pytest.mark.skipif(
    KUBECTL is None, reason="kubectl is not installed (labkit's `cluster` extra has it)"
)

MANIFEST = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: NAME, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {matchLabels: {role: frontend}}
    ports: [{port: 3306, protocol: TCP}]
"""


def manifest(name: str) -> str:
    return MANIFEST.replace("NAME", name)


def test_kubectl_agrees_with_the_server(served: Served) -> None:
    version = json.loads(served.kubectl("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"] == "v1.34.3"
    assert "apps/v1" in served.kubectl("api-versions").split()
    assert served.kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    assert "kubernetes-admin" in served.kubectl("auth", "whoami")


def test_resources_have_their_short_names(served: Served) -> None:
    lines = served.kubectl("api-resources", "--no-headers").splitlines()
    table = {(line.split()[0], line.split()[-1]): line.split() for line in lines}
    assert table["networkpolicies", "NetworkPolicy"][1] == "netpol"
    assert {kind for _, kind in table} >= {
        "Pod",
        "Deployment",
        "ReplicaSet",
        "Service",
        "EndpointSlice",
        "Lease",
    }


def test_apply_creates_leaves_alone_and_changes(served: Served) -> None:
    text = manifest("applied")
    said = "networkpolicy.networking.k8s.io/applied "
    assert served.kubectl("apply", "-f", "-", stdin=text) == said + "created\n"
    assert served.kubectl("apply", "-f", "-", stdin=text) == said + "unchanged\n"
    changed = text.replace("3306", "5432")
    assert (
        served.kubectl("apply", "-f", "-", "--dry-run=server", stdin=changed)
        == said + "configured (server dry run)\n"
    )
    difference = served.kubectl("diff", "-f", "-", stdin=changed, fails=True, KUBECTL_EXTERNAL_DIFF="diff -u")
    assert difference == "", "a difference is no error, only an exit code"
    assert served.kubectl("apply", "-f", "-", stdin=changed) == said + "configured\n"
    assert (
        served.kubectl(
            "get", "netpol", "applied", "-n", "shop", "-o", "jsonpath={.spec.ingress[0].ports[0].port}"
        )
        == "5432"
    )


def test_apply_removes_what_the_manifest_no_longer_has(served: Served) -> None:
    labelled = manifest("trimmed").replace("namespace: shop}", "namespace: shop, labels: {a: b}}")
    served.kubectl("apply", "-f", "-", stdin=labelled)
    served.kubectl("apply", "-f", "-", stdin=manifest("trimmed"))
    assert served.kubectl("get", "netpol", "trimmed", "-n", "shop", "-o", "jsonpath={.metadata.labels}") == ""


def test_server_side_apply_asks_before_it_takes_over(served: Served) -> None:
    text = manifest("sided")
    serverside = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in served.kubectl(*serverside, "--field-manager=me", stdin=text)
    other = text.replace("3306", "5432")
    said = served.kubectl(*serverside, "--field-manager=you", stdin=other, fails=True)
    assert 'Apply failed with 1 conflict: conflict with "me": .spec.ingress' in said
    assert "serverside-applied" in served.kubectl(
        *serverside, "--field-manager=you", "--force-conflicts", stdin=other
    )


@pytest.mark.parametrize(
    ("was", "becomes", "words"),
    [
        ("- podSelector: {matchLabels: {role: frontend}}", "- {}", "from[0]: Required value: must specify a peer"),
        ("{port: 3306, protocol: TCP}", "{port: 80, endPort: 79}", "must be greater than or equal to `port`"),
        ("podSelector: {matchLabels: {app: db}}", "podSelecter: {}", 'unknown field "spec.podSelecter"'),
        (
            "- podSelector: {matchLabels: {role: frontend}}",
            "- ipBlock: {cidr: 10.0.0.0/8, except: [192.168.0.0/16]}",
            "must be a strict subset of `cidr`",
        ),
        ("{port: 3306, protocol: TCP}", "{port: x_y}", "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_refused_in_the_real_servers_words(
    served: Served, was: str, becomes: str, words: str
) -> None:
    said = served.kubectl("apply", "-f", "-", stdin=manifest("wrong").replace(was, becomes), fails=True)
    assert words in said


def test_a_kind_that_nobody_knows_is_said_to_be_unknown(served: Served) -> None:
    unicorn = "apiVersion: zoo.example/v1\nkind: Unicorn\nmetadata: {name: x}\n"
    said = served.kubectl("apply", "-f", "-", stdin=unicorn, fails=True)
    assert 'no matches for kind "Unicorn" in version "zoo.example/v1"' in said


def test_the_create_commands_work(served: Served) -> None:
    # These send protobuf, whatever they accept in return.
    in_shop = ("-n", "shop")
    assert served.kubectl("create", "namespace", "made") == "namespace/made created\n"
    served.kubectl("create", "deployment", "made", "--image=nginx", "--replicas=2", "--port=80", *in_shop)
    served.kubectl("create", "service", "clusterip", "made", "--tcp=80:8080", *in_shop)
    served.kubectl("create", "configmap", "made", "--from-literal=a=b", *in_shop)
    served.kubectl("create", "secret", "generic", "made", "--from-literal=password=x", *in_shop)
    served.kubectl("create", "serviceaccount", "made", *in_shop)
    assert served.kubectl("create", "token", "made", *in_shop).count(".") == 2
    spec = served.api.get("deployments.apps", "made", "shop")["spec"]
    assert spec["template"]["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert served.api.get("secrets", "made", "shop")["data"] == {"password": "eA=="}
    assert "already exists" in served.kubectl("create", "configmap", "made", *in_shop, fails=True)


def test_labels_and_annotations_are_set_and_removed(served: Served) -> None:
    served.call(lambda: served.api.create("pods", pod("marked")))
    here = ("pod", "marked", "-n", "shop")
    assert served.kubectl("label", *here, "a=b", "c=d") == "pod/marked labeled\n"
    assert "already has a value" in served.kubectl("label", *here, "a=x", fails=True)
    served.kubectl("label", *here, "a=x", "--overwrite")
    served.kubectl("label", *here, "c-")
    served.kubectl("annotate", *here, "note=two words")
    metadata = served.api.get("pods", "marked", "shop")["metadata"]
    assert (metadata["labels"], metadata["annotations"]) == ({"a": "x"}, {"note": "two words"})
    assert served.kubectl("get", "pods", "-n", "shop", "-l", "a=x", "-o", "name") == "pod/marked\n"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("strategic", '{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"nginx:2"}]}}}}'),
        ("merge", '{"spec":{"replicas":4}}'),
        ("json", '[{"op":"replace","path":"/spec/replicas","value":5}]'),
    ],
)
def test_every_kind_of_patch_works(served: Served, kind: str, body: str) -> None:
    name = f"patched-{kind}"
    served.call(lambda: served.api.create("deployments.apps", deployment(name)))
    assert served.kubectl("patch", "deploy", name, "-n", "shop", f"--type={kind}", "-p", body) == (
        f"deployment.apps/{name} patched\n"
    )
    said = served.kubectl("patch", "deploy", name, "-n", "shop", f"--type={kind}", "-p", body)
    assert said.endswith("patched (no change)\n")


def test_an_editor_changes_an_object(served: Served, tmp_path: Path) -> None:
    served.call(
        lambda: served.api.create(
            "configmaps", {"metadata": {"name": "edited"}, "data": {"a": "old"}}, "shop"
        )
    )
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import pathlib, sys\np = pathlib.Path(sys.argv[1])\np.write_text(p.read_text().replace('a: old', 'a: new'))\n"
    )
    command = shlex.join([sys.executable, str(editor)])
    assert (
        served.kubectl("edit", "cm", "edited", "-n", "shop", KUBE_EDITOR=command)
        == "configmap/edited edited\n"
    )
    assert served.api.get("configmaps", "edited", "shop")["data"] == {"a": "new"}


def test_replace_and_set_and_scale(served: Served) -> None:
    served.call(lambda: served.api.create("deployments.apps", deployment("changed")))
    here = ("deployment/changed", "-n", "shop")
    assert served.kubectl("scale", *here, "--replicas=7") == "deployment.apps/changed scaled\n"
    served.kubectl("set", "image", *here, "web=nginx:9")
    served.kubectl("set", "env", *here, "A=b")
    spec = served.api.get("deployments.apps", "changed", "shop")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert (spec["replicas"], container["image"], container["env"]) == (
        7,
        "nginx:9",
        [{"name": "A", "value": "b"}],
    )
    text = served.kubectl("get", *here, "-o", "json")
    assert served.kubectl("replace", "-f", "-", stdin=text) == "deployment.apps/changed replaced\n"
    assert "modified" in served.kubectl(
        "replace", "-f", "-", stdin=text.replace('"resourceVersion": "', '"resourceVersion": "1'), fails=True
    )
    assert "Expected resource version" in served.kubectl(
        "scale", *here, "--replicas=1", "--resource-version=1", fails=True
    )


def test_get_prints_tables_in_all_forms(served: Served) -> None:
    served.call(lambda: served.api.create("pods", pod("shown", app="shown")))
    wide = served.kubectl("get", "pods", "shown", "-n", "shop", "-o", "wide").splitlines()
    assert wide[0].split() == [
        *(
            "NAME",
            "READY",
            "STATUS",
            "RESTARTS",
            "AGE",
            "IP",
            "NODE",
            "NOMINATED",
            "NODE",
            "READINESS",
            "GATES",
        )
    ]
    assert wide[1].split()[:4] == ["shown", "0/1", "Pending", "0"]
    everywhere = served.kubectl("get", "pods", "-A", "-l", "app=shown", "--show-labels")
    assert everywhere.splitlines()[1].split()[-1] == "app=shown"
    assert served.kubectl(
        "get", "pods", "shown", "-n", "shop", "-o", "custom-columns=A:.metadata.name"
    ).split() == ["A", "shown"]
    assert "kind: Pod" in served.kubectl("get", "pods", "shown", "-n", "shop", "-o", "yaml")
    assert 'pods "none" not found' in served.kubectl("get", "pod", "none", fails=True)


def test_describe_shows_the_events_of_an_object(served: Served) -> None:
    def happen() -> None:
        created = served.api.create("pods", pod("described"))
        served.api.record_event(created, "Warning", "Failed", "Back to the drawing board", "kubelet")

    served.call(happen)
    text = served.kubectl("describe", "pod", "described", "-n", "shop")
    assert "Service Account:  default" in text
    assert text.splitlines()[-1].split(maxsplit=4)[:4] == [
        "Warning",
        "Failed",
        text.splitlines()[-1].split()[2],
        "kubelet",
    ]
    assert text.rstrip().endswith("Back to the drawing board")
    assert "Back to the drawing board" in served.kubectl("events", "-n", "shop", "--for", "pod/described")
    assert "Back to the drawing board" in served.kubectl("get", "events", "-n", "shop")


@pytest.mark.parametrize("what", ["ns/shop", "deploy/told", "svc/told", "netpol/told", "cm/told"])
def test_describe_works_for(served: Served, what: str) -> None:
    def make() -> None:
        for resource, body in (
            ("deployments.apps", deployment("told")),
            ("services", {"metadata": {"name": "told"}, "spec": {"ports": [{"port": 80}]}}),
            ("networkpolicies.networking.k8s.io", {"metadata": {"name": "told"}, "spec": {}}),
            ("configmaps", {"metadata": {"name": "told"}, "data": {"a": "b"}}),
        ):
            if served.api.find(resource, "told", "shop") is None:
                served.api.create(resource, body, "shop")

    served.call(make)
    assert served.kubectl("describe", what, "-n", "shop").startswith("Name:")


def test_explain_reads_the_schema(served: Served) -> None:
    text = served.kubectl("explain", "networkpolicy.spec.ingress.from")
    assert "namespaceSelector" in text
    assert "<LabelSelector>" in text
    assert "does not exist" in served.kubectl("explain", "pod.spec.nope", fails=True)


def test_wait_sees_a_condition_come(served: Served) -> None:
    assert KUBECTL
    served.call(lambda: served.api.create("pods", pod("awaited")))
    waiting = subprocess.Popen(
        [
            KUBECTL,
            f"--kubeconfig={served.kubeconfig}",
            "wait",
            "--for=condition=Ready",
            "pod/awaited",
            "-n",
            "shop",
            "--timeout=20s",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )

    def ready() -> None:
        def change(obj: dict[str, object]) -> dict[str, object]:
            return {
                **obj,
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            }

        served.api.modify("pods", "awaited", "shop", change, subresource="status")

    served.call(ready)
    assert waiting.communicate(timeout=25)[0] == "pod/awaited condition met\n"


def test_get_watch_prints_each_change(served: Served) -> None:
    assert KUBECTL
    watching = subprocess.Popen(
        [
            KUBECTL,
            f"--kubeconfig={served.kubeconfig}",
            "get",
            "cm",
            "-n",
            "shop",
            "-w",
            "--output-watch-events",
            "-l",
            "w=w",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        body = {"metadata": {"name": "watched", "labels": {"w": "w"}}, "data": {"a": "b"}}
        served.call(lambda: served.api.create("configmaps", body, "shop"))
        assert watching.stdout is not None
        assert watching.stdout.readline().split() == ["EVENT", "NAME", "DATA", "AGE"]
        assert watching.stdout.readline().split()[:3] == ["ADDED", "watched", "1"]
        served.call(lambda: served.api.delete("configmaps", "watched", "shop"))
        assert watching.stdout.readline().split()[:2] == ["DELETED", "watched"]
    finally:
        watching.terminate()
        watching.communicate(timeout=10)


def test_delete_waits_until_the_object_is_gone(served: Served) -> None:
    served.call(lambda: served.api.create("configmaps", {"metadata": {"name": "ended"}}, "shop"))
    assert (
        served.kubectl("delete", "cm", "ended", "-n", "shop")
        == 'configmap "ended" deleted from shop namespace\n'
    )
    assert 'configmaps "ended" not found' in served.kubectl("delete", "cm", "ended", "-n", "shop", fails=True)
    assert "may not be deleted" in served.kubectl("delete", "ns", "default", fails=True)
