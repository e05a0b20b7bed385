"""How fast the policy engine answers, as ratios within one run.

    python benchmarks/policy.py [--large]

The yardstick is the naive evaluation of tests/policy/naive.py, one pair at a time, measured on a sample of pairs and
scaled up (it would take minutes on the larger worlds). The set of worlds is synthetic: namespaces with four tiers, selectors
of which 70 % are one label, 15 % two labels and 15 % expressions, one or two peers a rule, 60 % of the rules with ports.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from labkit.policy import Flow, World, atomic_ports, decide, truth_table  # noqa: E402
from labkit.policy.table import TruthTable  # noqa: E402
from tests.policy import naive  # noqa: E402

CELLS = [(80, "TCP"), (443, "TCP"), (5432, "TCP"), (53, "UDP")]
TIERS = ("front", "api", "cache", "db")
SIZES = [(100, 50), (400, 200), (1000, 500)]


def synthetic(pods: int, policies: int, seed: int = 1) -> list[dict[str, Any]]:
    """Objects of a cluster of this size."""
    random = Random(seed)
    spaces = max(10, min(100, pods // 10))
    objects: list[dict[str, Any]] = [
        {
            "kind": "Namespace",
            "metadata": {
                "name": f"ns{i}",
                "labels": {"team": f"team{i % 7}", "kubernetes.io/metadata.name": f"ns{i}"},
            },
        }
        for i in range(spaces)
    ]
    for i in range(pods):
        labels = {"app": f"app{random.randrange(20)}", "tier": random.choice(TIERS)}
        if random.random() < 0.3:
            labels["track"] = random.choice(("stable", "canary"))
        ports = [{"name": "web", "containerPort": random.choice((80, 8080)), "protocol": "TCP"}]
        ip = f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"
        objects.append(
            {
                "kind": "Pod",
                "metadata": {"namespace": f"ns{i % spaces}", "name": f"p{i}", "labels": labels},
                "spec": {"containers": [{"ports": ports}]},
                "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]},
            }
        )

    def selector() -> dict[str, Any]:
        draw = random.random()
        if draw < 0.7:
            return {
                "matchLabels": random.choice(
                    [{"app": f"app{random.randrange(20)}"}, {"tier": random.choice(TIERS)}]
                )
            }
        if draw < 0.85:
            return {"matchLabels": {"app": f"app{random.randrange(20)}", "tier": random.choice(TIERS)}}
        operator = random.choice(("In", "NotIn"))
        return {
            "matchExpressions": [{"key": "tier", "operator": operator, "values": random.sample(TIERS, 2)}]
        }

    def peer() -> dict[str, Any]:
        draw = random.random()
        if draw < 0.1:
            return {"ipBlock": {"cidr": f"10.0.{random.randrange(4)}.0/24"}}
        result: dict[str, Any] = {}
        if draw < 0.6:
            result["namespaceSelector"] = {"matchLabels": {"team": f"team{random.randrange(7)}"}}
        if draw >= 0.4:
            result["podSelector"] = selector()
        return result

    def rule(field: str) -> dict[str, Any]:
        result: dict[str, Any] = {field: [peer() for _ in range(random.randint(1, 2))]}
        if random.random() < 0.6:
            number, protocol = random.choice(CELLS)
            result["ports"] = [random.choice([{"port": number, "protocol": protocol}, {"port": "web"}])]
        return result

    for i in range(policies):
        types = random.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
        spec: dict[str, Any] = {"podSelector": selector(), "policyTypes": types}
        for name, field in (("Ingress", "from"), ("Egress", "to")):
            if name in types:
                spec[name.lower()] = [rule(field)]
        objects.append(
            {
                "kind": "NetworkPolicy",
                "metadata": {"namespace": f"ns{random.randrange(spaces)}", "name": f"policy{i}"},
                "spec": spec,
            }
        )
    return objects


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def whole(table: TruthTable) -> int:
    """Every answer of a table, counted: the full matrix of each port."""
    return sum(table.count(port, protocol) for port, protocol in table.ports)


def per_pair(pods: list[str], sample: int, ask: Callable[[str, str], Any]) -> float:
    """Seconds for all pairs, scaled up from a sample of them."""
    random = Random(7)
    pairs = [(random.choice(pods), random.choice(pods)) for _ in range(sample)]
    seconds, _ = timed(lambda: [ask(a, b) for a, b in pairs])
    return seconds * len(pods) ** 2 / sample


def measure(count: int, policies: int) -> None:
    objects = synthetic(count, policies)
    read, world = timed(lambda: World.from_objects(objects))
    pods = list(world.pods)
    cluster = naive.Cluster(objects)
    slow = per_pair(pods, 300, lambda a, b: naive.allowed(cluster, a, b, 80, "TCP"))
    decided = per_pair(pods, 300, lambda a, b: decide(world, Flow(a, b, 80)))
    four, allowed = timed(lambda: whole(truth_table(world, CELLS)))
    cells = [(piece.first, piece.protocol) for piece in atomic_ports(world)]
    fresh = World.from_objects(objects)
    every, _ = timed(lambda: whole(truth_table(fresh, cells)))
    policy = next(o for o in objects if o["kind"] == "NetworkPolicy")
    edited = {**policy, "spec": {**policy["spec"], "podSelector": {}}}
    edit, _ = timed(lambda: whole(truth_table(world.replace(edited), CELLS)))
    pairs = f"{count * count * len(CELLS)}"
    print(
        f"{count} pods, {policies} policies: {allowed} of {pairs} flows allowed; objects read in {read:.3f} s"
    )
    row("naive, pair by pair, one port (from 300 pairs)", slow)
    row("decide with reasons, one port (from 300 pairs)", decided, slow, "naive")
    row(f"bit sets, {len(CELLS)} ports", four, slow * len(CELLS), "naive")
    row(f"bit sets, every port ({len(cells)} atomic pieces)", every, slow * len(cells), "naive")
    row(f"one policy edited, {len(CELLS)} ports again", edit, four, "the first table")


def row(what: str, seconds: float, against: float | None = None, name: str = "") -> None:
    ratio = f"{against / seconds:10.1f} × the speed of {name}" if against else ""
    print(f"  {what:48}{seconds:9.3f} s {ratio}".rstrip())


if __name__ == "__main__":
    for size in [*SIZES, *([(2000, 1000), (5000, 1000)] if "--large" in sys.argv else [])]:
        measure(*size)
