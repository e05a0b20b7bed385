"""What is certain to fail is refused with what helps, what may be trouble is told: of machines and engines that we write."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from labkit.cluster.providers import Finding
from labkit.cluster.providers.engine import NoEngine, find_engine
from labkit.cluster.providers.kind import binary, config, preflight
from labkit.cluster.providers.kind.machine import Machine
from labkit.cluster.providers.kind.preflight import PreflightFailed

from . import faked
from .faked import GB, INFO, PODMAN, machine, network, route, routes

NEWEST = "kindest/node:v1.36.1"
FITTING = "kindest/node:v1.34.3"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on PATH, without engines of this machine behind it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    for name in ("DOCKER_HOST", "KIND_EXPERIMENTAL_PROVIDER", "LABKIT_KIND_IMAGE", "LABKIT_PREFLIGHT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("shutil.which", lambda name: str(folder / name) if (folder / name).exists() else None)
    return folder


def asked(
    tools: Path,
    here: Machine,
    *,
    wanted: str = "single",
    image: str = FITTING,
    version: str = "0.31.0",
    **engine: object,
) -> list[Finding]:
    """The warnings before a cluster is made on a machine with this engine."""
    faked.engine(tools, **engine)  # type: ignore[arg-type]
    faked.kind(tools, version)
    return preflight.checked(find_engine(), binary.ask(tools / "kind"), config.read(wanted), image, here)


def refusal(tools: Path, here: Machine, **further: object) -> str:
    with pytest.raises(PreflightFailed) as refused:
        asked(tools, here, **further)  # type: ignore[arg-type]
    assert all(finding.remedy for finding in refused.value.findings)
    return str(refused.value)


def test_a_good_machine_has_nothing_to_be_told(tools: Path, tmp_path: Path) -> None:
    assert asked(tools, machine(tmp_path)) == []
    assert asked(tools, machine(tmp_path), wanted="three-nodes", network=network()) == []


def test_kind_before_0_24_is_refused_because_its_network_enforces_nothing(
    tools: Path, tmp_path: Path
) -> None:
    message = refusal(tools, machine(tmp_path), version="0.23.0")
    assert "version 0.23.0" in message
    assert "accepts NetworkPolicies and ignores them" in message


@pytest.mark.parametrize(
    ("version", "fits"), [("0.24.0", True), ("0.9.0", False), ("1.0.0", True), ("0.33.0-alpha", True)]
)
def test_versions_are_compared_as_numbers(tools: Path, version: str, fits: bool) -> None:
    faked.kind(tools, version)
    assert binary.ask(tools / "kind").enforces is fits


def test_cgroup_version_1_is_refused_for_kubernetes_that_refuses_it(tools: Path, tmp_path: Path) -> None:
    old = {**INFO, "CgroupVersion": "1"}
    message = refusal(tools, machine(tmp_path), image=NEWEST, info=old)
    assert "the kubelet of Kubernetes 1.36 refuses to run" in message
    assert "--image kindest/node:v1.34.0" in message
    assert asked(tools, machine(tmp_path), image=FITTING, info=old) == []
    warnings = asked(tools, machine(tmp_path), image="my/node:latest", info=old)
    assert [finding.title for finding in warnings] == ["control groups of version 2"]


def test_on_wsl_the_remedy_is_the_one_of_wsl(tools: Path, tmp_path: Path) -> None:
    wsl = machine(tmp_path, {"proc/version": "Linux version 5.15.153.1-microsoft-standard-WSL2"})
    message = refusal(tools, wsl, image=NEWEST, info={**INFO, "CgroupVersion": "1", "MemTotal": GB // 2})
    assert "kernelCommandLine = cgroup_no_v1=all" in message
    assert "memory=8GB" in message
    assert "wsl --shutdown" in message


def test_wsl_1_has_no_kernel_for_containers(tools: Path, tmp_path: Path) -> None:
    assert "wsl.exe --set-version" in refusal(
        tools,
        machine(tmp_path, {"proc/version": "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com)"}),
    )


def test_low_inotify_limits_are_told_and_too_many_nodes_for_them_refused(tools: Path, tmp_path: Path) -> None:
    limits = {
        "proc/sys/fs/inotify/max_user_watches": "65536",
        "proc/sys/fs/inotify/max_user_instances": "128",
    }
    low = machine(tmp_path, limits)
    assert asked(tools, low) == []
    assert asked(tools, low, wanted="three-nodes") == []
    (warning,) = asked(tools, low, wanted="three-nodes", nodes=1)
    assert "65536 watches and 128 instances" in warning.explanation
    assert "fs.inotify.max_user_instances=512" in warning.remedy
    message = refusal(tools, low, nodes=4)
    assert "The 5 nodes that there would be take 130 instances" in message
    assert asked(tools, machine(tmp_path / "high"), nodes=4) == []
    few_watches = machine(tmp_path, {"proc/sys/fs/inotify/max_user_watches": "8192"})
    assert [finding.title for finding in asked(tools, few_watches)] == ["limits of inotify"]


def test_memory_too_little_is_refused_and_scarce_is_told(tools: Path, tmp_path: Path) -> None:
    assert "docker has 0.5 GB" in refusal(tools, machine(tmp_path), info={**INFO, "MemTotal": GB // 2})
    (warning,) = asked(tools, machine(tmp_path), info={**INFO, "MemTotal": 2 * GB})
    assert "The policy chapters fit" in warning.explanation
    busy = machine(tmp_path, {"proc/meminfo": "MemAvailable:   300000 kB"})
    (warning,) = asked(tools, busy)
    assert "0.3 GB are available now" in warning.explanation


def test_on_a_mac_memory_is_that_of_the_virtual_machine(tools: Path, tmp_path: Path) -> None:
    mac = machine(tmp_path, platform="darwin")
    info = {**INFO, "MemTotal": GB // 2, "OperatingSystem": "Docker Desktop"}
    assert "Docker Desktop > Settings > Resources" in refusal(tools, mac, info=info)
    info = {**INFO, "MemTotal": 2 * GB, "OperatingSystem": "Ubuntu 24.04"}
    (warning,) = asked(tools, mac, info=info)
    assert "colima start --memory" in warning.remedy


def test_a_full_disk_is_refused(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(tmp_path)
    (tmp_path / "var/lib/docker").mkdir(parents=True)
    monkeypatch.setattr(
        Machine, "free_disk", lambda self, folder: GB if folder == "/var/lib/docker" else None
    )
    assert "1.0 GB are free" in refusal(tools, here)
    monkeypatch.setattr(Machine, "free_disk", lambda self, folder: 5 * GB)
    assert "5.0 GB are free" in asked(tools, here)[0].explanation


def test_a_ports_taker_is_told_before_it_is_met(tools: Path, tmp_path: Path) -> None:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        port = taker.getsockname()[1]
        file = tmp_path / "mine.yaml"
        file.write_text(
            "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: control-plane\n  extraPortMappings:\n"
            f"  - {{containerPort: 80, hostPort: {port}, listenAddress: 127.0.0.1}}\n"
        )
        message = refusal(tools, machine(tmp_path), wanted=str(file))
    assert f"port {port}/TCP (nodes[0].extraPortMappings[0]) is taken by another program" in message
    assert asked(tools, machine(tmp_path), wanted=str(file)) == []


def test_a_vpn_on_the_nodes_or_the_pods_addresses_is_told(tools: Path, tmp_path: Path) -> None:
    vpn = machine(tmp_path, {"proc/net/route": routes(route("172.16.0.0", "255.240.0.0", "tun0"))})
    (warning,) = asked(tools, vpn, network=network("172.18.0.0/16"))
    assert "172.18.0.0/16 overlaps with 172.16.0.0/12, which is reached through tun0" in warning.explanation
    assert "network create kind --subnet" in warning.remedy
    vpn = machine(tmp_path, {"proc/net/route": routes(route("10.0.0.0", "255.0.0.0", "wg0"))})
    (warning,) = asked(tools, vpn, network=network())
    assert "10.244.0.0/16 overlaps with 10.0.0.0/8" in warning.explanation


def test_the_bridge_of_the_nodes_network_is_no_clash(tools: Path, tmp_path: Path) -> None:
    own = machine(tmp_path, {"proc/net/route": routes(route("172.18.0.0", "255.255.0.0", "br-0123456789ab"))})
    assert asked(tools, own, network=network("172.18.0.0/16")) == []


def test_a_vpn_that_takes_all_private_addresses_leaves_none_for_nodes(tools: Path, tmp_path: Path) -> None:
    lines = [route("172.16.0.0", "255.240.0.0", "tun0"), route("192.168.0.0", "255.255.0.0", "tun0")]
    greedy = machine(tmp_path, {"proc/net/route": routes(*lines)})
    assert "it finds none for the nodes" in refusal(tools, greedy)


def test_pods_and_services_may_not_share_addresses(tools: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking: {podSubnet: 10.96.0.0/12, serviceSubnet: 10.96.0.0/16}\n"
    )
    assert "would be a pod's and a Service's at once" in refusal(tools, machine(tmp_path), wanted=str(file))


def test_calicos_pod_subnet_beside_a_home_network_or_the_nodes_is_told(tools: Path, tmp_path: Path) -> None:
    home = machine(tmp_path, {"proc/net/route": routes(route("192.168.1.0", "255.255.255.0", "wlan0"))})
    (warning,) = asked(tools, home, wanted="calico")
    assert (
        "192.168.0.0/16 overlaps with 192.168.1.0/24, which this machine reaches through wlan0"
        in warning.explanation
    )
    (warning,) = asked(tools, machine(tmp_path), wanted="calico", network=network("192.168.16.0/20"))
    assert "nodes would take each other for pods" in warning.explanation


def test_dual_stack_needs_ipv6_on_the_machine_and_in_the_network(tools: Path, tmp_path: Path) -> None:
    assert asked(tools, machine(tmp_path / "a"), wanted="dual-stack", network=network()) == []
    without = machine(tmp_path / "b", {"proc/net/if_inet6": ""})
    assert "has IPv6 switched off" in refusal(tools, without, wanted="dual-stack")
    message = refusal(tools, machine(tmp_path / "c"), wanted="dual-stack", network=network(ipv6=False))
    assert "docker network rm kind" in message


def test_a_proxy_on_localhost_is_told(tools: Path, tmp_path: Path) -> None:
    (warning,) = asked(tools, machine(tmp_path, HTTPS_PROXY="http://127.0.0.1:3128"))
    assert "this address is the node itself" in warning.explanation
    assert asked(tools, machine(tmp_path, HTTPS_PROXY="http://proxy.example:3128")) == []


def test_a_rootless_engine_needs_cgroup_2_and_its_controllers(tools: Path, tmp_path: Path) -> None:
    host = PODMAN["host"]
    assert asked(tools, machine(tmp_path), name="podman", info=PODMAN) == []
    without = {**PODMAN, "host": {**host, "cgroupControllers": ["memory"]}}
    assert "Delegate=yes" in refusal(tools, machine(tmp_path), name="podman", info=without)
    old = {**PODMAN, "host": {**host, "cgroupVersion": "v1"}}
    assert "podman is rootless" in refusal(tools, machine(tmp_path), name="podman", info=old)
    unloaded = machine(tmp_path / "unloaded", {"proc/modules": "nf_tables 1 0 - Live 0x0"})
    (warning,) = asked(tools, unloaded, name="podman", info=PODMAN)
    assert "modprobe" in warning.remedy


def test_who_knows_better_is_warned_instead_of_refused(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refusal(tools, machine(tmp_path), info={**INFO, "MemTotal": 1})
    assert "LABKIT_PREFLIGHT=warn" in message
    monkeypatch.setenv("LABKIT_PREFLIGHT", "warn")
    (warning,) = asked(tools, machine(tmp_path), info={**INFO, "MemTotal": 1})
    assert not warning.advice


@pytest.mark.parametrize(
    ("complaint", "remedy"),
    [
        ("permission denied while trying to connect to the Docker daemon socket", "usermod -aG docker"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock", "systemctl start docker"),
    ],
)
def test_a_silent_engine_is_told_by_its_own_words(tools: Path, complaint: str, remedy: str) -> None:
    faked.program(
        tools, "docker", f'echo \'{{"ServerErrors": ["{complaint}"]}}\''
    )  # some versions exit with 0
    with pytest.raises(NoEngine) as silent:
        find_engine()
    assert complaint in str(silent.value)
    assert remedy in str(silent.value)


def test_a_docker_host_where_nothing_answers_is_named(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    faked.program(tools, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    with pytest.raises(NoEngine, match=r"unset DOCKER_HOST.*tcp://10\.0\.0\.1:2375"):
        find_engine()


def test_the_engine_is_the_first_that_answers_or_the_one_that_kind_was_told(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faked.program(tools, "docker", "exit 1")
    faked.engine(tools, "podman", info=PODMAN)
    found = find_engine()
    assert (found.name, found.rootless, found.cgroup, found.memory) == ("podman", True, 2, 8 * GB)
    assert found.environment["KIND_EXPERIMENTAL_PROVIDER"] == "podman"
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", "nerdctl")
    with pytest.raises(NoEngine, match="asks for nerdctl, which is not installed"):
        find_engine()


def test_podman_under_dockers_name_is_known_for_what_it_is(tools: Path) -> None:
    faked.engine(tools, "docker", info=PODMAN)
    faked.engine(tools, "podman", info=PODMAN)
    assert find_engine().name == "podman"


def test_an_image_loaded_from_a_file_is_named_by_its_tag_and_otherwise_by_its_digest(tools: Path) -> None:
    faked.engine(tools)
    pulled = preflight.default_image(find_engine(), config.read())
    tag, _, digest = pulled.partition("@")
    assert digest.startswith("sha256:")
    faked.engine(tools, images=tag)
    assert preflight.default_image(find_engine(), config.read()) == tag


def test_the_doctor_tells_what_is_well_too_and_downloads_nothing(tools: Path, tmp_path: Path) -> None:
    faked.engine(tools)
    faked.kind(tools)
    told = preflight.findings(machine(tmp_path))
    assert all(finding.ok for finding in told)
    titles = [finding.title for finding in told]
    assert titles[:2] == ["a container engine", "kind, version 0.24 or newer"]
    assert len(titles) == len(set(titles))
    assert {"the node image", "limits of inotify", "memory for 1 node"} <= set(titles)
    faked.program(tools, "docker", "exit 1")
    assert not preflight.findings(machine(tmp_path))[0].ok
