"""How kind clusters begin and end: whole, in parts that fail, in the midst of a Ctrl-C; and that nothing is left of them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from labkit.cluster import ClusterError, NotFound
from labkit.cluster.providers import Options
from labkit.cluster.providers.engine import Engine
from labkit.cluster.providers.kind import KindProvider
from labkit.cluster.steps import State, Steps

from .conftest import BIN, KindCluster, MakeCluster, made

IN_TIME = 120.0  # seconds; much longer than anything takes


def traces(engine: Engine, name: str) -> list[str]:
    """The containers of a cluster, and processes that work on one of that name."""
    found = engine.run("ps", "-a", "--filter", f"name={name}", "--format", "{{.Names}}").stdout.split()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words[0].rpartition("/")[2] in ("kind", engine.name) and name in " ".join(words):
            found.append(" ".join(words))
    return found


def contents(folder: Path) -> list[str]:
    """What is in a folder, all the way down."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def variables(home: Path, kind_image: str) -> Mapping[str, str]:
    """The environment of a labkit with this home and no other kubeconfig."""
    kept = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    return {**kept, "LABKIT_HOME": str(home), **({"LABKIT_KIND_IMAGE": kind_image} if kind_image else {})}


@pytest.fixture
def ended(home: Path) -> Iterator[str]:
    """A cluster's name; whatever the test leaves of that cluster is ended."""
    name = f"life-{os.getpid()}"
    yield name
    try:
        KindProvider(home).delete(name)
    except NotFound:
        pass


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_leaves_nothing_and_says_so(
    engine: Engine, home: Path, variables: Mapping[str, str], ended: str, how: signal.Signals
) -> None:
    command = [BIN / "labkit", "up", ended, "--provider", "kind"]
    moment = {signal.SIGINT: "Starting control-plane", signal.SIGTERM: "Preparing nodes"}[how]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(variables), start_new_session=True
    ) as labkit:  # fmt: skip
        assert labkit.stdout is not None
        for line in labkit.stdout:
            if moment in line:
                break
        labkit.send_signal(how)
        said, complaint = labkit.communicate(timeout=IN_TIME)
    assert labkit.returncode == 130, complaint
    assert f"Nothing of the cluster {ended} is left" in complaint
    assert "Removing what was made so far" in said
    assert traces(engine, f"labkit-{ended}") == []
    assert contents(home) == []


def test_a_failure_is_explained_by_the_line_that_matters_and_leaves_only_the_log(
    engine: Engine, home: Path, ended: str
) -> None:
    with pytest.raises(ClusterError) as told:
        KindProvider(home).create(ended, options=Options(image="localhost:9/none/node:v1.34.0"))
    message = str(told.value)
    assert "its registry cannot be reached" in message
    assert 'failed to pull image "localhost:9/none/node:v1.34.0"' in message
    log = home / "logs" / f"kind-{ended}.log"
    assert str(log) in message
    assert "failed to pull image" in log.read_text()
    assert "docker load -i" in message
    assert contents(home) == ["logs", f"logs/kind-{ended}.log"]
    assert traces(engine, f"labkit-{ended}") == []


@pytest.fixture
def broken(engine: Engine, kind_image: str) -> Iterator[str]:
    """An image in which a node's first program complains and ends at once."""
    if not kind_image:
        pytest.skip("no node image on this machine to make a broken one of")
    name, image = f"broken-{os.getpid()}", f"labkit.test/broken:v1.34.{os.getpid()}"
    script = (
        'echo "systemd: Failed to create inotify object: Too many open files, too many open files"; exit 1'
    )
    engine.run("create", "--name", name, "--entrypoint", "/bin/sh", kind_image, "-c", "true")
    try:
        change = f"ENTRYPOINT {json.dumps(['/bin/sh', '-c', script])}"
        engine.run("commit", "--change", change, name, image)
        yield image
    finally:
        engine.run("rm", "-f", name, check=False)
        engine.run("rmi", "-f", image, check=False)


def test_a_node_that_does_not_boot_is_kept_when_asked_for_and_its_logs_are_exported(
    broken: str, engine: Engine, home: Path, ended: str, variables: Mapping[str, str]
) -> None:
    with pytest.raises(ClusterError, match="limits of inotify are too low") as told:
        KindProvider(home).create(ended, options=Options(image=broken, retain=True))
    assert "too many open files" in str(told.value)
    assert f"labkit up {ended} --provider kind --retain" in str(told.value)
    assert f"labkit-{ended}-control-plane" in traces(engine, f"labkit-{ended}")
    status = json.loads(_labkit(variables, "status", ended, "-o", "json", code=3))
    assert not status["running"]
    _labkit(variables, "logs", "export", ended, str(home / "exported"))
    assert "too many open files" in (home / "exported" / "kind-create.log").read_text()
    # A further `up` starts anew instead of waking what never was.
    with pytest.raises(ClusterError, match="limits of inotify are too low"):
        KindProvider(home).create(ended, options=Options(image=broken))
    assert traces(engine, f"labkit-{ended}") == []


def test_three_nodes_and_a_second_cluster_beside_the_first(
    kind_cluster: KindCluster, another_cluster: MakeCluster, engine: Engine
) -> None:
    three = another_cluster("three-nodes")
    nodes = three.cluster.list("nodes")
    roles = ["node-role.kubernetes.io/control-plane" in node["metadata"]["labels"] for node in nodes]
    assert sorted(roles) == [False, False, True]
    assert all(
        condition["status"] == "True"
        for node in nodes
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready"
    )
    # Two clusters at once, each with a way in of its own.
    kind_cluster.cluster.apply(_config_map("mine"), namespace="default")
    try:
        assert three.cluster.get("configmaps", "mine", "default") is None
        assert kind_cluster.cluster.get("configmaps", "mine", "default") is not None
    finally:
        kind_cluster.cluster.delete("configmaps", "mine", "default")
    provider = KindProvider(three.home)
    assert [found.name for found in provider.list()] == [three.name]
    provider.delete(three.name)
    assert traces(engine, three.kind_name) == []
    assert contents(three.home) == []
    assert kind_cluster.cluster.version()
    with pytest.raises(NotFound):
        provider.delete(three.name)


def test_a_node_that_was_stopped_is_started_again_and_its_objects_are_there(
    engine: Engine, kind_image: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own-kubeconfig"
    own.write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "users": [{"name": "me", "user": {}}]})
    )
    own.chmod(0o600)
    monkeypatch.setenv("KUBECONFIG", str(own))
    with made(f"wake-{os.getpid()}", home, Options(image=kind_image, export_kubeconfig=True)) as cluster:
        # The learner's own kubeconfig was asked for: it has the context, and what was in it.
        config = yaml.safe_load(own.read_text())
        assert config["current-context"] == cluster.context
        assert {user["name"] for user in config["users"]} == {"me", cluster.context}
        cluster.cluster.apply(_config_map("kept"), namespace="default")
        engine.run("stop", f"{cluster.kind_name}-control-plane")
        provider = KindProvider(home)
        stopped = provider.find(cluster.name)
        assert stopped is not None
        assert not stopped.running
        steps = Steps()
        assert provider.create(cluster.name, progress=steps).running
        assert "Starting 1 stopped node" in [step.title for step in steps.steps]
        assert {step.state for step in steps.steps} == {State.DONE}
        assert cluster.cluster.get("configmaps", "kept", "default") is not None
        provider.delete(cluster.name)
    config = yaml.safe_load(own.read_text())
    assert [user["name"] for user in config["users"]] == ["me"]
    assert not config["current-context"]
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    assert contents(home) == []


def test_what_a_killed_labkit_left_is_removed_by_the_next(
    engine: Engine, home: Path, variables: Mapping[str, str], ended: str
) -> None:
    command = [BIN / "labkit", "up", ended, "--provider", "kind"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=dict(variables)
    ) as labkit:
        assert labkit.stdout is not None
        for line in labkit.stdout:
            if "Writing configuration" in line:
                break
        labkit.kill()
    # kind goes on for a while and then meets its closed pipe; what it made so far is there.
    assert traces(engine, f"labkit-{ended}")
    deadline = time.monotonic() + IN_TIME
    while any(word.startswith(("kind ", "/")) for word in traces(engine, f"labkit-{ended}")):
        assert time.monotonic() < deadline, "kind goes on although nobody reads what it says"
        time.sleep(0.5)
    steps = Steps()
    with pytest.raises(ClusterError):
        KindProvider(home).create(
            ended, progress=steps, options=Options(image="localhost:9/none/node:v1.34.0")
        )
    assert "Removing what an earlier try left" in [step.title for step in steps.steps]
    assert traces(engine, f"labkit-{ended}") == []


def _config_map(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}


def _labkit(variables: Mapping[str, str], *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [BIN / "labkit", *words],
        capture_output=True,
        text=True,
        env=dict(variables),
        check=False,
        timeout=IN_TIME,
    )
    assert done.returncode == code, done.stderr
    return done.stdout
