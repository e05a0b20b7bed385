"""How fast the mesh layer answers: one request against many policies, compiled once, and with all reasons.

    python benchmarks/mesh.py [--policies 100]

The yardstick within the run is the naive way: every rule of every policy tried in turn, nothing remembered.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from labkit.policy import Facts, Flow, HttpRequest, World, decide, decide_mesh
from labkit.policy.mesh.attributes import Attributes
from labkit.policy.mesh.generate import HTTP_PORT, workloads
from labkit.policy.mesh.receiving import authorize

REQUESTS = 2000


def policies(count: int) -> list[dict[str, Any]]:
    """As a team writes them: by service account, method and path; every tenth is a DENY, every fifth looks at a header."""
    random = Random(5)
    found = []
    for i in range(count):
        rule: dict[str, Any] = {
            "from": [{"source": {"principals": [f"cluster.local/ns/m-beta/sa/client-{i % 30}"]}}],
            "to": [
                {
                    "operation": {
                        "methods": [random.choice(["GET", "POST"])],
                        "paths": [f"/team-{i}/*", f"/v{i}"],
                    }
                }
            ],
        }
        if i % 5 == 0:
            rule["when"] = [{"key": "request.headers[x-team]", "values": [f"team-{i}"]}]
        spec = {"action": "DENY" if i % 10 == 9 else "ALLOW", "rules": [rule]}
        found.append(
            {
                "apiVersion": "security.istio.io/v1",
                "kind": "AuthorizationPolicy",
                "metadata": {"namespace": "m-alpha", "name": f"policy-{i}"},
                "spec": spec,
            }
        )
    return found


def best(work: Callable[[], Any], times: int = 5) -> float:
    """The shortest of several runs, in seconds of this process: the machine does other things too."""
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def main(count: int) -> None:
    objects = [*workloads("m"), *policies(count)]
    world = World.from_objects(objects)
    server = world.pods["m-alpha/server"]

    def compiled() -> None:
        fresh = World.from_objects(objects)
        fresh.mesh.workload(fresh.pods["m-alpha/server"])

    random = Random(1)
    asked = [
        Attributes(
            peer=f"spiffe://cluster.local/ns/m-beta/sa/client-{random.randrange(30)}",
            port=8080,
            host="server",
            method="GET",
            path=f"/team-{random.randrange(count)}/{random.randrange(20)}",
            headers={},
        )
        for _ in range(REQUESTS)
    ]
    filters = world.mesh.workload(server).http
    tables = (filters.deny, filters.allow)

    def naive() -> None:
        for attributes in asked[:50]:
            for table in tables:
                for rule in table.rules if table else ():
                    any(
                        all(c.holds(attributes.value(c.subject, c.name)) for c in p.conditions)
                        for p in rule.principals
                    )
                    any(
                        all(c.holds(attributes.value(c.subject, c.name)) for c in p.conditions)
                        for p in rule.permissions
                    )

    flows = [
        Flow(
            "m-beta/client",
            "service:m-alpha/server",
            HTTP_PORT,
            request=HttpRequest("GET", f"/team-{i}/{i % 7}"),
        )
        for i in range(count)
    ]
    facts = Facts(now=0)
    whole = best(lambda: [decide_mesh(world, flow, facts) for flow in flows]) / len(flows)
    every = {
        "authorization alone": best(lambda: [authorize(filters, a) for a in asked]) / len(asked),
        "the proxies, whole: TLS, token, authorization": whole,
        "every rule in turn": best(naive) / 50,
        "decide: NetworkPolicy, the proxies, all reasons": best(lambda: [decide(world, f) for f in flows], 2)
        / count,
    }
    print(f"{count} policies on one workload; read and compiled in {best(compiled, 2) * 1000:.1f} ms")
    slow = every["every rule in turn"]
    for name, seconds in every.items():
        print(f"  {name:60}{seconds * 1e6:9.1f} µs   {slow / seconds:6.1f} × every rule in turn")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--policies", type=int, default=100)
    main(parser.parse_args().policies)
