"""The preflight's questions about machine and engine: control groups, inotify, memory, disk, ports, and systems' own ways.

Each gives one Finding. Those that are not advice are certain to fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from labkit.cluster.providers import Finding
from labkit.cluster.providers.engine import Engine

from .config import KindConfig
from .failures import INOTIFY, OLDER_IMAGE
from .machine import Machine
from .nodes import Node

GB = 10**9
# The values that kind's documentation recommends: https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files
WATCHES, INSTANCES = 524288, 512
# Instances that a node takes of root's, counted in /proc/*/fd with Kubernetes 1.34; watches with which one comes up.
INSTANCES_OF_PLANE, INSTANCES_OF_WORKER = 26, 13
WATCHES_OF_ONE = 65536
#: Bytes. An empty cluster of one node has 0.55 GB, measured; kubeadm asks for 1.7 GB, a mesh with a demo wants 4.
LEAST_MEMORY, ENOUGH_MEMORY, A_NODE = 1 * GB, 4 * GB, 700 * 10**6
#: Bytes. A node image unpacked has 1 GB; images of demos and meshes come on top.
LEAST_DISK, ENOUGH_DISK = 2 * GB, 10 * GB
#: The kubelet refuses control groups of version 1 from this one on (KEP-5573).
NEEDS_CGROUP_2 = (1, 35)
_WSL = "in C:\\Users\\YOU\\.wslconfig, section [wsl2]"
_IMAGE_VERSION = re.compile(r":v?(\d+)\.(\d+)")


def version_of(image: str) -> tuple[int, int] | None:
    """The Kubernetes version that a node image's tag tells."""
    found = _IMAGE_VERSION.search(image)
    return (int(found[1]), int(found[2])) if found else None


def cgroups(machine: Machine, engine: Engine, images: Iterable[str]) -> Finding:
    """Version 2 of control groups, or a node image old enough for version 1."""
    if engine.cgroup != 1:
        return Finding("control groups of version 2", True)
    versions = [version for version in map(version_of, images) if version]
    newest = max(versions, default=None)
    boot = _cgroup_remedy(machine)
    if newest and newest >= NEEDS_CGROUP_2:
        return Finding(
            "control groups of version 2", False,
            f"This machine has version 1, where the kubelet of Kubernetes {newest[0]}.{newest[1]} refuses to run.",
            f"{OLDER_IMAGE}\n{boot}",
        )  # fmt: skip
    if newest:
        why = f"This machine has version 1, where Kubernetes {newest[0]}.{newest[1]} still runs; from 1.35 on it does not."
        return Finding("control groups", True, why)
    why = "This machine has version 1. Kubernetes up to 1.34 runs there, 1.35 and later does not."
    return Finding("control groups of version 2", False, why, boot, advice=True)


def _cgroup_remedy(machine: Machine) -> str:
    if machine.wsl:
        return f"# {_WSL}: kernelCommandLine = cgroup_no_v1=all; then in Windows: wsl --shutdown"
    return "# in /etc/default/grub, GRUB_CMDLINE_LINUX: systemd.unified_cgroup_hierarchy=1; then: sudo update-grub && reboot"


def rootless(engine: Engine) -> Finding | None:
    """What kind asks of an engine without root (https://kind.sigs.k8s.io/docs/user/rootless/)."""
    if not engine.rootless:
        return None
    title = "a rootless engine that may limit resources"
    remedy = (
        "sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=yes\\n' |"
        " sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload   # then log in again"
    )
    if engine.cgroup == 1:
        return Finding(
            title,
            False,
            f"{engine.name} is rootless, which kind runs with control groups of version 2 alone.",
            remedy,
        )
    if not engine.limits:
        return Finding(
            title,
            False,
            f"systemd does not hand {engine.name} the controllers of memory, CPU and pids.",
            remedy,
        )
    return Finding(title, True)


def modules(machine: Machine, engine: Engine) -> Finding | None:
    """The kernel modules of iptables, which nobody without root can load."""
    if not (engine.rootless and engine.local):
        return None
    loaded = machine.read("/proc/modules")
    if loaded is None or "ip_tables" in loaded or machine.read("/proc/net/ip_tables_names") is not None:
        return None
    why = "The engine is rootless and cannot load the kernel's modules of iptables, which kube-proxy may ask for."
    return Finding(
        "iptables' kernel modules",
        False,
        why,
        "sudo modprobe -a ip_tables ip6_tables iptable_nat ip6table_nat",
        advice=True,
    )


def inotify(machine: Machine, engine: Engine, config: KindConfig, there: Iterable[Node]) -> Finding | None:
    """Limits of inotify: each node takes some of them, and a node that gets none does not boot.

    `there`: the nodes of other clusters. All nodes of an engine that runs as root share one limit.
    """
    if not engine.local:
        return None
    watches = machine.number("/proc/sys/fs/inotify/max_user_watches")
    instances = machine.number("/proc/sys/fs/inotify/max_user_instances")
    if watches is None or instances is None:
        return None
    has = f"This machine gives {watches} watches and {instances} instances"
    if watches >= WATCHES and instances >= INSTANCES:
        return Finding("limits of inotify", True, f"{has}.")
    taken = [node for node in there if node.running]
    workers = sum(node.role == "worker" for node in taken) + config.workers
    planes = sum(node.role == "control-plane" for node in taken) + config.nodes - config.workers
    needed = planes * INSTANCES_OF_PLANE + workers * INSTANCES_OF_WORKER
    if needed > instances:
        why = f"{has}. The {planes + workers} nodes that there would be take {needed} instances, so the last would not boot."
        return Finding("limits of inotify", False, why, INOTIFY + "   # or end other clusters: labkit list")
    if watches >= WATCHES_OF_ONE and needed <= instances // 2:
        return Finding(
            "limits of inotify",
            True,
            f"{has}: enough for {_nodes(config)}. For more, kind asks for {WATCHES} and {INSTANCES}.",
        )
    why = f'{has}, where kind asks for {WATCHES} and {INSTANCES}. Pods may fail with "too many open files".'
    return Finding("limits of inotify", False, why, INOTIFY, advice=True)


def _nodes(config: KindConfig) -> str:
    return f"{config.nodes} node{'s' if config.nodes > 1 else ''}"


def memory(machine: Machine, engine: Engine, config: KindConfig) -> Finding | None:
    """Enough for the nodes, and for what is to run in them."""
    if not engine.memory:
        return None
    has = f"{engine.name} has {engine.memory / GB:.1f} GB"
    title = f"memory for {_nodes(config)}"
    if engine.memory < LEAST_MEMORY:
        return Finding(
            title,
            False,
            f"{has}; Kubernetes does not start with less than 1 GB.",
            _more_memory(machine, engine),
        )
    needed = ENOUGH_MEMORY + (config.nodes - 1) * A_NODE
    if engine.memory < needed:
        why = f"{has}. The policy chapters fit; a service mesh with its demo wants {needed / GB:.0f} GB."
        return Finding(title, False, why, _more_memory(machine, engine), advice=True)
    free = machine.available_memory if engine.local else None
    if free is not None and free < config.nodes * A_NODE:
        why = f"{free / GB:.1f} GB are available now; an empty cluster takes {config.nodes * A_NODE / GB:.1f} GB."
        return Finding(
            title, False, why, "close what you do not need, or end other clusters: labkit list", advice=True
        )
    return Finding(title, True, has + ".")


def _more_memory(machine: Machine, engine: Engine) -> str:
    if machine.wsl:
        return f"# {_WSL}: memory=8GB; then in Windows: wsl --shutdown"
    if "Docker Desktop" in engine.system:
        return "# Docker Desktop > Settings > Resources: Memory 8 GB"
    if machine.platform == "darwin":
        return (
            "colima stop && colima start --memory 8"
            if engine.name == "docker"
            else "podman machine set --memory 8192"
        )
    return "labkit up   # the embedded cluster takes a tenth of it"


def disk(machine: Machine, engine: Engine) -> Finding | None:
    """Room for images and containers, where the engine keeps them on this machine."""
    free = machine.free_disk(engine.folder) if engine.local else None
    if free is None:
        return None
    title = f"room on the disk ({engine.folder})"
    remedy = f"{engine.name} system df && {engine.name} system prune"
    if free < LEAST_DISK:
        return Finding(
            title,
            False,
            f"{free / GB:.1f} GB are free; a node alone takes 1 GB, and a full disk ends pods.",
            remedy,
        )
    if free < ENOUGH_DISK:
        why = f"{free / GB:.1f} GB are free; with the images of demos and a mesh it is 10 GB."
        return Finding(title, False, why, remedy, advice=True)
    return Finding(title, True, f"{free / GB:.0f} GB are free.")


def ports(machine: Machine, engine: Engine, config: KindConfig) -> Finding | None:
    """The ports of this machine that the configuration asks for."""
    if not config.ports or engine.host.startswith(("tcp:", "ssh:")):
        return None
    title = f"the ports that {config.path.name} asks for"
    seen: set[tuple[int, str]] = set()
    troubles = []
    for port in config.ports:
        name = f"port {port.number}/{port.protocol} ({port.what})"
        if (port.number, port.protocol) in seen:
            troubles.append(f"{name} is asked for twice")
        elif machine.port_taken(port.address, port.number, port.protocol):
            troubles.append(f"{name} is taken by another program")
        seen.add((port.number, port.protocol))
    if not troubles:
        return Finding(title, True)
    number = config.ports[0].number
    remedy = (
        f"ss -lntup | grep {number}   # who has it; then end that, or name another hostPort in {config.path}"
    )
    return Finding(title, False, "; ".join(troubles) + ".", remedy)


def system(machine: Machine, engine: Engine) -> list[Finding]:
    """What is particular to WSL, macOS, snap and proxies."""
    found = []
    if machine.wsl == 1:
        why = "This is WSL 1, which has no Linux kernel to run containers on."
        found.append(Finding("WSL 2", False, why, "wsl.exe --set-version $WSL_DISTRO_NAME 2   # in Windows"))
    if machine.platform == "darwin" or "Docker Desktop" in engine.system:
        why = "Nodes live in a virtual machine: their addresses cannot be reached from here. The lab goes through the API."
        found.append(Finding("reaching the nodes", True, why))
    if engine.name == "docker" and _is_snap():
        why = "Docker comes from snap, which may read neither /tmp nor hidden folders: loading images with kind fails there."
        found.append(
            Finding(
                "Docker that reads all folders",
                False,
                why,
                "mkdir -p ~/tmp && export TMPDIR=~/tmp",
                advice=True,
            )
        )
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        value = machine.environment.get(name, "")
        if re.search(r"//([^@/]*@)?(localhost|127\.|\[::1\])", value):
            why = f"{name}={value}: kind hands it on to the nodes, where this address is the node itself."
            found.append(
                Finding(
                    "a proxy that nodes can reach",
                    False,
                    why,
                    f"unset {name}   # or name the proxy by an address of this machine",
                    advice=True,
                )
            )
            break
    return found


def _is_snap() -> bool:
    import shutil

    path = shutil.which("docker")
    return path is not None and "/snap/" in str(Path(path).resolve()) + path
