"""Clusters begin, survive, live side by side and go without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from labkit.pocket import lifecycle
from labkit.pocket.errors import NoSuchCluster
from tests.pocket.running import KUBECTL, Room, RunningCluster, processes_of

pytestmark = pytest.mark.cluster


def _wait_gone(home: Path, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and processes_of(home):
        time.sleep(0.05)
    assert processes_of(home) == []


def _network_namespaces(home: Path) -> set[str]:
    return {str(Path(f"/proc/{pid}/ns/net").readlink()) for pid in processes_of(home)}


def test_down_leaves_nothing(home: Path) -> None:
    cluster = lifecycle.up("gone", home=home)
    room = Room(RunningCluster("gone", home), "default")
    room.pod("one")
    room.ready("one")
    assert cluster.created
    assert len(processes_of(home)) >= 4
    assert str(home) not in Path("/proc/self/mountinfo").read_text()  # its mounts are its own

    lifecycle.down("gone", home=home)

    assert processes_of(home) == []
    assert [path for path in home.rglob("*") if not path.is_dir()] == []
    assert list((home / "clusters").iterdir()) == []
    with pytest.raises(NoSuchCluster):
        lifecycle.down("gone", home=home)


def test_a_killed_daemon_takes_everything_with_it_and_up_brings_every_object_back(home: Path) -> None:
    before = lifecycle.up("phoenix", home=home)
    room = Room(RunningCluster("phoenix", home), "default")
    room.pod("web", {"args": ["netexec", "--http-port=80"]})
    room.kubectl("create", "deployment", "many", "--image=agnhost", "--replicas=3")
    room.kubectl("rollout", "status", "deployment/many", "--timeout=20s")
    room.ready("web")
    assert before.pid is not None
    assert len(processes_of(home)) >= 10

    os.kill(before.pid, signal.SIGKILL)
    _wait_gone(home)
    assert not lifecycle.status("phoenix", home).running

    after = lifecycle.up("phoenix", home=home)
    assert after.created
    assert after.server == before.server  # kubeconfigs and open notebooks go on
    pod = room.until(
        "web",
        lambda pod: (
            pod["status"]["containerStatuses"][0]["ready"]
            and pod["status"]["containerStatuses"][0]["restartCount"] == 1
        ),
    )
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "Unknown"
    room.kubectl("rollout", "status", "deployment/many", "--timeout=20s")
    assert len(room.get("pods")["items"]) == 4
    assert room.run("web", "hostname") == "web\n"
    assert "SandboxChanged" in dict(room.events("web"))


def test_every_acknowledged_write_survives_a_kill(home: Path) -> None:
    pid = lifecycle.up("writes", home=home).pid
    cluster = RunningCluster("writes", home)
    assert pid is not None

    for number in range(5):
        cluster.kubectl("create", "configmap", f"map-{number}")
    os.kill(pid, signal.SIGKILL)

    lifecycle.up("writes", home=home)
    names = cluster.out("get", "configmaps", "-o", "name").split()
    assert {f"configmap/map-{number}" for number in range(5)} <= set(names)


def test_stop_keeps_the_objects(home: Path) -> None:
    lifecycle.up("rests", home=home)
    cluster = RunningCluster("rests", home)
    cluster.kubectl("create", "configmap", "kept")

    assert processes_of(home)
    lifecycle.stop("rests", home=home)

    assert processes_of(home) == []
    assert [(c.name, c.running) for c in lifecycle.list_clusters(home)] == [("rests", False)]
    lifecycle.up("rests", home=home)
    cluster.kubectl("get", "configmap", "kept")


def test_the_learners_environment_stays_with_the_learner(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_TOKEN", "very-private")
    lifecycle.up("discreet", home=home)
    room = Room(RunningCluster("discreet", home), "default")
    room.pod("one")
    room.ready("one")

    seen = room.run("one", "cat /proc/[0-9]*/environ", check=False)
    assert "PATH=" in seen
    assert "very-private" not in seen


def test_two_clusters_live_side_by_side(home: Path) -> None:
    for name in ("left", "right"):
        lifecycle.up(name, home=home)
        room = Room(RunningCluster(name, home), "default")
        room.pod("same", {"args": ["netexec", "--http-port=80"]})
        room.ready("same")
        room.kubectl("create", "configmap", name)

    left, right = (RunningCluster(name, home) for name in ("left", "right"))
    assert left.kubectl("get", "configmap", "right", check=False).returncode == 1
    assert {c.name for c in lifecycle.list_clusters(home)} == {"left", "right"}
    lifecycle.down("left", home=home)
    assert Room(right, "default").run("same", "hostname") == "same\n"


RACER = """
import json, sys
from pathlib import Path
from labkit.pocket import lifecycle
info = lifecycle.up("race", home=Path(sys.argv[1]))
print(json.dumps([info.pid, info.created]))
"""


def test_two_ups_at_once_make_one_cluster(home: Path) -> None:
    command = [sys.executable, "-c", RACER, str(home)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]

    assert len({pid for pid, _ in answers}) == 1
    assert sorted(created for _, created in answers) == [False, False, True]


def test_a_second_up_finds_the_first(home: Path) -> None:
    first = lifecycle.up("again", home=home)

    second = lifecycle.up("again", home=home)

    assert (second.pid, second.created) == (first.pid, False)


def test_another_user_of_the_machine_is_not_let_in(running: RunningCluster) -> None:
    address = re.sub("https://", "", lifecycle.status(running.name, running.home).server).split(":")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((address[0], int(address[1]))) as plain, context.wrap_socket(plain) as tls:
        tls.sendall(b"GET /api/v1/pods HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert tls.recv(100).startswith(b"HTTP/1.1 401 ")
    for path in ("kubeconfig", "pki/ca.key", "state.db"):
        assert (running.home / "clusters" / running.name / path).stat().st_mode & 0o077 == 0


def test_the_clusters_network_is_not_the_machines(running: RunningCluster) -> None:
    own = str(Path("/proc/self/ns/net").readlink())
    namespaces = _network_namespaces(running.home)

    assert own not in namespaces
    assert namespaces


ORDINARY = """
from pathlib import Path
from labkit.pocket import lifecycle
from tests.pocket.running import Room, RunningCluster, processes_of
home = Path({home!r})
lifecycle.up("plain", home=home)
room = Room(RunningCluster("plain", home), "default")
try:
    room.pod("web", dict(args=["netexec", "--http-port=80"]))
    room.ready("web")
    room.kubectl("create", "service", "clusterip", "web", "--tcp=80:80")
    assert room.run("web", "id -u").strip() == "0"
    assert room.run("web", "curl -s -m 3 http://$(hostname -i 2>/dev/null || grep web /etc/hosts | cut -f1)/hostname") == "web"
finally:
    lifecycle.down("plain", home=home)
assert not list((home / "clusters").iterdir())
print("as", __import__("os").getuid(), "all well")
"""


def python_of_an_ordinary_user(user: pwd.struct_passwd, source: Path, folder: Path) -> str:
    """A virtual environment that another user can run, with all that this one has.

    Made from this Python, or from the system's where this one lies in a folder that others may not enter; skips without either.
    """
    same = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    for python in (sys.executable, "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            done = subprocess.run(
                [python, "-c", same], user=user.pw_uid, group=user.pw_gid, extra_groups=[], check=False
            )
            if done.returncode == 0:
                break
    else:
        pytest.skip(f"an ordinary user can run no Python {sys.version_info[0]}.{sys.version_info[1]} here")
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    own = next(folder.glob("lib/python3*/site-packages"))
    seen = [str(source), *(entry for entry in sys.path if entry.endswith("site-packages"))]
    (own / "everything.pth").write_text("\n".join(seen))
    (folder / "bin" / "kubectl").symlink_to(KUBECTL)
    return str(folder / "bin" / "python")


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user already")
def test_an_ordinary_user_gets_the_same_cluster(machine: None) -> None:
    nobody = pwd.getpwnam("nobody")
    source = Path(lifecycle.__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        home.mkdir()
        for path in (Path(folder), home):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        python = python_of_an_ordinary_user(nobody, source, Path(folder, "venv"))
        done = subprocess.run(
            [python, "-B", "-c", ORDINARY.format(home=str(home))],
            user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd=folder, capture_output=True, text=True,
            env={"PATH": os.environ["PATH"], "HOME": folder}, timeout=60, check=False,
        )  # fmt: skip
        if "Permission denied" in done.stderr and done.returncode:
            pytest.skip(f"another user cannot read this Python or checkout: {done.stderr.splitlines()[-1]}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"as {nobody.pw_uid} all well" in done.stdout
        assert processes_of(home) == []


MASKED = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from labkit.pocket import lifecycle
from labkit.pocket.node import linux
from tests.pocket.running import Room, RunningCluster
linux.unshare(linux.CLONE_NEWNS)
linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
linux.bind("/proc/sys", "/proc/sys", read_only=True)
linux.mount("tmpfs", "/proc/tty", "tmpfs", linux.MS_RDONLY)
home = Path({home!r})
lifecycle.up("masked", home=home)
room = Room(RunningCluster("masked", home), "default")
try:
    for name in ("one", "two"):
        room.pod(name, dict(args=["netexec", "--http-port=80"]))
    room.ready("one")
    room.ready("two")
    address = room.get("pod", "two")["status"]["podIP"]
    assert room.run("one", f"curl -s -m 3 http://{{address}}/hostname") == "two"
    assert room.run("one", "cat /proc/self/comm") == "cat\\n"
finally:
    lifecycle.down("masked", home=home)
print("all well")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide parts of /proc, as a container engine does")
def test_a_cluster_runs_where_a_container_engine_has_masked_proc(home: Path) -> None:
    path = [str(Path(lifecycle.__file__).resolve().parents[2])]
    done = subprocess.run(
        [sys.executable, "-B", "-c", MASKED.format(path=path, home=str(home))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "all well\n", done.stderr
