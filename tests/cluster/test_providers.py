from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from labkit.cluster import ClusterError, NotALab, NotFound, providers
from labkit.cluster.client import Context
from labkit.cluster.providers.existing import ExistingProvider, looks_like_a_lab
from labkit.cluster.providers.pocket import PocketProvider


def kubeconfig(path: Path, *contexts: tuple[str, str], current: str = "") -> Path:
    """A kubeconfig of (context, server) pairs."""
    path.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": current or contexts[0][0],
        "clusters": [{"name": name, "cluster": {"server": server}} for name, server in contexts],
        "users": [{"name": name, "user": {"token": "t"}} for name, _ in contexts],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name, _ in contexts],
    }))  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("name", "server", "expected"),
    [
        ("kind-lab", "https://10.1.2.3:6443", True),
        ("k3d-x", "https://0.0.0.0:6445", True),
        ("minikube", "https://192.168.49.2:8443", True),
        ("docker-desktop", "https://kubernetes.docker.internal:6443", True),
        ("labkit-lab", "https://127.0.0.1:40000", True),
        ("anything", "https://127.0.0.1:6443", True),
        ("anything", "https://localhost:6443", True),
        ("anything", "https://[::1]:6443", True),
        ("production", "https://10.1.2.3:6443", False),
        ("arn:aws:eks:eu-west-1:1:cluster/prod", "https://x.eks.amazonaws.com", False),
        ("mankind-", "https://localhost.example.com", False),
    ],
)
def test_a_lab_is_known_by_its_name_or_by_being_on_this_machine(
    name: str, server: str, expected: bool
) -> None:
    assert looks_like_a_lab(Context(name, name, "default", server)) is expected


def test_a_cluster_that_does_not_look_like_a_lab_is_refused_unless_told_so(tmp_path: Path) -> None:
    config = kubeconfig(tmp_path / "c", ("production", "https://10.1.2.3:6443"))
    with pytest.raises(
        NotALab, match=r'"production" at https://10\.1\.2\.3:6443 does not look like a lab cluster'
    ):
        ExistingProvider(config).connect()
    assert ExistingProvider(config, allow_any=True).connect().client.server == "https://10.1.2.3:6443"


def test_existing_lists_lab_contexts_and_leaves_labkits_own_to_who_made_them(tmp_path: Path) -> None:
    config = kubeconfig(
        tmp_path / "c",
        ("kind-a", "https://127.0.0.1:1"),
        ("prod", "https://10.0.0.1"),
        ("labkit-x", "https://127.0.0.1:2"),
        ("kind-labkit-y", "https://127.0.0.1:3"),
    )
    assert [found.name for found in ExistingProvider(config).list()] == ["kind-a"]
    assert ExistingProvider(tmp_path / "none").list() == []


def test_looking_at_contexts_runs_no_login_program(tmp_path: Path) -> None:
    config = kubeconfig(tmp_path / "c", ("kind-a", "https://127.0.0.1:1"))
    data = yaml.safe_load(config.read_text())
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "touch",
        "args": [str(tmp_path / "ran")],
    }
    data["users"][0]["user"] = {"exec": plugin}
    config.write_text(yaml.safe_dump(data))
    assert [found.name for found in ExistingProvider(config).list()] == ["kind-a"]
    assert not (tmp_path / "ran").exists()


def test_existing_deletes_nothing(tmp_path: Path) -> None:
    config = kubeconfig(tmp_path / "c", ("kind-a", "https://127.0.0.1:1"))
    with pytest.raises(ClusterError, match="did not make"):
        ExistingProvider(config).delete("kind-a")


def test_existing_says_what_is_the_matter(tmp_path: Path) -> None:
    findings = ExistingProvider(kubeconfig(tmp_path / "c", ("prod", "https://10.0.0.1"))).doctor()
    assert [finding.ok for finding in findings] == [True, False, True]
    assert "does not look like a lab cluster" in findings[1].explanation
    dead = ExistingProvider(kubeconfig(tmp_path / "d", ("kind-a", "https://127.0.0.1:1"))).doctor()
    assert [finding.ok for finding in dead] == [True, True, False]


def test_providers_are_found_by_name() -> None:
    assert providers.names()[0] == "pocket"
    assert [providers.get(name).name for name in providers.names()] == providers.names()
    with pytest.raises(KeyError, match="pocket, kind, existing"):
        providers.get("cloud")


@pytest.mark.cluster
def test_pocket_makes_finds_and_ends_a_cluster(tmp_path: Path) -> None:
    from tests.pocket.running import unsupported

    if why := unsupported():
        pytest.skip(why)
    provider = PocketProvider(tmp_path)
    said: list[str] = []
    made = provider.create("mine", progress=said.append)
    try:
        assert made.running
        assert made.context == "labkit-mine"
        assert said
        assert provider.create("mine").detail["pid"] == made.detail["pid"]
        assert [found.name for found in provider.list()] == ["mine"]
        assert ExistingProvider(made.kubeconfig).connect().version().startswith("v1.")
    finally:
        provider.delete("mine")
    assert provider.find("mine") is None
    with pytest.raises(NotFound):
        provider.delete("mine")
