"""A container engine and a `kind` for the tests: those that are here, or an engine of our own that leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.cluster.errors import ClusterError
from labkit.cluster.providers.engine import CHOICE, ENGINES, find_engine

ROOT = Path(__file__).resolve().parents[2]
KIND_MODULE = "sigs.k8s.io/kind@v0.31.0"
NODE_IMAGE = "offline.lab/node:v1.34.3"  # what the offline folder brings
NEEDS = "docker.io containerd runc jq zstd iptables"  # apt's names of what an engine of our own needs


def offline_folder() -> Path | None:
    """The folder with a node image and the script that starts an engine: LABKIT_OFFLINE_KIND, or beside the repository."""
    folder = Path(os.environ.get("LABKIT_OFFLINE_KIND") or ROOT.parent / "shared" / "offline-kind")
    return folder if (folder / "start-docker").is_file() else None


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set variables of this process, and of all that it starts, for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@contextlib.contextmanager
def running_engine() -> Iterator[str]:
    """DOCKER_HOST ("" for the engine's default) of an engine that answers; skips, with the reason, where there can be none."""
    wanted = os.environ.get("LABKIT_TEST_ENGINE", "")
    if wanted == "none":
        pytest.skip("LABKIT_TEST_ENGINE=none: no container engine is wanted")
    with environment(**({"DOCKER_HOST": wanted} if wanted else {})):
        why = _silent()
        if not why:
            yield os.environ.get("DOCKER_HOST", "")
            return
    with own_engine(why) as host, environment(DOCKER_HOST=host, **{CHOICE: "docker"}):
        yield host


@contextlib.contextmanager
def own_engine(why: str) -> Iterator[str]:
    """An engine of our own, with nothing in it but what we load; ended and removed afterwards."""
    folder = offline_folder()
    if folder is None:
        pytest.skip(
            f"no container engine for kind: {why}; nor is there a folder to start one from (LABKIT_OFFLINE_KIND)"
        )
    if os.geteuid() != 0:
        pytest.skip(f"no container engine for kind: {why}; starting one needs root")
    if missing := [
        one for one in ("dockerd", "docker", "containerd", "runc", "jq", "zstd") if not shutil.which(one)
    ]:
        pytest.skip(
            f"no container engine for kind: {why}; starting one needs {', '.join(missing)}: apt-get install {NEEDS}"
        )
    data = Path(tempfile.mkdtemp(prefix="labkit-engine-", dir="/tmp"))  # short, as a socket's path must be
    try:
        done = subprocess.run([folder / "start-docker", data], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(
                f"no container engine for kind: {why}; one of our own does not start: {done.stderr.strip()}"
            )
        yield done.stdout.strip()
    finally:
        subprocess.run([folder / "start-docker", data, "stop"], check=False, capture_output=True)
        shutil.rmtree(data, ignore_errors=True)
        # What the script calls the folder for the engine's run-time state, which stays when the engine ends.
        number = subprocess.run(["cksum"], input=f"{data}\n", capture_output=True, text=True, check=False)
        if number.returncode == 0:
            shutil.rmtree(f"/run/lab-docker-{number.stdout.split()[0]}", ignore_errors=True)


@contextlib.contextmanager
def node_image(host: str) -> Iterator[str]:
    """The node image for the tests: LABKIT_KIND_IMAGE, the offline one (loaded while it is needed), or "" for the pinned one."""
    if given := os.environ.get("LABKIT_KIND_IMAGE"):
        yield given
        return
    engine = find_engine()
    if engine.run("image", "inspect", NODE_IMAGE, check=False).returncode == 0:
        yield NODE_IMAGE
        return
    folder = offline_folder()
    if folder is None or not shutil.which("zstd"):
        yield ""
        return
    before = set(engine.run("images", "-q").stdout.split())
    parts = " ".join(f"'{part}'" for part in sorted(folder.glob("node-image.tar.zst.*")))
    subprocess.run(
        ["bash", "-c", f"set -o pipefail; cat {parts} | zstd -dc --long=30 | {engine.name} load"],
        check=True, capture_output=True, env=engine.environment,
    )  # fmt: skip
    try:
        yield NODE_IMAGE
    finally:
        after = set(engine.run("images", "-q").stdout.split())
        if after - before:
            engine.run("rmi", "-f", *(after - before), check=False)


@contextlib.contextmanager
def kind_program() -> Iterator[Path]:
    """kind from PATH, built from its Go module, or as labkit finds it. It is first on PATH meanwhile."""
    from labkit.cluster import tools

    found = shutil.which("kind")
    with tempfile.TemporaryDirectory(prefix="labkit-kind-") as folder:
        if found is None and shutil.which("go"):
            done = subprocess.run(
                ["go", "install", KIND_MODULE], capture_output=True, text=True, check=False,
                env={**os.environ, "GOBIN": folder},
            )  # fmt: skip
            found = f"{folder}/kind" if done.returncode == 0 else None
        try:
            path = Path(found) if found else tools.find("kind")
        except ClusterError as problem:
            pytest.skip(f"no kind: not on PATH, it cannot be built (go), and {problem}")
        with environment(PATH=f"{path.parent}{os.pathsep}{os.environ['PATH']}"):
            yield path


def _silent() -> str:
    """Why no engine answers; "" when one does."""
    if not any(shutil.which(name) for name in ENGINES):
        return "neither docker nor podman nor nerdctl is installed"
    try:
        find_engine()
    except ClusterError as problem:
        return " ".join(str(problem).splitlines()[:2])
    return ""
