"""How long it takes to see what a cluster does with every flow of a table.

    python benchmarks/probe.py [--pods 20] [--rounds 3] [--kubeconfig FILE [--context NAME]]

Makes the pods in a namespace of its own, on a pocket cluster of its own or on the one of a kubeconfig, and observes the
table of pods × pods × 2 ports: with everything open and with three quarters closed by a policy, with labkit-probe and
with the portable script. Each time is also given as a multiple of the time that one `exec` of `true` takes in the same
run, and the whole is compared with one command per flow, the way of most scripts (measured on some flows, scaled up).
Every verdict is compared with the engine's; one that differs makes the benchmark fail.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.cluster import Cluster
from labkit.cluster.providers.pocket import PocketProvider
from labkit.policy import Flow, decide
from labkit.traffic import Observation, observe_table, probing

GOAL_SECONDS = 3.0  # for 20 pods × 20 × 2 ports on a pocket cluster
IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.56"
NAMESPACE = "bench-probe"
PORTS = [(80, "TCP"), (81, "TCP")]


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


@contextmanager
def a_cluster(kubeconfig: str | None, context: str | None) -> Iterator[Cluster]:
    if kubeconfig:
        yield Cluster.connect(kubeconfig, context)
        return
    with tempfile.TemporaryDirectory(prefix="labkit-bench-") as home:
        provider = PocketProvider(Path(home))
        try:
            yield Cluster.connect(provider.create("bench").kubeconfig)
        finally:
            provider.delete("bench")


def pod(number: int) -> dict[str, Any]:
    env = [{"name": f"SERVE_PORT_{port}", "value": "x"} for port, _ in PORTS]
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": f"p{number}", "namespace": NAMESPACE, "labels": {"half": str(number % 2)}},
        "spec": {"terminationGracePeriodSeconds": 0,
                 "containers": [{"name": "c", "image": IMAGE, "args": ["porter"], "env": env}]},
    }  # fmt: skip


POLICY = {
    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "half", "namespace": NAMESPACE},
    "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"half": "0"}}}],
                                             "ports": [{"port": 80}]}]},
}  # fmt: skip


def disagreements(cluster: Cluster, table: dict[Flow, Observation]) -> list[str]:
    world = cluster.snapshot()
    return [str(found) for flow, found in table.items() if found.allowed != decide(world, flow).allowed]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pods", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kubeconfig")
    parser.add_argument("--context")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with a_cluster(asked.kubeconfig, asked.context) as cluster:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        try:
            figures = measure(cluster, namespace, asked.pods, asked.rounds)
        finally:
            cluster.delete_objects(namespace)
    if asked.json:
        print(json.dumps(figures, indent=2))
        return 0
    unit = figures["one exec"]
    print(
        f"{asked.pods} pods, {figures['flows']:g} flows, median of {asked.rounds}; every verdict as the engine says"
    )
    for name, value in figures.items():
        if name != "flows":
            print(f"{name:45} {value:8.2f} s  {value / unit:8.1f} × one exec")
    goal = "labkit-probe, three quarters closed"
    print(f"goal for 20 pods: {GOAL_SECONDS} s: {'met' if figures[goal] <= GOAL_SECONDS else 'MISSED'}")
    return 0


def measure(cluster: Cluster, namespace: dict[str, Any], count: int, rounds: int) -> dict[str, float]:
    cluster.apply([namespace, *(pod(number) for number in range(count))])
    cluster.wait_until_ready([NAMESPACE], timeout=300)
    names = [f"{NAMESPACE}/p{number}" for number in range(count)]

    def table() -> dict[Flow, Observation]:
        return observe_table(cluster, names, PORTS)

    def timed(work: Callable[[], Any]) -> float:
        return statistics.median(seconds(work)[0] for _ in range(rounds))

    def checked() -> float:
        found = [seconds(table) for _ in range(rounds)]
        for _, result in found:
            wrong = disagreements(cluster, result)
            if wrong:
                sys.exit("not what the engine says:\n" + "\n".join(wrong[:10]))
        return statistics.median(taken for taken, _ in found)

    table()  # the client is imported, names are known
    figures: dict[str, float] = {"flows": float(count * (count - 1) * len(PORTS))}
    figures["one exec"] = timed(lambda: cluster.exec(NAMESPACE, "p0", ["true"]))
    figures["labkit-probe, all open"] = checked()
    cluster.apply(POLICY)
    figures["labkit-probe, three quarters closed"] = checked()
    known = {(cluster.client.server, IMAGE)}
    probing._MISSING.update(known)
    figures["portable script, three quarters closed"] = checked()
    probing._MISSING.difference_update(known)
    address = cluster.get("pods", "p1", NAMESPACE)["status"]["podIP"]  # type: ignore[index]
    commands = [["/agnhost", "connect", f"{address}:{port}", "--timeout=1s"] for port, _ in PORTS]
    some = sum(seconds(lambda one=one: cluster.exec(NAMESPACE, "p0", one))[0] for one in commands)
    figures["one command per flow (from a few flows)"] = some / len(commands) * figures["flows"]
    return figures


if __name__ == "__main__":
    sys.exit(main())
