"""The preflight's questions about addresses: of nodes, of pods and Services, and what else this machine routes (VPNs)."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labkit.cluster.errors import ClusterError
from labkit.cluster.providers import Finding
from labkit.cluster.providers.engine import Engine

from .config import KindConfig
from .machine import Machine, Network, Route
from .nodes import NETWORK

# Docker's own choice where daemon.json says nothing: libnetwork's ipamutils.
POOLS = (*(f"172.{second}.0.0/16" for second in range(17, 32)), "192.168.0.0/16")


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """The engine's network `kind`: its subnets, its bridge on this machine, and whether it has IPv6."""

    subnets: tuple[Network, ...]
    bridge: str
    ipv6: bool


def node_network(engine: Engine) -> NodeNetwork | None:
    """kind's network as it is now; None when there is none yet, or it cannot be read."""
    try:
        told = json.loads(engine.run("network", "inspect", NETWORK, check=False).stdout or "[]")
        one = told[0]
    except (ClusterError, ValueError, LookupError):
        return None
    configs = (one.get("IPAM") or {}).get("Config") or one.get("subnets") or []
    subnets = [entry.get("Subnet") or entry.get("subnet") for entry in configs]
    identity = str(one.get("Id") or one.get("id") or "")
    options = one.get("Options") or {}
    bridge = (
        options.get("com.docker.network.bridge.name") or one.get("network_interface") or f"br-{identity[:12]}"
    )
    networks = tuple(ipaddress.ip_network(subnet, strict=False) for subnet in subnets if subnet)
    ipv6 = bool(one.get("EnableIPv6") or one.get("ipv6_enabled"))
    return NodeNetwork(networks, bridge, ipv6)


def findings(machine: Machine, engine: Engine, config: KindConfig) -> list[Finding]:
    """Clashes of addresses. Only of two within the configuration is it certain that they do harm."""
    network = node_network(engine)
    routes = machine.routes() if engine.local else []
    foreign = [route for route in routes if network is None or route.device != network.bridge]
    pods, services = _networks(config.pod_subnets), _networks(config.service_subnets)
    found = [
        _within(pods, services),
        _nodes_and_vpn(engine, network, foreign),
        _cluster_and_vpn(pods, services, foreign),
    ]
    if network is not None:
        found.append(_nodes_and_pods(network, [*pods, *services]))
    if config.family != "ipv4":
        found.append(_ipv6(machine, engine, network))
    return [one for one in found if one is not None]


def _within(pods: Sequence[Network], services: Sequence[Network]) -> Finding | None:
    pair = _overlap(pods, services)
    if pair is None:
        return None
    why = f"podSubnet {pair[0]} and serviceSubnet {pair[1]} overlap: an address would be a pod's and a Service's at once."
    return Finding(
        "subnets of pods and Services",
        False,
        why,
        "choose two that do not overlap; kind's own are 10.244.0.0/16 and 10.96.0.0/16",
    )


def _nodes_and_vpn(engine: Engine, network: NodeNetwork | None, foreign: Sequence[Route]) -> Finding | None:
    title = f"a subnet for the nodes (the engine's network {NETWORK})"
    taken = [route.network for route in foreign]
    if network is None:
        if engine.name != "docker" or not all(_covered(pool, taken) for pool in _networks(POOLS)):
            return None
        why = "This machine routes all addresses that Docker chooses from (a VPN does that), so that it finds none for the nodes."
        return Finding(
            title,
            False,
            why,
            f"{_own_network(engine)}   # or leave the VPN meanwhile",
        )
    pair = _overlap(network.subnets, taken)
    if pair is None:
        return Finding(title, True, ", ".join(map(str, network.subnets)))
    device = next(route.device for route in foreign if route.network == pair[1])
    why = f"Its {pair[0]} overlaps with {pair[1]}, which is reached through {device} (a VPN?): one of them loses packets."
    remedy = (
        f"{engine.name} network rm {NETWORK} && {_own_network(engine)}   # after ending all kind clusters"
    )
    return Finding(title, False, why, remedy, advice=True)


def _cluster_and_vpn(
    pods: Sequence[Network], services: Sequence[Network], foreign: Sequence[Route]
) -> Finding | None:
    pair = _overlap([*pods, *services], [route.network for route in foreign])
    if pair is None:
        return None
    device = next(route.device for route in foreign if route.network == pair[1])
    why = f"The cluster's {pair[0]} overlaps with {pair[1]}, which this machine reaches through {device}: pods cannot."
    return Finding(
        "addresses of pods and Services of their own",
        False,
        why,
        "choose others with podSubnet and serviceSubnet in a configuration of yours (--config)",
        advice=True,
    )


def _nodes_and_pods(network: NodeNetwork, cluster: Sequence[Network]) -> Finding | None:
    pair = _overlap(network.subnets, cluster)
    if pair is None:
        return None
    why = f"The nodes' subnet {pair[0]} overlaps with the cluster's {pair[1]}: nodes would take each other for pods."
    return Finding(
        "subnets of nodes and pods",
        False,
        why,
        "choose another podSubnet or serviceSubnet in the configuration",
        advice=True,
    )


def _ipv6(machine: Machine, engine: Engine, network: NodeNetwork | None) -> Finding | None:
    title = "IPv6, which the configuration asks for"
    if engine.local and machine.linux and not machine.read("/proc/net/if_inet6"):
        return Finding(
            title,
            False,
            "This machine has IPv6 switched off.",
            "sudo sysctl net.ipv6.conf.all.disable_ipv6=0   # or take a configuration of IPv4 alone",
        )
    if network is not None and not network.ipv6:
        why = f"The engine's network {NETWORK} has no IPv6."
        return Finding(
            title,
            False,
            why,
            f"{engine.name} network rm {NETWORK}   # after ending all kind clusters; kind makes it anew, with IPv6",
        )
    return Finding(title, True)


def _own_network(engine: Engine) -> str:
    """The command that makes kind's network with a subnet that few others take."""
    return f"{engine.name} network create {NETWORK} --subnet 10.201.0.0/16"


def _covered(network: Network, others: Iterable[Network]) -> bool:
    return any(_same(network, other) and _inside(network, other) for other in others)


def _inside(one: Network, other: Network) -> bool:
    return one.network_address in other and one.prefixlen >= other.prefixlen


def _networks(texts: Iterable[str]) -> list[Network]:
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue  # kind says what is wrong with it
    return found


def _overlap(some: Iterable[Network], others: Iterable[Network]) -> tuple[Network, Network] | None:
    rest = list(others)
    return next(
        ((one, other) for one in some for other in rest if _same(one, other) and one.overlaps(other)), None
    )


def _same(one: Network, other: Network) -> bool:
    return one.version == other.version
