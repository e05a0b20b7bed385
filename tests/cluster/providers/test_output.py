"""kind's own words as steps, and its failures as what to try: lines as real runs of kind printed them."""

from __future__ import annotations

import pytest

from labkit.cluster.providers.kind import failures, output
from labkit.cluster.steps import State, Steps

SAID = """\
Creating cluster "labkit-try" ...
 • Ensuring node image (offline.lab/node:v1.34.3) 🖼  ...
 ✓ Ensuring node image (offline.lab/node:v1.34.3) 🖼
 • Preparing nodes 📦 📦 📦   ...
 ✓ Preparing nodes 📦 📦 📦 \n\
 • Writing configuration 📜  ...
 ✓ Writing configuration 📜
 • Starting control-plane 🕹️  ...
 ✓ Starting control-plane 🕹️
 • Joining worker nodes 🚜  ...
 ✗ Joining worker nodes 🚜
Deleted nodes: ["labkit-try-control-plane"]
ERROR: failed to create cluster: failed to join node with kubeadm
"""


def test_kinds_lines_are_steps_without_its_pictures() -> None:
    steps = Steps()
    for line in SAID.splitlines():
        output.tell(line, steps)
    assert [(step.title, step.state) for step in steps.steps] == [
        ("Ensuring node image (offline.lab/node:v1.34.3)", State.DONE),
        ("Preparing nodes", State.DONE),
        ("Writing configuration", State.DONE),
        ("Starting control-plane", State.DONE),
        ("Joining worker nodes", State.FAILED),
    ]


@pytest.mark.parametrize("pulls", [True, False])
def test_a_first_download_is_told(pulls: bool) -> None:
    steps = Steps()
    output.tell(" • Ensuring node image (kindest/node:v1.34.3) 🖼  ...", steps, pulls=pulls)
    assert steps.running is not None
    assert ("downloaded" in steps.running.note) is pulls


def test_remarks_and_colours_are_no_steps() -> None:
    assert output.read(" • Ready after 11s 💚") is None
    assert output.read("Have a nice day! 👋") is None
    coloured = output.read(" \x1b[32m✓\x1b[0m Waiting ≤ 2m0s for control-plane = Ready ⏳ ")
    assert coloured == output.Line(output.Mark.DONE, "Waiting ≤ 2m0s for control-plane = Ready")


@pytest.mark.parametrize(
    ("log", "what", "remedy"),
    [
        (
            (
                'ERROR: failed to create cluster: could not find a log line that matches "Reached target .*Multi-User System.*'
                '|detected cgroup v1"\n---- the log of node x\nFailed to create inotify object: Too many open files\n'
                "Failed to allocate manager object: too many open files"
            ),
            "limits of inotify",
            "max_user_instances=512",
        ),
        (
            'ERROR: failed to create cluster: could not find a log line that matches "Reached target .*|detected cgroup v1"',
            "did not boot",
            "labkit doctor",
        ),
        (
            "E1 run.go: kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is unsupported",
            "version 1 of control groups",
            "v1.34",
        ),
        (
            (
                "docker: Error response from daemon: driver failed programming external connectivity: Bind for 0.0.0.0:80 failed:"
                " port is already allocated."
            ),
            "a port that the configuration asks for is taken",
            "hostPort",
        ),
        ("write /var/lib/docker/tmp: no space left on device", "disk", "prune"),
        (
            'ERROR: failed to create cluster: node(s) already exist for a cluster with the name "labkit-x"',
            "already",
            "labkit down",
        ),
        (
            (
                'ERROR: failed to create cluster: failed to pull image "kindest/node:v9": command "docker pull" failed\n'
                "Command Output: Error response from daemon: manifest for kindest/node:v9 not found: manifest unknown"
            ),
            "there is no such node image",
            "without --image",
        ),
        (
            (
                'ERROR: failed to pull image "kindest/node:v1"\n\nCommand Output: Error response from daemon:'
                ' Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host'
            ),
            "cannot be reached",
            "docker load",
        ),
        ("toomanyrequests: You have reached your pull rate limit", "pull more", "docker login"),
        (
            'ERROR: ... docker run failed\n---- its state: {"Status":"exited","OOMKilled":true}',
            "not enough memory",
            "4 GB",
        ),
        (
            'ERROR: command "docker run" failed with error: signal: killed',
            "a process was killed: by somebody, or",
            "try again",
        ),
        (
            (
                'I1 certwatcher.go: "Setting rate limiting for endpoint" service="kubelet"\n'
                "E1 reflector.go: dial tcp: lookup labkit-x-control-plane: no such host\n"
                "[kubelet-check] The kubelet is not healthy after 4m0.000s"
            ),
            "did not come up in time",
            "--retain",
        ),
        ("exec /usr/local/bin/entrypoint: exec format error", "another processor", "amd64 and arm64"),
        (
            (
                "ERROR: failed to create cluster: running kind with rootless provider requires setting systemd property"
                ' "Delegate=yes"'
            ),
            "hand them over",
            "Delegate=yes",
        ),
        (
            "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
            "no subnet left",
            "VPN",
        ),
        (
            "[kubelet-check] The kubelet is not healthy after 4m0.000s\nerror: error execution phase wait-control-plane",
            "did not come up in time",
            "--retain",
        ),
        (
            "ERROR: unknown configuration version: kind.x-k8s.io/v9, yaml: line 3: found a tab",
            "configuration",
            "mend",
        ),
    ],
)
def test_the_line_that_matters_is_found_with_what_to_try(log: str, what: str, remedy: str) -> None:
    found = failures.diagnose(f"Creating cluster ...\n • Preparing nodes 📦  ...\n{log}\n")
    assert what in found.what
    assert remedy in found.remedy
    assert found.line in log


def test_what_nobody_knows_is_quoted_by_its_last_error() -> None:
    found = failures.diagnose("Creating cluster\nERROR: the moon is in the way\nDeleted nodes")
    assert found == failures.Diagnosis("ERROR: the moon is in the way", "", "")
    assert failures.diagnose("").line == "it said nothing"


def test_every_signature_has_something_to_try() -> None:
    assert all(one.what and one.remedy for one in failures.SIGNATURES)
