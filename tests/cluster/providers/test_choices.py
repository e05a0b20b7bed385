"""What may be chosen of a cluster, with which provider; and what the commands say of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.cluster import ClusterError, NotFound, providers
from labkit.cluster.providers import Options
from labkit.cluster.providers.kind import KindProvider, config, kubeconfig
from labkit.cluster.providers.kind.places import places

from . import faked

LABKIT = Path(sys.executable).parent / "labkit"


def test_a_provider_without_choices_says_who_has_them(tmp_path: Path) -> None:
    for name in ("pocket", "existing"):
        with pytest.raises(
            ClusterError, match=r"--image, --retain: the provider .* no such choice.*--provider kind"
        ):
            providers.get(name).create("x", options=Options(image="kindest/node:v1.34.3", retain=True))


@pytest.mark.parametrize("name", ["single", "three-nodes", "calico", "dual-stack"])
def test_every_named_configuration_can_be_read(name: str) -> None:
    found = config.read(name)
    assert found.nodes == {"single": 1, "three-nodes": 3, "calico": 2, "dual-stack": 1}[name]
    assert found.own_network == (name != "calico")
    assert name in config.named()


def test_a_configuration_may_be_a_file_and_names_what_is_taken_for_granted(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking: {ipFamily: dual, apiServerPort: 7443}\n"
        "nodes: [{role: control-plane, image: 'x:v1.33.0'}, {role: worker}]\n"
    )
    found = config.read(str(file))
    assert (found.nodes, found.workers, found.images) == (2, 1, ("x:v1.33.0", ""))
    assert found.pod_subnets == ("10.244.0.0/16", "fd00:10:244::/56")
    assert [(port.number, port.address) for port in found.ports] == [(7443, "127.0.0.1")]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            None,
            r"neither a file \(No such file or directory\), nor one of calico, dual-stack, single, three-nodes",
        ),
        ("a: [", "is not YAML"),
        ("kind: ClusterConfiguration\napiVersion: kubeadm.k8s.io/v1beta4\n", "is not a kind configuration"),
        ("[]", "is not a kind configuration"),
    ],
)
def test_what_is_no_configuration_is_told_before_anything_is_made(
    tmp_path: Path, text: str | None, complaint: str
) -> None:
    file = tmp_path / "mine.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ClusterError, match=complaint):
        KindProvider(tmp_path / "home").create("x", options=Options(config=str(file)))
    assert not (tmp_path / "home").exists()


def test_a_name_that_cannot_be_a_clusters_is_refused_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="cannot be a cluster's name"):
        KindProvider(tmp_path).create("No Good")
    assert KindProvider(tmp_path).find("No Good") is None


def test_without_a_cluster_of_ours_no_engine_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = tmp_path / "called"
    faked.program(tmp_path / "bin", "docker", f"touch {called}; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert list(KindProvider(tmp_path / "home").list()) == []
    assert not called.exists()


def test_a_cluster_whose_engine_is_silent_is_listed_as_stopped_and_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places("mine", tmp_path / "home").remember(state="ready", image="kindest/node:v1.34.3")
    faked.program(tmp_path / "bin", "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr(
        "shutil.which", lambda name: str(tmp_path / "bin" / name) if name == "docker" else None
    )
    provider = KindProvider(tmp_path / "home")
    (found,) = provider.list()
    assert (found.name, found.running, found.detail["image"]) == ("mine", False, "kindest/node:v1.34.3")
    with pytest.raises(ClusterError, match="is in an engine that does not answer"):
        provider.delete("mine")
    with pytest.raises(NotFound, match="no kind cluster called other"):
        provider.delete("other")


def test_the_learners_own_kubeconfig_is_the_one_that_is_not_the_labs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = places("mine", tmp_path / "home")
    monkeypatch.setenv("KUBECONFIG", f"{where.kubeconfig}{os.pathsep}{tmp_path / 'own'}")
    assert kubeconfig.learners_own(where) == tmp_path / "own"
    monkeypatch.setenv("KUBECONFIG", str(where.kubeconfig))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kubeconfig.learners_own(where) == tmp_path / ".kube" / "config"


def labkit(home: Path, *words: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """labkit with this home; `path`: a folder before all others on PATH."""
    kept = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "DOCKER_HOST")}
    env = {
        **kept,
        "LABKIT_HOME": str(home),
        "HOME": str(home),
        "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run([LABKIT, *words], capture_output=True, text=True, env=env, check=False, timeout=60)


def test_up_without_an_engine_says_what_to_install_and_makes_nothing(tmp_path: Path) -> None:
    faked.program(
        tmp_path / "bin",
        "docker",
        "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock' >&2; exit 1",
    )
    done = labkit(tmp_path / "home", "up", "--provider", "kind", path=str(tmp_path / "bin"))
    assert done.returncode == 1
    assert "Cannot connect to the Docker daemon" in done.stderr
    assert "What helps:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home" / "kind").exists()


def test_the_doctor_tells_advice_from_what_stands_in_the_way(tmp_path: Path) -> None:
    scarce = {**faked.INFO, "MemTotal": 2 * faked.GB}
    faked.engine(tmp_path / "bin", info=scarce, images="docker.io/kindest/node:v1.34.3")
    faked.kind(tmp_path / "bin")
    done = labkit(tmp_path / "home", "doctor", "-o", "json", path=str(tmp_path / "bin"))
    report = next(one for one in json.loads(done.stdout) if one["provider"] == "kind")
    memory = next(one for one in report["findings"] if one["title"].startswith("memory"))
    assert memory["advice"]
    assert not memory["ok"]
    told = labkit(tmp_path / "home", "doctor", path=str(tmp_path / "bin")).stdout
    assert "! memory for 1 node" in told
    assert "The policy chapters fit" in told


def test_help_shows_how_a_kind_cluster_is_made(tmp_path: Path) -> None:
    told = labkit(tmp_path, "up", "--help").stdout
    for word in (
        "--image",
        "--config",
        "--retain",
        "--export-kubeconfig",
        "--wait",
        "labkit up --provider kind",
    ):
        assert word in told
    assert "export" in labkit(tmp_path, "logs", "--help").stdout
