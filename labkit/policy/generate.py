"""Random worlds from a seed, for tests that compare two evaluations: engine with engine, engine with
packets.

The same seed and shape give the same objects on every machine. The objects are plain Kubernetes dicts, so
that they can be applied to a cluster as they are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from .flow import Family
from .model import Address, Pod
from .world import World

_KEYS: Mapping[str, tuple[str, ...]] = {
    "app": ("web", "api", "db", "cache"),
    "tier": ("front", "back", ""),
    "track": ("stable", "canary"),
}
_TEAMS = ("red", "blue", "green")
_PORT_NAMES = ("main", "admin")


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a world is and which features its policies use.

    ports: the (number, protocol) pairs that pods listen on. families: the addresses of pods; with two, some
    pods have only one. odd_pods: also pods on the host network, ended pods and pods without an address.
    """

    namespaces: int = 3
    pods: int = 9
    policies: int = 4
    ports: tuple[tuple[int, str], ...] = ((80, "TCP"), (81, "TCP"), (53, "UDP"))
    families: tuple[Family, ...] = (Family.IPV4,)
    named_ports: bool = True
    ip_blocks: bool = True
    odd_pods: bool = False
    externals: tuple[str, ...] = ("203.0.113.7", "198.51.100.20")
    pod_network: str = "10.244.0.0/16"
    pod_network6: str = "fd00:10:244::/64"


# Every feature that one IPv4 node can show with real packets.
PACKETS = Shape(ports=((80, "TCP"), (81, "TCP"), (80, "UDP")), externals=())
# Everything the engine knows.
WILD = Shape(
    ports=((80, "TCP"), (81, "TCP"), (53, "UDP"), (80, "SCTP")),
    families=(Family.IPV4, Family.IPV6),
    odd_pods=True,
    externals=("203.0.113.7", "198.51.100.20", "2001:db8::7"),
)


def random_world(seed: int, shape: Shape = PACKETS) -> World:
    """A world with pods, their addresses and policies."""
    return World.from_objects(random_objects(seed, shape), externals=shape.externals)


def random_objects(seed: int, shape: Shape = PACKETS) -> list[dict[str, Any]]:
    """The objects of `random_world`: Namespaces, Pods with a status, NetworkPolicies."""
    random = Random(f"objects {seed}")
    objects = [_namespace(random, i) for i in range(shape.namespaces)]
    networks = {
        Family.IPV4: ipaddress.ip_network(shape.pod_network),
        Family.IPV6: ipaddress.ip_network(shape.pod_network6),
    }
    for i in range(shape.pods):
        families = list(shape.families)
        if len(families) > 1:
            families = random.choice([families, families, families[:1], families[1:], families[::-1]])
        addresses = [str(networks[family][10 + i]) for family in families]
        objects.append(_pod(random, i, shape, addresses))
    pods = World.from_objects(objects, externals=shape.externals)
    return objects + random_policies(seed, pods, shape)


def random_policies(seed: int, world: World, shape: Shape = PACKETS) -> list[dict[str, Any]]:
    """NetworkPolicies about the pods, labels, ports and addresses that a world really has.

    For a cluster that runs already: take its pods as they are, and give it one set of policies after another.
    """
    return _Policies(Random(f"policies {seed}"), world, shape).make()


def random_labels(random: Random) -> dict[str, str]:
    """Labels for a pod, from the small vocabulary that the selectors of random policies use."""
    return {key: random.choice(values) for key, values in _KEYS.items() if random.random() < 0.75}


def _namespace(random: Random, number: int) -> dict[str, Any]:
    name = f"ns{number}"
    labels = {"kubernetes.io/metadata.name": name}
    if random.random() < 0.75:
        labels["team"] = random.choice(_TEAMS)
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _pod(random: Random, number: int, shape: Shape, addresses: Sequence[str]) -> dict[str, Any]:
    namespace = f"ns{number % shape.namespaces}"
    ports: list[dict[str, Any]] = []
    names: dict[tuple[str, str], int] = {}
    for port, protocol in shape.ports:
        entry: dict[str, Any] = {"containerPort": port, "protocol": protocol}
        name = random.choice(("", *_PORT_NAMES))
        # A name is unique within a pod, whatever the protocol.
        if shape.named_ports and name and not any(name == taken for taken, _ in names):
            entry["name"] = name
            names[name, protocol] = port
        ports.append(entry)
    status: dict[str, Any] = {
        "phase": "Running",
        "podIP": addresses[0],
        "podIPs": [{"ip": address} for address in addresses],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    spec: dict[str, Any] = {"containers": [{"name": "main", "image": "agnhost", "ports": ports}]}
    if shape.odd_pods:
        odd = random.random()
        if odd < 0.06:
            spec["hostNetwork"] = True
        elif odd < 0.10:
            status["phase"] = random.choice(["Succeeded", "Failed"])
        elif odd < 0.14:
            status = {"phase": "Pending"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": f"p{number}", "labels": random_labels(random)},
        "spec": spec,
        "status": status,
    }


class _Policies:
    """One draw of policies; holds the dice and what they choose from."""

    def __init__(self, random: Random, world: World, shape: Shape) -> None:
        self._random = random
        self._shape = shape
        self._pods: list[Pod] = [pod for pod in world.pods.values() if pod.ips]
        self._namespaces = sorted({pod.namespace for pod in self._pods})
        self._addresses: list[Address] = [ip for pod in self._pods for ip in pod.ips]
        self._addresses += [ipaddress.ip_address(text) for text in shape.externals]

    def make(self) -> list[dict[str, Any]]:
        """The policies."""
        return [self._policy(i) for i in range(self._shape.policies)]

    def _policy(self, number: int) -> dict[str, Any]:
        random = self._random
        spec: dict[str, Any] = {"podSelector": self._selector(pods=True)}
        types = random.choice(
            [None, [], ["Ingress"], ["Egress"], ["Ingress", "Egress"], ["Ingress", "Egress"]]
        )
        if types is not None:
            spec["policyTypes"] = types
        for field, peers in (("ingress", "from"), ("egress", "to")):
            draw = random.random()
            if draw < 0.65:
                spec[field] = [self._rule(peers) for _ in range(random.choice([1, 1, 1, 2]))]
            elif draw < 0.75:
                spec[field] = random.choice([None, [], [{}]])
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": random.choice(self._namespaces), "name": f"policy-{number}"},
            "spec": spec,
        }

    def _rule(self, peers: str) -> dict[str, Any]:
        random = self._random
        rule: dict[str, Any] = {}
        if random.random() < 0.85:
            rule[peers] = [self._peer() for _ in range(random.choice([1, 1, 2]))]
        elif random.random() < 0.5:
            rule[peers] = random.choice([None, []])
        if random.random() < 0.5:
            rule["ports"] = [self._port() for _ in range(random.choice([1, 1, 2]))]
        return rule

    def _peer(self) -> dict[str, Any]:
        random = self._random
        if self._shape.ip_blocks and random.random() < 0.3:
            return {"ipBlock": self._block()}
        kind = random.choice(["pods", "namespaces", "both"])
        peer: dict[str, Any] = {}
        if kind in ("namespaces", "both"):
            peer["namespaceSelector"] = self._selector(pods=False)
        if kind in ("pods", "both"):
            peer["podSelector"] = self._selector(pods=True)
        return peer

    def _block(self) -> dict[str, Any]:
        random = self._random
        address = random.choice(self._addresses)
        longest = address.max_prefixlen
        # From everything through a few neighbours to one address.
        length = random.choice([0, longest - 8, longest - 5, longest - 3, longest])
        cidr = ipaddress.ip_network((address, length), strict=False)
        block: dict[str, Any] = {"cidr": str(cidr)}
        if length < longest and random.random() < 0.5:
            inner = random.choice([ip for ip in self._addresses if ip in cidr])
            smaller = random.choice([n for n in (longest - 4, longest - 2, longest) if n > length])
            block["except"] = [str(ipaddress.ip_network((inner, smaller), strict=False))]
        return block

    def _selector(self, *, pods: bool) -> dict[str, Any]:
        random = self._random
        draw = random.random()
        if draw < 0.2:
            return random.choice([{}, {"matchLabels": {}}, {"matchExpressions": []}])
        keys = {**_KEYS} if pods else {"team": _TEAMS, "kubernetes.io/metadata.name": tuple(self._namespaces)}
        key = random.choice(list(keys))
        values = list(keys[key])
        if draw < 0.6:
            return {"matchLabels": {key: random.choice(values)}}
        if draw < 0.7:
            return {"matchLabels": {name: random.choice(choice) for name, choice in keys.items()}}
        operator = random.choice(["In", "NotIn", "Exists", "DoesNotExist"])
        expression: dict[str, Any] = {"key": key, "operator": operator}
        if operator in ("In", "NotIn"):
            expression["values"] = random.sample(values, random.randint(1, min(2, len(values))))
        return {"matchExpressions": [expression]}

    def _port(self) -> dict[str, Any]:
        random, shape = self._random, self._shape
        port, protocol = random.choice(shape.ports)
        entry: dict[str, Any] = {}
        if protocol != "TCP" or random.random() < 0.5:
            entry["protocol"] = protocol
        draw = random.random()
        if draw < 0.15:
            return entry if entry else {"protocol": protocol}
        if draw < 0.35 and shape.named_ports:
            entry["port"] = random.choice(_PORT_NAMES)
        elif draw < 0.5:
            entry["port"] = max(1, port - random.choice([0, 1, 20]))
            entry["endPort"] = entry["port"] + random.choice([0, 1, 30])
        else:
            entry["port"] = port
        return entry
