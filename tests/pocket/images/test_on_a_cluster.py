"""The stand-ins as pods: names, demo and tools work where learners use them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.pocket.running import Room

pytestmark = pytest.mark.cluster

DEMO = Path(__file__).parents[3] / "clusters" / "demos" / "wordpress" / "wordpress.yaml"
CLIENT = """
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: nicolaka/netshoot, command: [sleep, "600"]}
"""


@pytest.fixture
def client(room: Room):
    """Runs a shell command in a pod of the room: (exit code, what it printed)."""
    room.kubectl("apply", "-f", "-", given=CLIENT)
    room.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=20s")

    def act(command: str) -> tuple[int, str]:
        done = room.kubectl("exec", "client", "--", "sh", "-c", command, check=False)
        return done.returncode, done.stdout + done.stderr

    return act


def test_a_service_has_a_name_as_soon_as_it_is_there_and_none_when_it_is_gone(room: Room, client) -> None:
    assert client("nslookup web")[0] == 1
    room.kubectl("create", "service", "clusterip", "web", "--tcp=80:80")
    address = room.out("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}").strip()
    assert _soon(lambda: client("dig +short +search web")[1].strip() == address)
    code, text = client(f"nslookup web.{room.namespace}.svc.cluster.local; dig +short -x {address}; host web")
    assert code == 0
    assert f"Address: {address}" in text
    assert f"web.{room.namespace}.svc.cluster.local." in text
    assert f"web.{room.namespace}.svc.cluster.local has address {address}" in text
    room.kubectl("delete", "service", "web")
    assert _soon(lambda: client("nslookup web")[0] == 1)
    assert "NXDOMAIN" in client("nslookup web")[1]


def test_names_are_answered_over_tcp_too(client) -> None:
    assert client("dig +tcp +short kubernetes.default.svc.cluster.local")[1].strip() == "10.96.0.1"


def test_a_name_of_the_internet_fails_as_on_a_machine_without_it(client) -> None:
    code, text = client("curl -sS -m 5 http://example.com/")
    assert (code, text.strip().splitlines()[0]) == (6, "curl: (6) Could not resolve host: example.com")


def test_ping_reaches_another_pod(room: Room, client) -> None:
    room.kubectl("run", "other", "--image=pause")
    room.kubectl("wait", "--for=condition=Ready", "pod/other", "--timeout=20s")
    address = room.out("get", "pod", "other", "-o", "jsonpath={.status.podIP}").strip()
    code, text = client(f"ping -c 1 -W 2 {address}")
    assert code == 0, text
    assert "1 packets transmitted, 1 packets received, 0% packet loss" in text


def test_wordpress_lives_and_dies_with_the_door_to_its_database(room: Room, client) -> None:
    demo = DEMO.read_text().replace("namespace: blog", f"namespace: {room.namespace}")
    parts = [part for part in demo.split("\n---\n") if "kind: Namespace" not in part and "street" not in part]
    room.kubectl("apply", "-f", "-", given="\n---\n".join(parts))
    room.kubectl("rollout", "status", "deployment/wordpress", "--timeout=30s")
    room.kubectl("rollout", "status", "deployment/wordpress-mysql", "--timeout=30s")
    code, text = client("curl -s -m 9 -w '%{http_code} %{redirect_url}' http://wordpress/")
    assert (code, text) == (0, "302 http://wordpress/wp-admin/install.php")
    room.kubectl(
        "apply",
        "-f",
        "-",
        given="""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: closed}
        spec: {podSelector: {matchLabels: {tier: mysql}}}
    """,
    )
    code, text = client("curl -s -m 9 -w '%{http_code}' http://wordpress/")
    assert code == 0
    assert "Error establishing a database connection" in text
    assert text.endswith("500")
    room.kubectl("delete", "networkpolicy", "closed")
    assert client("wget -qO- -T 5 http://wordpress/wp-admin/install.php")[0] == 0


def test_mysql_without_a_password_ends_as_the_real_image_does(room: Room) -> None:
    room.kubectl("run", "db", "--image=mysql:8.4.11", "--restart=Never")
    assert _soon(
        lambda: room.out("get", "pod", "db", "-o", "jsonpath={.status.phase}").strip() == "Failed", 10
    )
    assert "password option is not specified" in room.out("logs", "db")


def _soon(what, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.05)
    return False
