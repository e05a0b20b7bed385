"""The conformance corpus on the pocket cluster's data plane: each expected word, tried with a packet.

What needs IPv6, another node or a choice that kindnet makes differently is left to the engine's own run of the corpus
and is not counted as passed here.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from labkit.pocket.controllers import endpoints
from labkit.pocket.node.network.addresses import AddressPool
from labkit.pocket.node.network.netlink import NETLINK_NETFILTER, Message, NetlinkSocket
from tests.conformance.loader import CASES, Case, Expectation, Stage, case_files, load_case
from tests.pocket.node.network.bench import WHO, Bench, in_namespaces, why_no_namespaces
from tests.pocket.node.network.prober import Cell, End, Prober

POLICIES = "networkpolicies.networking.k8s.io"
WORD = {"allow": "OK", "deny": "TIMEOUT"}
PROTOCOLS = ("TCP", "UDP", "SCTP")
KINDS = ("Namespace", "Pod", "Service", "NetworkPolicy")


class WrittenAddresses(AddressPool):
    """Gives each pod the address that the case has written for it."""

    def __init__(self) -> None:
        super().__init__("10.200.0.0/16")
        self.next = ""

    def take(self) -> str:
        return self.next or super().take()


class Replay:
    """One case, stage by stage, on a bench."""

    def __init__(self, bench: Bench, addresses: WrittenAddresses) -> None:
        self._bench = bench
        self._addresses = addresses
        self._outside: dict[str, End] = {}
        self._objects: dict[tuple[str, str, str], dict[str, Any]] = {}

    async def become(self, stage: Stage) -> None:
        """Bring the API to the stage's objects, as the differences from the stage before."""
        api = self._bench.api
        wanted = {_key(obj): obj for obj in stage.objects if obj["kind"] in KINDS}
        gone = [key for key, obj in self._objects.items() if key not in wanted or _replaced(obj, wanted[key])]
        for kind, namespace, name in gone:
            if kind == "NetworkPolicy":
                api.delete(POLICIES, name, namespace)
            elif kind == "Pod":
                pod = self._bench.pods.pop(f"{namespace}/{name}", None)
                api.delete("pods", name, namespace, grace_period=0)
                if pod:
                    await self._bench.network.detach(pod.uid)
                    pod.close()
            elif kind == "Service":
                api.delete("services", name, namespace)
        for key, obj in wanted.items():
            before = self._objects.get(key)
            if before == obj:
                continue
            kind, namespace, name = key
            if kind == "NetworkPolicy":
                if before is not None:
                    api.delete(POLICIES, name, namespace)
                api.create(POLICIES, obj, namespace)
            elif before is not None and before.get("spec") == obj.get("spec"):
                resource = "namespaces" if kind == "Namespace" else "pods"
                self._bench.relabel(resource, name, namespace or None, obj["metadata"].get("labels") or {})
            elif kind == "Service":
                api.create("services", obj, namespace)
            elif kind == "Namespace":
                if api.find("namespaces", name) is None:
                    api.create("namespaces", obj)
            else:
                await self._pod(obj, namespace)
        self._objects = wanted
        for address in stage.externals:
            if ":" not in address and address not in self._outside:
                host = self._bench.network.outside(address)
                self._outside[address] = End(address, address, host.netns_fd)
        for _ in range(5):
            await self._bench.settle()

    async def _pod(self, obj: dict[str, Any], namespace: str) -> None:
        status = obj.get("status") or {"phase": "Running"}
        address = next((ip["ip"] for ip in status.get("podIPs") or () if ":" not in ip["ip"]), "")
        on_network = not obj["spec"].get("hostNetwork") and status["phase"] == "Running"
        on_network = on_network and bool(address or "status" not in obj)
        self._addresses.next = address
        obj = {**obj, "spec": {**obj["spec"], "nodeName": "pocket"}}
        pod = await self._bench.create(obj, namespace, attach=on_network)
        if on_network:
            ready = {"conditions": [{"type": "Ready", "status": "True"}]}
            status = {**self._bench.api.get("pods", pod.name, namespace)["status"], **ready}
        self._bench.api.modify(
            "pods", pod.name, namespace, lambda old: {**old, "status": status}, subresource="status"
        )

    def _services(self) -> list[tuple[str, str]]:
        """The Services with an address, as a table names them."""
        found = [
            obj for obj in self._bench.api.list("services") if obj["spec"].get("clusterIP", "None") != "None"
        ]
        return [
            (f"service:{o['metadata']['namespace']}/{o['metadata']['name']}", o["spec"]["clusterIP"])
            for o in found
        ]

    def _target_ports(self, protocol: str) -> set[tuple[int, str]]:
        """The ports behind Services."""
        return {
            (port["port"], protocol)
            for one in self._bench.api.list("endpointslices.discovery.k8s.io")
            for port in one.get("ports") or ()
            if port.get("protocol", "TCP") == protocol
        }

    def judge(self, expectation: Expectation) -> tuple[list[str], int]:
        """What differs, in words, and how many flows were tried."""
        ends = {pod.key: End(pod.key, pod.ip, pod.netns_fd) for pod in self._bench.pods.values() if pod.ip}
        ends |= self._outside
        ends |= {name: End(name, address, None, listens=False) for name, address in self._services()}
        port, protocol = expectation.port, expectation.protocol
        expected: dict[Cell, str] = {
            (source, destination, port, protocol): WORD[word]
            for (source, destination), word in expectation.cells.items()
            if word in WORD and source in ends and destination in ends
        }
        if not expected or protocol not in PROTOCOLS or expectation.family == "IPv6":
            return [], 0
        with NetlinkSocket(NETLINK_NETFILTER) as netfilter:
            netfilter.send([Message(1 << 8 | 2, 0, bytes([2, 0, 0, 0]), "flush connection tracking")])
        prober = Prober(list(ends.values()), sorted({(port, protocol), *self._target_ports(protocol)}))
        try:
            seen = prober.probe(expected)
            different = [cell for cell in expected if seen[cell] != expected[cell]]
            if different:
                seen = prober.probe(different, quiet=0.5)
        finally:
            prober.close()
        wrong = [
            f"{c}: expected {expected[c]}, packets {seen[c]}" for c in different if seen[c] != expected[c]
        ]
        return wrong, len(expected)


def _replaced(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether an object must be deleted and made again: most of a pod cannot be changed."""
    return before["kind"] == "Pod" and before["spec"] != after["spec"]


def _key(obj: dict[str, Any]) -> tuple[str, str, str]:
    metadata = obj["metadata"]
    namespace = "" if obj["kind"] == "Namespace" else metadata.get("namespace") or "default"
    return obj["kind"], namespace, metadata["name"]


def _packets_can_tell(case: Case) -> bool:
    if not case.cidr_matches_pods:
        return False
    return any(
        expect.protocol in PROTOCOLS and expect.family != "IPv6" and set(expect.cells.values()) & {*WORD}
        for stage in case.stages
        for expect in stage.expect
    )


FILES = [path for path in case_files() if _packets_can_tell(load_case(path))]


@pytest.mark.cluster
@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(CASES).with_suffix("")) for path in FILES])
def test_packets_do_what_is_expected_in(path: Any) -> None:
    who = WHO[-1]
    if reason := why_no_namespaces(who):
        pytest.skip(reason)
    case = load_case(path)

    async def work() -> None:
        addresses = WrittenAddresses()
        async with Bench(addresses) as bench:
            if bench.api.find("namespaces", "default") is None:
                bench.namespace("default")
            replay = Replay(bench, addresses)
            controller = asyncio.create_task(endpoints.run(bench.api))
            tried = 0
            for stage in case.stages:
                if stage.rejected is not None:
                    continue
                await replay.become(stage)
                for expectation in stage.expect:
                    wrong, count = replay.judge(expectation)
                    tried += count
                    if wrong:
                        names = [pod.key.split("/") for pod in bench.pods.values() if pod.ip]
                        rules = [await bench.network.rules(*name) for name in names]
                        pytest.fail("\n".join([stage.title, *wrong[:5], *rules]))
            controller.cancel()
            if not tried:
                pytest.skip("no flow in it is for one IPv4 node to show")

    in_namespaces(who, work)
