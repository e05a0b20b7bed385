"""Why kind failed: its log and the nodes' are searched for the line that matters, and what is known to help is said.

The signatures are those that kind's users meet (https://kind.sigs.k8s.io/docs/user/known-issues/ and its issues).
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signature:
    """A pattern of one line in a log, what it means, and what to try."""

    pattern: str
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found in a log: the line, what it means ("" when nobody knows), what to try."""

    line: str
    what: str
    remedy: str


INOTIFY = (
    "printf '%s\\n' fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512 |"
    " sudo tee /etc/sysctl.d/99-labkit-kind.conf && sudo sysctl --system"
)
OLDER_IMAGE = "labkit up NAME --provider kind --image kindest/node:v1.34.0"

# The first that matches says it: causes stand before their consequences.
SIGNATURES = (
    Signature(
        r"node\(s\) already exist for a cluster",
        "there are nodes of that name already, made by something else at the same time or left behind",
        "labkit down NAME --provider kind",
    ),
    Signature(
        r"not run on a host using cgroup v1|cgroup v1 support is unsupported",
        "the kubelet of this Kubernetes version refuses to run with version 1 of control groups",
        f"{OLDER_IMAGE}   # or boot with cgroup v2: systemd.unified_cgroup_hierarchy=1 on the kernel's command line",
    ),
    Signature(
        r"too many open files|[Ff]ailed to (allocate|add|create) (inotify|directory) watch|inotify_init|fsnotify watcher",
        "this machine's limits of inotify are too low for a further node",
        INOTIFY,
    ),
    Signature(
        r"no space left on device|disk quota exceeded",
        "the disk that the container engine writes to is full",
        "docker system df && docker system prune   # the second removes stopped containers and unused images",
    ),
    Signature(
        r"port is already allocated|address already in use|[Pp]orts? (is|are) not available",
        "a port that the configuration asks for is taken",
        "choose another hostPort in the configuration, or none (the lab reaches Services by port-forward)",
    ),
    Signature(
        r"could not find an available.*address pool|address pools have been fully subnetted",
        "the engine has no subnet left that nobody uses: other networks, or a VPN that routes all private addresses",
        "docker network prune   # or leave the VPN for a while, or choose: docker network create kind --subnet 172.30.0.0/16",
    ),
    Signature(
        r"Pool overlaps with other one on this address space",
        "the subnet of the network `kind` overlaps with another one",
        "docker network prune",
    ),
    Signature(
        r"requires cgroup v2|Delegate=yes",
        "a rootless engine needs control groups of version 2, and systemd has to hand them over",
        "sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=yes\\n' |"
        " sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload   # then log in again",
    ),
    Signature(
        r"can't initialize ip6?tables table|[Mm]odule ip6?_?tables not found|iptables.*(Permission denied|does not exist)",
        "the kernel modules of iptables are not loaded, and a rootless engine cannot load them",
        "sudo modprobe -a ip_tables ip6_tables iptable_nat ip6table_nat",
    ),
    Signature(
        r"toomanyrequests|pull rate limit|[Rr]ate exceeded",
        "the registry lets nobody without an account pull more for now",
        "docker login   # or wait an hour, or bring the image: docker load -i FILE.tar",
    ),
    Signature(
        r"no matching manifest for|exec format error|image with reference .* does not match the specified platform",
        "the node image is for another processor than this machine's",
        "take an image for this processor with --image; kind's own images serve amd64 and arm64",
    ),
    Signature(
        r"x509: certificate|certificate signed by unknown authority",
        "the engine does not trust who answers in the registry's name: most often a proxy that opens TLS",
        "let the engine trust your proxy's certificate, or bring the image: docker load -i FILE.tar",
    ),
    Signature(
        r"manifest( for \S+)? (unknown|not found)|pull access denied|repository does not exist|manifest unknown",
        "there is no such node image",
        "labkit up NAME --provider kind   # without --image, kind takes the one it was made for",
    ),
    Signature(
        # Not the bare words of the network: a node's own log says them of itself while it comes up.
        r"failed to pull image|Error response from daemon: .*(no such host|i/o timeout|TLS handshake|unreachable)",
        "the node image is not on this machine, and its registry cannot be reached",
        "docker pull IMAGE where there is a network, or bring it in a file: docker load -i FILE.tar",
    ),
    Signature(
        r"OOMKilled|[Oo]ut of memory|oom-kill",
        "there was not enough memory, and the kernel ended a process",
        "close what you can, or give Docker Desktop's (or WSL's, or colima's) machine more: 4 GB for one node",
    ),
    Signature(
        r"exit status 137|signal: killed",
        "a process was killed: by somebody, or by the kernel when memory ran out (dmesg tells which)",
        "try again; if it was memory, close what you can, or give the engine's machine more: 4 GB for one node",
    ),
    Signature(
        r"permission denied while trying to connect to the Docker daemon",
        "you may not talk to the container engine",
        "sudo usermod -aG docker $USER && newgrp docker",
    ),
    Signature(
        r"Cannot connect to the Docker daemon|error during connect|failed to connect to the docker API",
        "the container engine went away",
        "sudo systemctl start docker",
    ),
    Signature(
        r"unable to apply cap|unable to set capability|operation not permitted.*(runc|OCI)|OCI runtime.*operation not permitted",
        "this machine does not give a container all the rights that a node needs (privileged containers)",
        "run on a machine of your own, not inside a container; the embedded cluster needs none of this: labkit up",
    ),
    Signature(
        r"could not find a log line that matches",
        "a node did not boot: most often inotify limits, control groups, or a full disk",
        f"{INOTIFY}\nlabkit doctor   # says more",
    ),
    Signature(
        r"kubelet is (not healthy|unhealthy)|failed while waiting for the kubelet|wait-control-plane|connection refused.*10248",
        "the kubelet, or what it was to start, did not come up in time: a slow machine, or a node image that does not fit",
        "labkit up NAME --provider kind --retain && labkit logs export NAME FOLDER   # kubelet.log says why",
    ),
    Signature(
        r"invalid configuration|unable to decode config|error unmarshaling|unknown field|yaml: ",
        "kind does not understand the configuration",
        "mend the file; https://kind.sigs.k8s.io/docs/user/configuration/ lists what there is",
    ),
)


def diagnose(log: str) -> Diagnosis:
    """The line of a log that matters most, and what is known about it."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for signature in SIGNATURES:
        pattern = re.compile(signature.pattern)
        if found := next((line for line in lines if pattern.search(line)), None):
            return Diagnosis(_short(found), signature.what, signature.remedy)
    errors = [line for line in lines if line.startswith(("ERROR", "error", "Error", "fatal", "panic"))]
    last = (errors or lines or ["it said nothing"])[-1]
    return Diagnosis(_short(last), "", "")


def _short(line: str, width: int = 400) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"
