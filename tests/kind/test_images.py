"""Stand-ins on real nodes: built without an engine, loaded by kind, and each does in a pod what it stands in for."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from labkit.cluster.images import loaded, loading, offline, pinned, read
from labkit.cluster.images.archives import opened
from labkit.cluster.images.building import Built, build
from labkit.cluster.images.reference import canonical

from .conftest import KindCluster

#: References of our own, so that nothing on a shared cluster is replaced by what we load.
NAMES = (
    "agnhost", "pause", "nginx", "nginxinc/nginx-unprivileged", "httpd", "redis", "mysql", "mariadb", "wordpress", "busybox",
    "alpine", "curlimages/curl", "nicolaka/netshoot",
)  # fmt: skip


def own(name: str) -> str:
    return f"labkit.test/{name}:1"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """All stand-ins, on this machine's own Python."""
    return build(tmp_path_factory.mktemp("images") / "stand-ins.tar", map(own, NAMES))


@pytest.fixture(scope="session")
def with_images(kind_cluster: KindCluster, built: Built) -> KindCluster:
    """The session's cluster with those images."""
    loading.load(built.file, kind_cluster.kind_name)
    return kind_cluster


def pod(name: str, image: str, *args: str, env: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": own(image),
        "env": [{"name": k, "value": v} for k, v in (env or {}).items()],
    }
    container |= {"args": list(args)} if args else {}
    container |= spec.pop("container", {})
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }  # fmt: skip


def service(name: str, port: int) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


class Room:
    """A namespace with pods: put them up, run commands in them."""

    def __init__(self, kind: KindCluster, namespace: str) -> None:
        self.kind, self.namespace = kind, namespace

    def put(self, *objects: dict[str, Any]) -> None:
        self.kind.cluster.apply(objects, namespace=self.namespace)
        pods = [obj for obj in objects if obj["kind"] == "Pod"]
        self.kind.cluster.wait_ready(pods, namespace=self.namespace, timeout=90)

    def run(self, pod: str, *words: str, given: str | None = None) -> str:
        done = self.kind.cluster.exec(self.namespace, pod, words, stdin=given, timeout=60)
        return done.stdout + done.stderr

    def until(self, pod: str, *words: str, has: str) -> str:
        """A server listens a moment after its pod is ready (these pods have no readiness probe)."""
        ask = f"o=$({' '.join(words)} 2>&1); case $o in *'{has}'*) break;; esac; sleep 0.2"
        script = f'for i in $(seq 50); do {ask}; done; echo "$o"'
        found = self.run(pod, "sh", "-c", script)
        assert has in found
        return found


@pytest.fixture
def place(with_images: KindCluster, room: str) -> Room:
    return Room(with_images, room)


def test_every_node_has_what_was_loaded_and_the_cluster_says_what_it_is(
    with_images: KindCluster, built: Built
) -> None:
    written = loaded.read(with_images.cluster)
    for name, digest in built.digests.items():
        assert (written[name].origin, written[name].digest) == ("stand-in", digest)
    command = ["images", "list", "--kind-name", with_images.kind_name, "-o", "json"]
    listed = {each["reference"]: each["origin"] for each in json.loads(with_images.labkit(*command).stdout)}
    assert listed["labkit.test/nginx:1"] == "stand-in"


def test_loading_by_the_command_takes_an_archive_and_a_cluster_of_any_name(
    with_images: KindCluster, tmp_path: Path
) -> None:
    one = build(tmp_path / "one.tar", ["labkit.test/one/busybox:1"])
    done = with_images.labkit("images", "load", str(one.file), "--kind-name", with_images.kind_name)
    assert "1 images are in the cluster, 1 of them stand-ins." in done.stdout
    assert "docker.io" not in canonical("labkit.test/one/busybox:1")
    assert (
        loaded.read(with_images.cluster)["labkit.test/one/busybox:1"].digest
        == one.digests["labkit.test/one/busybox:1"]
    )


def test_a_cluster_that_is_not_there_is_told_with_what_to_ask(with_images: KindCluster, built: Built) -> None:
    done = with_images.labkit(
        "images", "load", str(built.file), "--kind-name", "no-such-cluster", check=False
    )
    assert done.returncode == 1
    assert "There is no kind cluster called no-such-cluster" in done.stderr


def test_what_was_loaded_is_run_by_tag_and_what_was_not_would_be_pulled_by_digest(
    with_images: KindCluster,
) -> None:
    here = set(loaded.read(with_images.cluster)) | loaded.on_all(with_images.cluster.list("nodes"))
    lacking = [entry for entry in read().entries if canonical(entry.reference) not in here]
    (ours,) = pinned([pod("a", "nginx")], with_images.cluster)
    assert ours["spec"]["containers"][0]["image"] == own("nginx")
    assert ours["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    text = "\n".join(f"image: {entry.reference}" for entry in lacking)
    assert pinned(text, with_images.cluster) == "\n".join(f"image: {entry.pinned}" for entry in lacking)


def test_offline_gives_the_nodes_what_they_lack_and_does_so_once(
    kind_cluster: KindCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    offline.provide(kind_cluster.kind_name)
    assert offline.provide(kind_cluster.kind_name) == []
    origins = {name: image.origin for name, image in loaded.read(kind_cluster.cluster).items()}
    assert origins["docker.io/library/wordpress:7.0.1-apache"] == "stand-in"
    text = "\n".join(f"image: {entry.reference}" for entry in read().entries)
    assert pinned(text, kind_cluster.cluster) == text


def test_the_engine_can_load_the_same_archive(engine: Any, tmp_path: Path) -> None:
    built = build(tmp_path / "one.tar", ["labkit.test/engine/busybox:1"])
    try:
        done = engine.run("load", "-i", str(built.file))
        assert "labkit.test/engine/busybox:1" in done.stdout
        ran = engine.run("run", "--rm", "labkit.test/engine/busybox:1", "labkit-probe", "--version")
        assert ran.stdout == "labkit-probe 1\n"
        label = engine.run(
            "inspect", "--format", "{{json .Config.Labels}}", "labkit.test/engine/busybox:1"
        ).stdout
        assert json.loads(label)["org.labkit.stand-in"].startswith("busybox: ")
    finally:
        engine.run("image", "rm", "labkit.test/engine/busybox:1", check=False)


def test_a_base_can_be_an_image_of_the_engine(engine: Any, tmp_path: Path) -> None:
    """The image of this test has a Python: it is one that we have loaded ourselves."""
    first = build(tmp_path / "first.tar", ["labkit.test/base/busybox:1"])
    try:
        engine.run("load", "-i", str(first.file))
        second = build(tmp_path / "second.tar", ["nginx:1.30.5"], on="labkit.test/base/busybox:1")
        assert second.base == "labkit.test/base/busybox:1"
        with opened(second.file) as archive:
            (image,) = archive.images()
            assert len(image.layers) == 5  # the three of the base, and ours
    finally:
        engine.run("image", "rm", "labkit.test/base/busybox:1", check=False)


# What each of them does in a pod.


def test_web_servers_answer_and_log(place: Room) -> None:
    place.put(
        pod("web", "nginx"), service("web", 80), pod("apache", "httpd"), service("apache", 80),
        pod("plain", "nginxinc/nginx-unprivileged", securityContext={"runAsNonRoot": True}), service("plain", 8080),
        pod("client", "curlimages/curl", "sleep", "1000"),
    )  # fmt: skip
    assert "Welcome to nginx!" in place.until("client", "curl", "-s", "http://web/", has="nginx")
    assert "It works!" in place.until("client", "curl", "-s", "http://apache/", has="works")
    assert "nginx" in place.until("client", "curl", "-s", "http://plain:8080/", has="nginx")
    assert place.run("plain", "id", "-u") == "101\n"
    assert place.run("client", "id", "-u") == "100\n"
    log = place.kind.cluster.logs(place.namespace, "web")
    assert '"GET / HTTP/1.1" 200' in log


def test_agnhost_serves_and_connects_and_probes_itself(place: Room) -> None:
    ready = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}
    container = {"readinessProbe": ready, "ports": [{"containerPort": 8080}]}
    place.put(
        pod("a", "agnhost", "netexec", "--http-port=8080", container=container),
        service("a", 8080),
        pod("b", "pause"),
    )
    assert place.run("a", "/agnhost", "connect", "a:8080", "--timeout=3s") == ""
    assert place.run("a", "curl", "-s", "http://a:8080/hostname") == "a"
    task = json.dumps(
        {"timeout": 3, "flows": [{"id": 7, "host": "a", "port": 8080, "http": {"path": "/hostname"}}]}
    )
    found = json.loads(place.run("b", "labkit-probe", given=task + "\n"))
    assert (found["id"], found["outcome"], found["status"], found["body"]) == (7, "ok", 200, "a")
    assert place.run("b", "id", "-u") == "65535\n"


def test_databases_let_in_whom_they_should(place: Room) -> None:
    secret = {
        "MYSQL_ROOT_PASSWORD": "right",
        "MYSQL_DATABASE": "wordpress",
        "MYSQL_USER": "wp",
        "MYSQL_PASSWORD": "too",
    }
    where = {"WORDPRESS_DB_HOST": "db", "WORDPRESS_DB_USER": "wp", "WORDPRESS_DB_PASSWORD": "too"}
    place.put(
        pod("db", "mysql", env=secret), service("db", 3306), pod("other", "mariadb", env=secret), service("other", 3306),
        pod("blog", "wordpress", env=where), service("blog", 80), pod("cache", "redis"), service("cache", 6379),
    )  # fmt: skip
    place.until("db", "mysql", "-hdb", "-uwp", "-ptoo", "-e", "'show databases'", has="wordpress")
    assert "Access denied for user 'wp'" in place.run(
        "db", "mysql", "-hdb", "-uwp", "-pwrong", "-e", "select 1"
    )
    place.until("other", "mariadb-admin", "-hother", "-uroot", "-pright", "ping", has="alive")
    text = place.until("blog", "curl", "-si", "http://blog/", has="302 Found")
    assert "install.php" in text
    place.until("cache", "redis-cli", "-h", "cache", "set", "a", "1", has="OK")
    assert place.run("cache", "redis-cli", "-h", "cache", "get", "a") == "1\n"


def test_a_database_without_a_password_ends_as_the_real_one_does(place: Room) -> None:
    place.kind.cluster.apply([pod("db", "mysql", restartPolicy="Never")], namespace=place.namespace)
    place.kind.cluster.wait(
        "pods", "db", namespace=place.namespace, timeout=60,
        condition=lambda found: (found.get("status") or {}).get("phase") == "Failed",
    )  # fmt: skip
    assert "password option is not specified" in place.kind.cluster.logs(place.namespace, "db")


def test_tools_ask_the_clusters_own_name_server(place: Room) -> None:
    place.put(*(pod(name, image, "sleep", "1000") for name, image in (("box", "busybox"), ("net", "nicolaka/netshoot"))),
              pod("thin", "alpine", "sleep", "1000"))  # fmt: skip
    name = "kubernetes.default.svc.cluster.local"
    address = place.run("box", "sh", "-c", f"getent hosts {name}").split()[0]
    assert address in place.run("box", "nslookup", name)
    assert place.run("net", "dig", "+short", name).strip() == address
    assert f"has address {address}" in place.run("net", "host", name)
    assert place.run("net", "nc", "-zv", "-w", "3", address, "443").strip().endswith("open")
    assert "bad address" in place.run("box", "wget", "-T", "3", "-qO-", "http://no-such-name/")
    assert "1 packets received" in place.run("thin", "ping", "-c", "1", "127.0.0.1")


def test_a_shell_ends_within_a_second_when_the_pod_is_deleted(place: Room) -> None:
    """As process 1 a program that ignores SIGTERM would be killed after its grace; these end by themselves."""
    place.put(
        pod("web", "nginx", terminationGracePeriodSeconds=60),
        pod("wait", "agnhost", terminationGracePeriodSeconds=60),
    )
    done = subprocess.run(
        ["kubectl", "--kubeconfig", place.kind.kubeconfig, "-n", place.namespace, "delete", "pods", "web", "wait"],
        capture_output=True, text=True, timeout=45, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
