"""A network policy agent for tests: it makes a kind cluster whose network enforces nothing enforce after all.

Such agents run on every node of a real cluster. This one runs beside the tests: it watches the cluster's policies, pods and
namespaces, writes what they say as an nftables ruleset, and loads it in each node container (`docker exec NODE nft -f -`). Pods
hang on point-to-point links of their node, so that every packet between two pods, or out of a pod, passes the node's forward
hook, after Services were translated. What the node itself sends to its pods does not: kubelets always reach them, as Kubernetes
wants it.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from labkit.cluster import Cluster, ClusterError
from labkit.policy import CompiledPolicy, Direction, Peer, PortMatch, Rule, World
from labkit.policy.model import Pod

TABLE = "labkit_tests"
_WATCHED = ("networkpolicies", "pods", "namespaces")


class Enforcer:
    """Enforces as long as its context lasts.

    nodes: the names of the node containers. delay: seconds until it acts, as with agents that collect changes. `loaded`: how many
    rulesets were loaded; `failed`: what went wrong last, "" when nothing did.
    """

    def __init__(
        self, cluster: Cluster, nodes: list[str], *, engine: str = "docker", delay: float = 0.0
    ) -> None:
        self._cluster = cluster
        self._nodes = nodes
        self._engine = engine
        self._delay = delay
        self._news = threading.Event()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.loaded = 0
        self.failed = ""

    def __enter__(self) -> Enforcer:
        self._load(ruleset(self._cluster.snapshot()))  # before anything is tried
        for kind in _WATCHED:
            self._threads.append(threading.Thread(target=self._watch, args=(kind,), daemon=True))
        self._threads.append(threading.Thread(target=self._follow, daemon=True))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._news.set()
        self._threads[-1].join(timeout=30)
        self._load(f"add table inet {TABLE}\ndelete table inet {TABLE}\n")

    def _watch(self, kind: str) -> None:
        """Ring for everything that happens to objects of a kind; what happened is read from the whole."""
        path = self._cluster.kinds.named(kind).path(None)
        version = ""
        while not self._over.is_set():
            query = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
            try:
                if not version:
                    listed = self._cluster.client.request("GET", path, query={"limit": 1})
                    version = listed["metadata"]["resourceVersion"]
                    self._news.set()
                    continue
                for line in self._cluster.client.lines(path, query=query, timeout=20):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        version = ""
                        break
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self._news.set()
                    if self._over.is_set():
                        return
            except ClusterError:
                version = ""
                self._over.wait(0.5)

    def _follow(self) -> None:
        current = ""
        while True:
            self._news.wait()
            if self._over.is_set():
                return
            self._news.clear()
            if self._delay:
                self._over.wait(self._delay)
            try:
                wanted = ruleset(self._cluster.snapshot())
                if wanted != current:
                    self._load(wanted)
                    current = wanted
            except (ClusterError, subprocess.SubprocessError) as problem:
                self.failed = str(problem)
                self._over.wait(0.5)
                self._news.set()

    def _load(self, rules: str) -> None:
        for node in self._nodes:
            command = [self._engine, "exec", "-i", node, "nft", "-f", "-"]
            done = subprocess.run(
                command, input=rules, capture_output=True, text=True, timeout=30, check=False
            )
            if done.returncode:
                raise subprocess.SubprocessError(f"{node}: {done.stderr}\n{rules}")
        self.loaded += 1
        self.failed = ""


def ruleset(world: World) -> str:
    """The whole ruleset for a world; it replaces the one before in one transaction."""
    jumps, chains = [], []
    for number, pod in enumerate(sorted(world.pods.values(), key=lambda one: one.key)):
        if not pod.on_network or pod.host_network:
            continue
        for direction, field, letter in ((Direction.EGRESS, "saddr", "e"), (Direction.INGRESS, "daddr", "i")):
            chosen = [p for p in world.policies.values() if p.selects(pod) and direction in p.directions]
            if not chosen:
                continue
            name = f"{letter}{number}"
            jumps += [f"{_family(ip)} {field} {ip} jump {name}" for ip in pod.ips]
            allowed = [line for policy in chosen for line in _allowed(world, policy, pod, direction)]
            chains.append(_chain(name, f"{pod.key} {direction}", [*dict.fromkeys(allowed), "counter drop"]))
    forward = _chain(
        "forward",
        "every packet between pods",
        ["type filter hook forward priority 10", "ct state established,related accept", *jumps],
    )
    inside = "\n".join([*chains, forward])
    return f"add table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n{inside}\n}}\n"


def _chain(name: str, about: str, lines: list[str]) -> str:
    return "\n".join((f"  # {about}", f"  chain {name} {{", *(f"    {line}" for line in lines), "  }"))


def _allowed(world: World, policy: CompiledPolicy, subject: Pod, direction: Direction) -> Iterator[str]:
    """nft statements that let through what a policy's rules allow; `return` because the other end has a say as well."""
    for rule in policy.rules(direction):
        for peers, others in _ends(world, policy, rule, direction):
            # A port's name is looked up on the pod that is called.
            called = others if direction is Direction.EGRESS else [subject]
            yield from (f"{peers} {ports} return" for ports in _ports(rule, called))


def _ends(
    world: World, policy: CompiledPolicy, rule: Rule, direction: Direction
) -> Iterator[tuple[str, list[Pod]]]:
    """For each end that a rule speaks of: the match of its addresses, and its pods."""
    field = "daddr" if direction is Direction.EGRESS else "saddr"
    if rule.peers is None:
        yield "", []
        if direction is Direction.EGRESS:  # the names of ports mean something else on each pod
            yield from _pods(_networked(world), field)
        return
    for peer in rule.peers:
        if peer.ip_block is None:
            yield from _pods([pod for pod in _networked(world) if _means(world, policy, peer, pod)], field)
            continue
        family = _family(peer.ip_block.network.network_address)
        without = ", ".join(map(str, peer.ip_block.excepts))
        match = f"{family} {field} {peer.ip_block.network}"
        yield match + (f" {family} {field} != {{ {without} }}" if without else ""), []


def _pods(pods: list[Pod], field: str) -> Iterator[tuple[str, list[Pod]]]:
    for pod in pods:
        yield from ((f"{_family(ip)} {field} {ip}", [pod]) for ip in pod.ips)


def _networked(world: World) -> list[Pod]:
    return [pod for pod in world.pods.values() if pod.on_network and not pod.host_network]


def _means(world: World, policy: CompiledPolicy, peer: Peer, pod: Pod) -> bool:
    if peer.namespace_selector is None:
        here = pod.namespace == policy.namespace
    else:
        here = peer.namespace_selector.matches(world.namespaces[pod.namespace].labels)
    return here and (peer.pod_selector is None or peer.pod_selector.matches(pod.labels))


def _ports(rule: Rule, called: list[Pod]) -> Iterator[str]:
    if rule.ports is None:
        yield ""
    for port in rule.ports or ():
        for low, high in _numbers(port, called):
            proto = port.protocol.lower()
            yield f"meta l4proto {proto}" if low is None else f"{proto} dport {low}-{high}"


def _numbers(port: PortMatch, called: list[Pod]) -> Iterator[tuple[int | None, int | None]]:
    if port.name is not None:
        for pod in called:
            yield from ((number, number) for number in pod.port_named(port.name, port.protocol))
    else:
        yield port.port, port.end_port or port.port


def _family(address: object) -> str:
    return "ip6" if getattr(address, "version", 4) == 6 else "ip"


def wait_loaded(enforcer: Enforcer, count: int, timeout: float = 10.0) -> None:
    """Wait until so many rulesets were loaded."""
    deadline = time.monotonic() + timeout
    while enforcer.loaded < count:
        assert time.monotonic() < deadline, enforcer.failed or "nothing was loaded"
        time.sleep(0.05)
