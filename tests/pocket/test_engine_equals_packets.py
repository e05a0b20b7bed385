"""What the engine says is what packets do: 200 random worlds, every flow of each tried in the kernel."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from labkit.pocket.node.network import NODE_ADDRESS
from labkit.pocket.node.network.netlink import NETLINK_NETFILTER, Message, NetlinkSocket
from labkit.pocket.node.network.policyrules import TABLE, chain_name
from labkit.pocket.node.network.readback import read_rules
from labkit.policy import Direction, TruthTable, World, truth_table
from labkit.policy.generate import Shape, random_objects, random_policies
from tests.pocket.node.network.bench import WHO, Bench, in_namespaces, why_no_namespaces
from tests.pocket.node.network.prober import Cell, End, Prober

SHAPE = Shape(
    policies=5,
    ports=((80, "TCP"), (81, "TCP"), (80, "UDP"), (80, "SCTP")),
    externals=("203.0.113.7", "198.51.100.20"),
)
COHORTS, WORLDS = 10, 20
"""Pods live for a cohort, with their addresses and port names; labels and policies change with every world."""

POLICIES = "networkpolicies.networking.k8s.io"


async def _pods(bench: Bench, cohort: int) -> Prober:
    """Namespaces, pods and outside hosts of a cohort, and a prober that listens at all of them and at the
    node.
    """
    ends = [End(NODE_ADDRESS, NODE_ADDRESS, None)]
    for obj in random_objects(cohort, SHAPE):
        metadata = obj["metadata"]
        if obj["kind"] == "Namespace":
            bench.namespace(metadata["name"])
        elif obj["kind"] == "Pod":
            key = f"{metadata['namespace']}/{metadata['name']}"
            pod = await bench.pod(key, metadata["labels"], obj["spec"]["containers"][0]["ports"])
            ends.append(End(key, pod.ip, pod.netns_fd))
    for address in SHAPE.externals:
        ends.append(End(address, address, bench.network.outside(address).netns_fd))
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "pocket"}}
    status = {"addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}]}
    bench.api.create("nodes", node)
    bench.api.modify("nodes", "pocket", None, lambda o: {**o, "status": status}, subresource="status")
    return Prober(ends, SHAPE.ports)


async def _become(bench: Bench, seed: int) -> World:
    """Turn the cluster into the next world: labels and policies, through the API, while the network
    follows.
    """
    api = bench.api
    for policy in api.list(POLICIES):
        api.delete(POLICIES, policy["metadata"]["name"], policy["metadata"]["namespace"])
    for obj in random_objects(seed, SHAPE):
        metadata = obj["metadata"]
        if obj["kind"] == "NetworkPolicy":
            continue
        resource = "namespaces" if obj["kind"] == "Namespace" else "pods"
        bench.relabel(resource, metadata["name"], metadata.get("namespace"), metadata["labels"])
    for policy in random_policies(seed, _world(bench), SHAPE):
        api.create(POLICIES, policy)
    await bench.settle()
    return _world(bench)


def _world(bench: Bench) -> World:
    objects: list[dict[str, Any]] = []
    for kind, resource in (
        ("Namespace", "namespaces"),
        ("Pod", "pods"),
        ("NetworkPolicy", POLICIES),
        ("Node", "nodes"),
    ):
        objects += [{**obj, "kind": kind} for obj in bench.api.list(resource)]
    return World.from_objects(objects, externals=SHAPE.externals)


def _table(world: World) -> TruthTable:
    ends = [*world.pods, *SHAPE.externals, NODE_ADDRESS]
    return truth_table(world, SHAPE.ports, ends, ends)


def _questions(table: TruthTable, skipped: Counter[str]) -> dict[Cell, str]:
    """The flows to try, with the engine's verdicts; what is left to implementations is counted by its
    reason.
    """
    pods = set(table.world.pods)
    expected: dict[Cell, str] = {}
    for flow, cell in table.cells():
        if flow.source not in pods and flow.destination not in pods:
            continue  # no pod takes part: not a question for NetworkPolicy
        if not cell.defined:
            decision = table.decide(flow.source, flow.destination, flow.port, flow.protocol)
            skipped[decision.note or "?"] += 1
            continue
        expected[flow.source, flow.destination, flow.port, flow.protocol] = cell.verdict.value
    return expected


def _dropped(bench: Bench, netfilter: NetlinkSocket) -> int:
    """How many packets the pods' chains have dropped since they were made."""
    chains = [chain_name(direction, pod.ip) for pod in bench.pods.values() for direction in Direction]
    return sum(
        read_rules(netfilter, TABLE, chain)[-1].packets for chain in chains if _exists(netfilter, chain)
    )


def _exists(netfilter: NetlinkSocket, chain: str) -> bool:
    return bool(read_rules(netfilter, TABLE, chain))


def _forget_connections(netfilter: NetlinkSocket) -> None:
    """A world must not profit from connections that the last one allowed."""
    netfilter.send([Message(1 << 8 | 2, 0, bytes([2, 0, 0, 0]), "flush connection tracking")])


async def _cohort(number: int, counts: Counter[str], skipped: Counter[str]) -> None:
    async with Bench() as bench:
        prober = await _pods(bench, number)
        with NetlinkSocket(NETLINK_NETFILTER) as netfilter:
            for seed in range(number * WORLDS, (number + 1) * WORLDS):
                table = _table(await _become(bench, seed))
                expected = _questions(table, skipped)
                _forget_connections(netfilter)
                before = _dropped(bench, netfilter)
                seen = prober.probe(expected)
                different = {cell for cell in expected if seen[cell] != expected[cell]}
                if different:  # a busy machine may be slow to answer, never quick to let through
                    await asyncio.sleep(0.2)
                    again = prober.probe(different, quiet=1.0)
                    different = {cell for cell in different if again[cell] != expected[cell]}
                if different:
                    pytest.fail(await _report(bench, seed, table, different, expected, seen))
                denied = sum(verdict == "TIMEOUT" for verdict in expected.values())
                dropped = _dropped(bench, netfilter) - before
                assert dropped >= denied, (
                    f"seed {seed}: {denied} flows denied, but the rules dropped {dropped} packets"
                )
                counts.update(expected.values())
                counts["worlds"] += 1
        prober.close()


async def _report(
    bench: Bench,
    seed: int,
    table: TruthTable,
    different: set[Cell],
    expected: dict[Cell, str],
    seen: dict[Cell, str],
) -> str:
    lines = [f"seed {seed}: {len(different)} of {len(expected)} flows differ"]
    for cell in sorted(different)[:3]:
        lines += [f"{cell}: engine {expected[cell]}, packets {seen[cell]}", table.decide(*cell).explain()]
        for name in cell[:2]:
            if name in bench.pods:
                lines.append(await bench.network.rules(*name.split("/")))
    return "\n".join(lines)


@pytest.mark.cluster
@pytest.mark.parametrize("cohort", range(COHORTS))
def test_engine_and_packets_agree_on_every_flow_of_random_worlds(cohort: int) -> None:
    who = WHO[cohort % len(WHO)]
    if reason := why_no_namespaces(who):
        pytest.skip(reason)

    async def work() -> None:
        counts: Counter[str] = Counter()
        skipped: Counter[str] = Counter()
        await _cohort(cohort, counts, skipped)
        assert counts["worlds"] == WORLDS
        assert min(counts["OK"], counts["TIMEOUT"]) > 1000, f"too one-sided to prove anything: {counts}"
        assert skipped.total() < counts.total() / 10, f"too much was left out: {skipped}"
        print(f"{who}: {dict(counts)}; left to implementations: {dict(skipped)}", flush=True)  # noqa: T201

    in_namespaces(who, work, timeout=120)
