"""A Service's addresses: the cluster address and the node ports that it asks for or is given."""

from __future__ import annotations

import ipaddress
import random
from typing import Any

from labkit.pocket.api import errors as refusals
from labkit.pocket.api.fields import invalid
from labkit.pocket.api.kinds.rules import Cluster

Obj = dict[str, Any]

NODE_PORTS = range(30000, 32768)
_random = random.SystemRandom()


def allocate(cluster: Cluster, service: Obj, old: Obj | None) -> None:
    """Allocate a cluster address and node ports. Raises ApiError (422) when what is asked for cannot be had."""
    spec, name = service["spec"], service["metadata"].get("name", "")
    others = [
        other
        for other in cluster.all("services")
        if (other["metadata"]["name"], other["metadata"].get("namespace"))
        != (name, service["metadata"].get("namespace"))
    ]
    _families(spec)
    if not spec.get("clusterIP"):
        spec["clusterIP"] = _free_address(cluster, others)
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec["clusterIP"] != "None" and (old is None or spec["clusterIP"] != old["spec"].get("clusterIP")):
        _check_address(cluster, spec, others, name)
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _node_ports(cluster, spec, others, name)


def _families(spec: Obj) -> None:
    headless_without_selector = spec.get("clusterIP") == "None" and not spec.get("selector")
    spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if headless_without_selector else ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if headless_without_selector else "SingleStack")


def _free_address(cluster: Cluster, others: list[Obj]) -> str:
    network = ipaddress.ip_network(cluster.service_cidr)
    taken = {address for other in others for address in other["spec"].get("clusterIPs") or []}
    # Low addresses are left for Services that ask for one, as upstream's allocator does.
    low = min(max(16, network.num_addresses // 16), 256)
    while True:
        address = str(network[_random.randrange(low, network.num_addresses - 1)])
        if address not in taken:
            return address


def _check_address(cluster: Cluster, spec: Obj, others: list[Obj], name: str) -> None:
    address = spec["clusterIP"]
    problem = ""
    if ipaddress.ip_address(address) not in ipaddress.ip_network(cluster.service_cidr):
        # A real server has two allocators with two sentences; a dry run meets the other one.
        why = "the provided network does not match the current range"
        if cluster.dry_run:
            why = (
                f"the provided IP ({address}) is not in the valid range. "
                f"The range of valid IPs is {cluster.service_cidr}"
            )
        problem = f"failed to allocate IP {address}: {why}"
    elif not cluster.dry_run and any(address in (other["spec"].get("clusterIPs") or []) for other in others):
        problem = f"failed to allocate IP {address}: provided IP is already allocated"
    if problem:
        raise refusals.invalid("", "Service", name, [invalid("spec.clusterIPs", [address], problem)])


def _node_ports(cluster: Cluster, spec: Obj, others: list[Obj], name: str) -> None:
    taken = {
        (port["nodePort"], port.get("protocol"))
        for other in others
        for port in other["spec"].get("ports") or []
        if port.get("nodePort")
    }
    for index, port in enumerate(spec.get("ports") or []):
        wanted, protocol = port.get("nodePort"), port.get("protocol")
        if wanted:
            problem = ""
            if wanted not in NODE_PORTS and not cluster.dry_run:
                problem = "provided port is not in the valid range. The range of valid ports is 30000-32767"
            elif (wanted, protocol) in taken:
                problem = "provided port is already allocated"
            if problem:
                field = f"spec.ports[{index}].nodePort"
                raise refusals.invalid("", "Service", name, [invalid(field, wanted, problem)])
        else:
            free = [number for number in NODE_PORTS if (number, protocol) not in taken]
            port["nodePort"] = wanted = _random.choice(free)
        taken.add((wanted, protocol))
