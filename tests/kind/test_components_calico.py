"""Calico's component on a kind cluster made without a network. The operator and what it starts are stand-ins (see standins.py).

Real here: nodes that are not ready until a network comes, the order of definitions, operator and resources, the operator's
reports, a finalizer that only the operator takes off. Standing in: the operator is a few lines of Python, and its calico-node
writes the offline node image's own network configuration. Nothing of this enforces a policy.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.cluster import components
from labkit.cluster.components import ComponentError, Options, Refused
from labkit.cluster.components.calico import pod_subnet
from tests.cluster.tools.upstream import Upstream

from .conftest import KindCluster, MakeCluster
from .standins import IMAGE, definition, deployment, namespace, publish, skip_without_image, text_of

OPERATOR = """
import json, os, ssl, time, urllib.error, urllib.request
home = "/var/run/secrets/kubernetes.io/serviceaccount/"
tls = ssl.create_default_context(cafile=home + "ca.crt")
made = json.loads(open("/made/objects.json").read())

def call(method, path, body=None, kind="application/json"):
    request = urllib.request.Request("https://" + os.environ["KUBERNETES_SERVICE_HOST"] + path, method=method)
    request.add_header("Authorization", "Bearer " + open(home + "token").read())
    request.add_header("Content-Type", kind)
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, data, context=tls, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code in (404, 409):
            return None
        raise

API = "/apis/operator.tigera.io/v1/"
MERGE = "application/merge-patch+json"

def report(name, ready, message):
    status = {"apiVersion": "operator.tigera.io/v1", "kind": "TigeraStatus", "metadata": {"name": name}}
    call("POST", API + "tigerastatuses", status)
    conditions = [{"type": "Available", "status": str(ready)}, {"type": "Degraded", "status": str(not ready), "message": message}]
    call("PATCH", API + f"tigerastatuses/{name}/status", {"status": {"conditions": conditions}}, MERGE)

def look():
    installation = call("GET", API + "installations/default")
    if installation is None:
        return
    if installation["metadata"].get("deletionTimestamp"):
        for one in reversed(made):
            call("DELETE", one["at"] + "/" + one["object"]["metadata"]["name"])
        call("PATCH", API + "installations/default", {"metadata": {"finalizers": None}}, MERGE)
        return
    call("PATCH", API + "installations/default", {"metadata": {"finalizers": ["tigera.io/operator-cleanup"]}}, MERGE)
    for one in made:
        call("POST", one["at"], one["object"])
    agents = call("GET", "/apis/apps/v1/namespaces/calico-system/daemonsets/calico-node") or {}
    status = agents.get("status") or {}
    ready = 0 < status.get("desiredNumberScheduled", 0) <= status.get("numberReady", 0)
    report("calico", ready, "" if ready else "Pod calico-system/calico-node is not ready")
    report("apiserver", ready, "")
    if ready:
        call("PATCH", API + "installations/default/status", {"status": {"calicoVersion": "v3.32.1"}}, MERGE)

while True:
    try:
        look()
    except OSError as problem:
        print(problem, flush=True)
    time.sleep(0.5)
"""


def made_by_the_operator(subnet: str, endpoint: str) -> list[dict]:
    """What the stand-in operator makes: its namespace and the agents, which bring the offline node's own network."""
    container = {
        "name": "calico-node",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/local/bin/offline-cni"],
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "POD_SUBNET", "value": subnet},
            {"name": "CONTROL_PLANE_ENDPOINT", "value": endpoint},
        ],
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": "cni", "mountPath": "/etc/cni/net.d"}],
    }
    agents = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "calico-node", "namespace": "calico-system"},
        "spec": {
            "selector": {"matchLabels": {"k8s-app": "calico-node"}},
            "template": {
                "metadata": {"labels": {"k8s-app": "calico-node"}},
                "spec": {
                    "hostNetwork": True,
                    "serviceAccountName": "calico-node",
                    "tolerations": [{"operator": "Exists"}],
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                    "volumes": [{"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}}],
                },
            },
        },
    }
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "calico-node", "namespace": "calico-system"},
    }
    felix = {
        "apiVersion": "crd.projectcalico.org/v1",
        "kind": "FelixConfiguration",
        "metadata": {"name": "default"},
        "spec": {},
    }
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    return [
        {"at": "/api/v1/namespaces", "object": namespace("calico-system")},
        {"at": "/api/v1/namespaces/calico-system/serviceaccounts", "object": account},
        {"at": roles, "object": binding("calico-node", "calico-system")},
        {"at": "/apis/crd.projectcalico.org/v1/felixconfigurations", "object": felix},
        {"at": "/apis/apps/v1/namespaces/calico-system/daemonsets", "object": agents},
    ]


def binding(name: str, where: str) -> dict:
    """All rights for a service account: the stand-ins are no lesson in RBAC."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": where}],
    }


def manifests(subnet: str, endpoint: str) -> dict[str, str]:
    """The three files of 3.32, by their names and in upstream's order."""
    group = "operator.tigera.io"
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "tigera-operator", "namespace": "tigera-operator"},
    }
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "made", "namespace": "tigera-operator"},
        "data": {"objects.json": json.dumps(made_by_the_operator(subnet, endpoint))},
    }
    operator = deployment(
        "tigera-operator", "tigera-operator", ["python3", "-c", OPERATOR],
        container={"volumeMounts": [{"name": "made", "mountPath": "/made"}]},
        volumes=[{"name": "made", "configMap": {"name": "made"}}],
        hostNetwork=True, serviceAccountName="tigera-operator", tolerations=[{"operator": "Exists"}],
    )  # fmt: skip
    pools = [{"cidr": "10.99.0.0/16", "blockSize": 26, "encapsulation": "VXLANCrossSubnet"}]
    installation = {"calicoNetwork": {"ipPools": pools}}
    resources = {"Installation": installation, "APIServer": {}, "Goldmane": {}, "Whisker": {}}
    return {
        "v1_crd_projectcalico_org.yaml": text_of(
            definition("crd.projectcalico.org", "FelixConfiguration", scope="Cluster")
        ),
        "tigera-operator.yaml": text_of(
            namespace("tigera-operator"),
            *(definition(group, kind, scope="Cluster") for kind in ("Installation", "APIServer", "TigeraStatus")),
            account, binding("tigera-operator", "tigera-operator"), made, operator,
        ),
        # Goldmane and Whisker have no definition here: applying them would fail.
        "custom-resources.yaml": text_of(
            *(
                {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "default"}, "spec": spec}
                for kind, spec in resources.items()
            )
        ),
    }  # fmt: skip


def test_a_cluster_that_has_a_network_is_refused_and_the_command_is_told(kind_cluster: KindCluster) -> None:
    with pytest.raises(Refused) as caught:
        components.ensure(kind_cluster.cluster, ["calico"])
    assert "has a network already" in str(caught.value)
    assert "labkit up calico --provider kind --config calico" in str(caught.value)
    assert not kind_cluster.cluster.get("namespaces", "tigera-operator")
    assert not kind_cluster.cluster.get("configmaps", "labkit-component-calico", "kube-system")


def test_calico_makes_the_nodes_of_a_cluster_without_a_network_ready(
    another_cluster: MakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As clusters/kind/calico.yaml, with one node: a machine that runs other tests has room for that.
    config = tmp_path / "kind.yaml"
    config.write_text(
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n"
        "networking: {disableDefaultCNI: true, podSubnet: 192.168.0.0/16}\nnodes: [{role: control-plane}]\n"
    )
    made = another_cluster(config=str(config))
    cluster = made.cluster
    skip_without_image(cluster)
    nodes = [node["metadata"]["name"] for node in cluster.list("nodes")]
    subnet = pod_subnet(cluster)
    assert subnet == "192.168.0.0/16"
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)

    with Upstream() as upstream:
        files = manifests(subnet, f"{made.kind_name}-control-plane:6443")
        monkeypatch.setenv("LABKIT_CLUSTERS", str(publish(upstream, tmp_path / "clusters", calico=files)))

        # First the agents cannot start: the operator says so, and so does labkit.
        with monkeypatch.context() as broken:
            wrong = {
                name: text.replace("/usr/local/bin/offline-cni", "/no/such/program")
                for name, text in files.items()
            }
            broken.setenv("LABKIT_CLUSTERS", str(publish(upstream, tmp_path / "broken", calico=wrong)))
            broken.setenv("LABKIT_CACHE", str(tmp_path / "cache-of-the-broken"))
            with pytest.raises(ComponentError) as caught:
                components.ensure(cluster, ["calico"], options={"calico": Options(timeout=30)})
        assert "the operator on calico: Pod calico-system/calico-node is not ready" in str(caught.value)
        assert "pod calico-system/calico-node-" in str(caught.value)
        components.remove(cluster, "calico")
        assert left(made) == set()

        publish(upstream, tmp_path / "again", calico=files)
        [outcome] = components.ensure(cluster, ["calico+alp"])
        assert str(outcome) == "Calico 3.32.1 was installed and works."
        assert [one.explanation for one in components.get("calico").verify(cluster)] == [
            "available: apiserver, calico",
            f"{len(nodes)} of {len(nodes)} nodes",
        ]
        cluster.wait("nodes", condition="ready", timeout=1)
        pool = cluster.get("installations.operator.tigera.io", "default")
        assert pool
        assert pool["spec"]["calicoNetwork"]["ipPools"][0]["cidr"] == subnet  # not what the manifest has
        felix = cluster.get("felixconfigurations.crd.projectcalico.org", "default")
        assert felix
        assert felix["spec"]["policySyncPathPrefix"] == "/var/run/nodeagent"
        assert components.ensure(cluster, ["calico"])[0].action == "found"

        # The Installation has a finalizer that only the operator takes off: it must still run when the Installation goes.
        [gone] = components.remove(cluster, "calico")
        assert "no network now" in gone.notes[0]
        assert left(made) == set()


def left(made: KindCluster) -> set[str]:
    kinds = (
        "namespaces",
        "customresourcedefinitions.apiextensions.k8s.io",
        "clusterrolebindings",
        "configmaps",
    )
    names = {f"{kind} {one['metadata']['name']}" for kind in kinds for one in made.cluster.list(kind)}
    return {one for one in names if any(word in one for word in ("calico", "tigera", "labkit-component"))}
