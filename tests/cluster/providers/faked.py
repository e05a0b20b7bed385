"""A machine made of files, and an engine made of a small script: what the preflight asks, answered as other machines would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from labkit.cluster.providers.kind.machine import Machine

GB = 10**9
INFO: dict[str, Any] = {
    "ServerVersion": "28.0.0",
    "OperatingSystem": "Debian GNU/Linux 13",
    "CgroupVersion": "2",
    "MemTotal": 16 * GB,
    "NCPU": 8,
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
    "MemoryLimit": True,
    "PidsLimit": True,
    "CPUShares": True,
    "DockerRootDir": "/var/lib/docker",
}
PODMAN: dict[str, Any] = {
    "host": {
        "cgroupVersion": "v2",
        "cgroupControllers": ["cpu", "memory", "pids"],
        "cpus": 4,
        "memTotal": 8 * GB,
        "security": {"rootless": True},
        "distribution": {"distribution": "fedora"},
    },
    "store": {"graphRoot": "/home/me/.local/share/containers/storage"},
    "version": {"Version": "5.2.0"},
}
ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT"


def machine(
    root: Path, files: dict[str, str] | None = None, *, platform: str = "linux", **environment: str
) -> Machine:
    """A machine in good order, but for the files given by their paths; "" leaves a file out."""
    good = {
        "proc/version": "Linux version 6.12.0 (builder@debian)",
        "proc/meminfo": "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:   12000000 kB",
        "proc/sys/fs/inotify/max_user_watches": "1048576",
        "proc/sys/fs/inotify/max_user_instances": "1024",
        "proc/modules": "ip_tables 36864 3 - Live 0x0",
        "proc/net/route": route("0.0.0.0", "0.0.0.0", "eth0"),
        "proc/net/if_inet6": "00000000000000000000000000000001 01 80 10 80 lo",
    }
    for path, text in {**good, **(files or {})}.items():
        if text:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text + "\n")
    return Machine(root, platform, environment)


def route(address: str, mask: str, device: str) -> str:
    """A line of /proc/net/route, in the byte order of this kind of machine."""
    numbers = [bytes(map(int, text.split(".")))[::-1].hex().upper() for text in (address, mask)]
    return f"{device}\t{numbers[0]}\t00000000\t0001\t0\t0\t0\t{numbers[1]}\t0\t0\t0"


def routes(*lines: str) -> str:
    """The whole of /proc/net/route."""
    return "\n".join([ROUTES, route("0.0.0.0", "0.0.0.0", "eth0"), *lines])


def engine(
    folder: Path,
    name: str = "docker",
    *,
    info: dict[str, Any] | None = None,
    network: Any = None,
    images: str = "",
    nodes: int = 0,
) -> None:
    """A program on PATH that answers as an engine: its info, kind's network (None: none), its images, nodes of other clusters."""
    folder.mkdir(exist_ok=True)
    (folder / "info.json").write_text(json.dumps(INFO if info is None else info))
    (folder / "network.json").write_text(json.dumps([network] if network else []))
    labels = {"io.x-k8s.kind.cluster": "other", "io.x-k8s.kind.role": "control-plane"}
    told = [
        {"Name": f"/other-{n + 1}", "Config": {"Labels": labels}, "State": {"Running": True}}
        for n in range(nodes)
    ]
    (folder / "nodes.json").write_text(json.dumps(told))
    script = f"""
case "$1 $2" in
  "info --format") cat {folder}/info.json ;;
  "network inspect") cat {folder}/network.json; {"exit 0" if network else "exit 1"} ;;
  "network ls") {"echo kind" if network else ":"} ;;
  "image inspect") for one in {images or '""'}; do [ "$one" = "$5" ] && exit 0; done; exit 1 ;;
  "ps -a") {f"seq -f other-%g {nodes}" if nodes else ":"} ;;
  "inspect other-1") cat {folder}/nodes.json ;;
  *) echo "unknown: $*" >&2; exit 1 ;;
esac"""
    program(folder, name, script)


def kind(folder: Path, version: str = "0.31.0", script: str = "") -> None:
    """A program on PATH that says it is kind."""
    program(
        folder,
        "kind",
        f'case "$1" in --version) echo "kind version {version}" ;; version) echo "kind v{version} go1" ;;\n{script}\nesac',
    )


def program(folder: Path, name: str, script: str) -> None:
    """An executable shell script."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def network(subnet: str = "172.18.0.0/16", *, ipv6: bool = True) -> dict[str, Any]:
    """kind's network as docker describes it."""
    configs = [{"Subnet": "fc00:f853:ccd:e793::/64"}, {"Subnet": subnet}] if ipv6 else [{"Subnet": subnet}]
    return {"Id": "0123456789abcdef", "EnableIPv6": ipv6, "IPAM": {"Config": configs}, "Options": {}}
