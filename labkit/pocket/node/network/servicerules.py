"""Services as nftables: what kube-proxy does in its nftables mode, for one node.

A connection to a Service's address is sent to one of its endpoints by DNAT, for pods on prerouting and for
the node itself on output. What is still addressed to a ClusterIP after that has no endpoint, or is no port
of the Service, and is refused (pkg/proxy/nftables: service-endpoints-check, cluster-ips-check).
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.pocket.node.network import expressions as ex
from labkit.pocket.node.network import nft
from labkit.pocket.node.network.expressions import Verdict
from labkit.pocket.node.network.nft import Kind
from labkit.pocket.node.network.ruleset import BaseChain, Chain, Elements, Rule, Ruleset

TABLE = "pocket-services"
SERVICE_NAME = "kubernetes.io/service-name"
Target = tuple[str, int]
"""An endpoint: address and port."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service: the addresses and ports it is reached at, and the endpoints behind it."""

    label: str
    protocol: str
    fronts: tuple[Target, ...]
    targets: tuple[Target, ...]
    sticky: bool = False


def read_services(
    services: Iterable[Mapping[str, Any]], slices: Iterable[Mapping[str, Any]], node_address: str
) -> tuple[list[ServicePort], frozenset[str]]:
    """The ports of all Services, and all ClusterIPs. Endpoints come from EndpointSlices alone, as in
    kube-proxy.
    """
    by_service: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for one in slices:
        metadata = one["metadata"]
        name = (metadata.get("labels") or {}).get(SERVICE_NAME)
        if name and one.get("addressType", "IPv4") == "IPv4":
            by_service[metadata["namespace"], name].append(one)
    ports: list[ServicePort] = []
    cluster_ips: set[str] = set()
    for service in services:
        spec = service.get("spec") or {}
        own = [
            ip
            for ip in spec.get("clusterIPs") or [spec.get("clusterIP")]
            if ip and ip != "None" and ":" not in ip
        ]
        if not own or spec.get("type") == "ExternalName":
            continue
        cluster_ips.update(own)
        addresses = [*own, *(ip for ip in spec.get("externalIPs") or () if ":" not in ip)]
        key = (service["metadata"]["namespace"], service["metadata"]["name"])
        for port in spec.get("ports") or ():
            protocol = port.get("protocol") or "TCP"
            if protocol not in ex.PROTOCOL_NUMBERS:
                continue
            fronts = [(address, int(port["port"])) for address in addresses]
            if port.get("nodePort"):
                fronts.append((node_address, int(port["nodePort"])))
            name = port.get("name") or ""
            ports.append(
                ServicePort(
                    f"{key[0]}/{key[1]}:{name or port['port']}",
                    protocol,
                    tuple(fronts),
                    _targets(by_service.get(key, ()), name, protocol),
                    spec.get("sessionAffinity") == "ClientIP",
                )
            )
    return ports, frozenset(cluster_ips)


def _targets(slices: Iterable[Mapping[str, Any]], name: str, protocol: str) -> tuple[Target, ...]:
    """The ready endpoints; if there is none, those that serve while they terminate (KEP-1669)."""
    ready: set[Target] = set()
    terminating: set[Target] = set()
    for one in slices:
        numbers = [
            int(port["port"])
            for port in one.get("ports") or ()
            if (port.get("name") or "") == name
            and (port.get("protocol") or "TCP") == protocol
            and port.get("port")
        ]
        for endpoint in one.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            addresses = endpoint.get("addresses") or ()
            found = {(address, number) for address in addresses[:1] for number in numbers}
            if conditions.get("ready", True) is not False:
                ready |= found
            elif conditions.get("serving") and conditions.get("terminating"):
                terminating |= found
    return tuple(sorted(ready or terminating))


def render(ports: Iterable[ServicePort], cluster_ips: frozenset[str]) -> Ruleset:
    """The table for these Services."""
    chains = dict(_BASE_CHAINS)
    fronts: dict[bytes, bytes] = {}
    unserved: dict[bytes, bytes] = {}
    hairpins: dict[bytes, bytes] = {}
    sets: dict[str, Elements] = {}
    for port in ports:
        keys = [_front(address, port.protocol, number) for address, number in port.fronts]
        if not port.targets:
            unserved.update((key, b"") for key in keys)
            continue
        address, number = port.fronts[0]
        name = f"service-{address}-{port.protocol.lower()}-{number}"
        endpoints = f"endpoints-{address}-{port.protocol.lower()}-{number}"
        chains[name] = Chain((_choose(port, endpoints),), comment=port.label)
        sets[endpoints] = Elements(
            Kind.NUMBER,
            {
                struct.pack("=I", index): nft.plain_element(nft.packed_address(ip) + nft.packed_port(target))
                for index, (ip, target) in enumerate(port.targets)
            },
            Kind.ADDRESS_PORT,
            port.label,
        )
        fronts.update((key, nft.verdict_element(Verdict.GOTO, name)) for key in keys)
        hairpins.update((nft.packed_address(ip) * 2, b"") for ip, _ in port.targets)
    sets["services"] = Elements(Kind.ADDRESS_PROTOCOL_PORT, fronts, Kind.VERDICT)
    sets["no-endpoints"] = Elements(Kind.ADDRESS_PROTOCOL_PORT, unserved)
    sets["cluster-ips"] = Elements(Kind.ADDRESS, {nft.packed_address(ip): b"" for ip in cluster_ips})
    sets["hairpins"] = Elements(Kind.ADDRESS_PAIR, hairpins)
    return Ruleset(TABLE, chains, sets)


def _front(address: str, protocol: str, port: int) -> bytes:
    return (
        nft.packed_address(address) + bytes([ex.PROTOCOL_NUMBERS[protocol], 0, 0, 0]) + nft.packed_port(port)
    )


def _choose(port: ServicePort, endpoints: str) -> Rule:
    """Take an endpoint: any, or for a sticky Service always the same one for the same client."""
    count = len(port.targets)
    number = ex.address(ex.SOURCE) + ex.hashed(4, count) if port.sticky else ex.random_number(count)
    target = ex.look_up(endpoints, into=ex.FIRST_REGISTER)
    return Rule(number + ex.counter() + target + ex.translate_destination(), port.label)


_KEY = ex.address(ex.DESTINATION) + ex.protocol(ex.FIRST_REGISTER + 1) + ex.port(ex.FIRST_REGISTER + 2)
_DISPATCH = (Rule(_KEY + ex.look_up("services"), "to an endpoint of the Service"),)
_NEW = ex.connection_state(ex.State.NEW)
_NO_ENDPOINT = Rule(
    _NEW + _KEY + ex.in_set("no-endpoints") + ex.counter() + ex.reject(),
    "a Service without ready endpoints",
)
_NO_PORT = Rule(
    _NEW + ex.address(ex.DESTINATION) + ex.in_set("cluster-ips") + ex.counter() + ex.reject(),
    "not a port of this Service",
)
_UNPLUGGED = Rule(
    ex.outgoing_interface() + ex.compare(b"eth0".ljust(16, b"\0")) + ex.counter() + ex.reject(0),
    "the cluster has no way out",
)
_HAIRPIN = Rule(
    ex.address(ex.SOURCE)
    + ex.address(ex.DESTINATION, ex.FIRST_REGISTER + 1)
    + ex.in_set("hairpins")
    + ex.counter()
    + ex.masquerade(),
    "a pod that reaches itself through a Service",
)
_DNAT, _FILTER, _SNAT = -100, 0, 100
_BASE_CHAINS = {
    "prerouting": Chain(_DISPATCH, BaseChain("nat", nft.Hook.PREROUTING, _DNAT)),
    "output": Chain(_DISPATCH, BaseChain("nat", nft.Hook.OUTPUT, _DNAT)),
    "postrouting": Chain((_HAIRPIN,), BaseChain("nat", nft.Hook.POSTROUTING, _SNAT)),
    # Before policy, as kube-proxy's chains are: a Service without endpoints refuses, whatever a policy says.
    "forward": Chain((_NO_ENDPOINT, _NO_PORT), BaseChain("filter", nft.Hook.FORWARD, _FILTER - 1)),
    "refuse-output": Chain((_NO_ENDPOINT, _NO_PORT), BaseChain("filter", nft.Hook.OUTPUT, _FILTER)),
    "refuse-input": Chain((_NO_ENDPOINT,), BaseChain("filter", nft.Hook.INPUT, _FILTER)),
    # After policy: what a policy drops times out, what it lets go learns at once that there is nothing out
    # there.
    "unplugged": Chain((_UNPLUGGED,), BaseChain("filter", nft.Hook.FORWARD, _FILTER + 10)),
}
