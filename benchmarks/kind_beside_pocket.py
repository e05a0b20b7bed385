"""A real kind cluster and a pocket cluster side by side: time to ready, to the first pod Running, memory, time to end.

    python benchmarks/kind_beside_pocket.py [--rounds N] [--image IMAGE]

Both are made in the same run on the same machine, one after the other and never at once, by the providers that `labkit up` uses.
Seconds depend on the machine and on what else it does; the ratio of the two much less. The median of the rounds is shown.
Where there is no container engine it says so and ends well: there is nothing to compare.

Memory is the proportional set size of the cluster's processes, in MB: of the containers that kind's nodes are, and of the pocket
cluster's namespace.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from labkit.cluster import Cluster, ClusterError
from labkit.cluster.providers import Options, Provider
from labkit.cluster.providers.engine import Engine, find_engine
from labkit.cluster.providers.kind import KindProvider, binary
from labkit.cluster.providers.kind.nodes import nodes
from labkit.cluster.providers.pocket import PocketProvider

NAME = f"bench-{os.getpid()}"
AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.56"
ROWS = {
    "ready": "up, until the API and DNS answer",
    "pod": "first pod Running after that",
    "memory": "memory of the empty cluster, MB",
    "down": "down",
}


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def one_round(
    provider: Provider, options: Options, processes: Callable[[Any], Iterable[int]], image: str
) -> dict[str, float]:
    found: dict[str, float] = {}
    try:
        began = time.perf_counter()
        made = provider.create(NAME, options=options)
        cluster = Cluster.connect(made.kubeconfig, made.context)
        cluster.wait("deployments", "coredns", namespace="kube-system", timeout=300)
        found["ready"] = time.perf_counter() - began
        found["memory"] = memory(processes(made))
        found["pod"] = seconds(lambda: first_pod(cluster, image))
        cluster.close()
    finally:
        if provider.find(NAME) is not None:
            found["down"] = seconds(lambda: provider.delete(NAME))
    return found


def first_pod(cluster: Cluster, image: str) -> None:
    container = {
        "name": "c",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["netexec", "--http-port=80"],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "first"},
        "spec": {"containers": [container]},
    }
    cluster.apply(pod, namespace="default")
    cluster.wait("pods", "first", namespace="default", timeout=300)


def memory(processes: Iterable[int]) -> float:
    """Megabytes of processes, shared pages by their share; those that we may not look at count as nothing."""
    kilobytes = 0
    for process in processes:
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        kilobytes += int(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1])
    return kilobytes / 1024


def of_namespace(kind: str, of: int) -> list[int]:
    """The processes that share a namespace with a process, or are in one below (by its pid namespace: a container's own)."""
    wanted = Path(f"/proc/{of}/ns/{kind}").readlink()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "ns" / kind).readlink() == wanted:
                found.append(int(entry.name))
        except OSError:
            pass  # ended meanwhile
    return found


def descendants(of: int) -> list[int]:
    """A process and all below it: a node's first process is the ancestor of all that runs in it, pods too."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry.parent.name))
    found, left = [], [of]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def of_kind(engine: Engine) -> Callable[[Any], Iterable[int]]:
    def processes(_made: Any) -> Iterable[int]:
        if not engine.local:
            return []
        firsts = [
            int(engine.run("inspect", "--format", "{{.State.Pid}}", node.name).stdout)
            for node in nodes(engine, f"labkit-{NAME}")
        ]
        return [process for first in firsts for process in descendants(first)]

    return processes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--image", default="", help="kind's node image")
    parser.add_argument("--pod-image", default=AGNHOST, help="the image of the first pod")
    options = parser.parse_args()
    try:
        engine = find_engine()
        binary.find_kind()
    except ClusterError as problem:
        print(
            f"Nothing to compare: there is no kind cluster on this machine. {' '.join(str(problem).splitlines()[:2])}"
        )
        return
    rounds: dict[str, list[dict[str, float]]] = {"kind": [], "pocket": []}
    with tempfile.TemporaryDirectory(prefix="labkit-bench-") as folder:
        home = Path(folder)
        for _ in range(options.rounds):
            rounds["pocket"].append(
                one_round(
                    PocketProvider(home),
                    Options(),
                    lambda made: of_namespace("user", made.detail["pid"]),
                    options.pod_image,
                )
            )
            rounds["kind"].append(
                one_round(
                    KindProvider(home), Options(image=options.image), of_kind(engine), options.pod_image
                )
            )
    print(f"{'':36} {'kind':>10} {'pocket':>10} {'ratio':>8}")
    for row, title in ROWS.items():
        kind, pocket = (statistics.median(one[row] for one in rounds[name]) for name in ("kind", "pocket"))
        unit = "" if row == "memory" else " s"
        ratio = f"{kind / pocket:7.1f}x" if kind and pocket else "      -"
        print(f"{title:36} {kind:8.1f}{unit or '  '} {pocket:8.1f}{unit or '  '} {ratio}")


if __name__ == "__main__":
    try:
        main()
    except ClusterError as problem:
        sys.exit(str(problem))
