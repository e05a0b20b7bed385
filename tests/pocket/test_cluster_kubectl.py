"""What a learner types at a pocket cluster, with the real kubectl."""

from __future__ import annotations

import subprocess
import time
import urllib.request

import pytest

from tests.pocket.running import Room

pytestmark = pytest.mark.cluster


def test_a_pod_runs_and_exec_hands_back_output_and_exit_code(room: Room) -> None:
    room.pod("web", {"args": ["netexec", "--http-port=80"]})
    room.ready("web")

    assert room.run("web", "hostname").strip() == "web"
    assert room.kubectl("exec", "web", "--", "sh", "-c", "echo oops >&2; exit 7", check=False).returncode == 7
    assert room.kubectl("exec", "-i", "web", "--", "cat", given="from here\n").stdout == "from here\n"


def test_exec_of_an_unknown_command_says_what_runc_says(room: Room) -> None:
    room.pod("web")
    room.ready("web")

    done = room.kubectl("exec", "web", "--", "nosuch", check=False)

    assert done.returncode == 1
    assert 'exec: "nosuch": executable file not found in $PATH' in done.stderr


def test_exec_with_a_terminal_is_a_terminal(room: Room) -> None:
    room.pod("shell", {"image": "busybox", "command": ["sleep", "1000"]})
    room.ready("shell")

    seen, code = room.cluster.terminal(
        "-n", room.namespace, "exec", "-it", "shell", "--", "sh", lines=["tty", "exit 3"]
    )

    assert "/dev/pts/0" in seen
    assert code == 3


def test_run_rm_it_is_a_shell_that_leaves_no_pod(room: Room) -> None:
    words = [
        "-n",
        room.namespace,
        "run",
        "one",
        "--rm",
        "-it",
        "--image=busybox",
        "--restart=Never",
        "--",
        "sh",
    ]
    seen, code = room.cluster.terminal(*words, lines=["echo $((40 + 2))", "exit"])

    assert "42" in seen
    assert code == 0
    assert room.get("pods")["items"] == []


def test_logs_follow_a_container_until_it_ends(room: Room) -> None:
    script = "for i in 1 2 3; do echo line $i; sleep 0.3; done"
    room.pod("chatty", {"image": "busybox", "command": ["sh", "-c", script]}, restartPolicy="Never")
    room.until("chatty", lambda pod: pod["status"].get("phase") in ("Running", "Succeeded"))

    assert room.out("logs", "-f", "chatty") == "line 1\nline 2\nline 3\n"
    assert room.out("logs", "--tail=1", "chatty") == "line 3\n"
    assert room.out("logs", "--timestamps", "--tail=1", "chatty").split()[0].endswith("Z")


def test_port_forward_reaches_the_pod(room: Room) -> None:
    room.pod("web", {"args": ["netexec", "--http-port=80"]})
    room.ready("web")
    forward = subprocess.Popen(
        room.cluster.command("-n", room.namespace, "port-forward", "pod/web", ":80"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert forward.stdout is not None
        port = forward.stdout.readline().split("127.0.0.1:")[1].split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/hostname", timeout=5) as answer:
            assert answer.read() == b"web"
    finally:
        forward.terminate()
        forward.wait()


def test_a_deleted_pod_ends_at_once_when_it_heeds_sigterm(room: Room) -> None:
    room.pod("sleeper", {"image": "busybox", "command": ["sleep", "3600"]})
    room.ready("sleeper")

    began = time.monotonic()
    room.kubectl("delete", "pod", "sleeper")

    assert time.monotonic() - began < 3


def test_a_pod_that_ignores_sigterm_gets_its_grace_period_and_no_more(room: Room) -> None:
    script = 'trap "" TERM; while true; do sleep 0.1; done'
    room.pod(
        "stubborn", {"image": "busybox", "command": ["sh", "-c", script]}, terminationGracePeriodSeconds=2
    )
    room.ready("stubborn")

    began = time.monotonic()
    room.kubectl("delete", "pod", "stubborn")

    assert 2 <= time.monotonic() - began < 6


def test_a_forced_deletion_does_not_wait(room: Room) -> None:
    script = 'trap "" TERM; while true; do sleep 0.1; done'
    room.pod("stubborn", {"image": "busybox", "command": ["sh", "-c", script]})
    room.ready("stubborn")

    began = time.monotonic()
    room.kubectl("delete", "pod", "stubborn", "--grace-period=0", "--force")

    assert time.monotonic() - began < 3


def test_services_and_names_work_from_a_pod(room: Room) -> None:
    room.cluster.kubectl(
        "wait", "-n", "kube-system", "deploy/coredns", "--for=condition=Available", "--timeout=20s"
    )
    room.kubectl(
        "create", "deployment", "web", "--image=agnhost", "--", "/agnhost", "netexec", "--http-port=8080"
    )
    room.kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
    room.kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    room.pod("client", {"image": "busybox", "command": ["sleep", "1000"]})
    room.ready("client")

    assert room.run("client", "wget -qO- -T 3 http://web/hostname").startswith("web-")


def test_a_pod_speaks_to_the_api_with_its_service_account(room: Room) -> None:
    room.cluster.kubectl(
        "wait", "-n", "kube-system", "deploy/coredns", "--for=condition=Available", "--timeout=20s"
    )
    room.pod("client", {"image": "busybox", "command": ["sleep", "1000"]})
    room.ready("client")

    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = (
        f'cd {folder}; curl -sS -m 5 --cacert ca.crt -H "Authorization: Bearer $(cat token)" '
        "https://kubernetes.default.svc/api/v1/namespaces/$(cat namespace)"
    )

    assert f'"name":"{room.namespace}"' in room.run("client", script).replace(" ", "")


def test_the_node_is_ready_and_says_what_it_is(room: Room) -> None:
    status = room.get("node", "pocket")["status"]

    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"
    assert status["addresses"][0] == {"type": "InternalIP", "address": "172.18.0.2"}
    assert status["nodeInfo"]["containerRuntimeVersion"].startswith("pocket://")
