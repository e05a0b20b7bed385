"""What a learner should know about policies that are legal but may not do what was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from .decide import decide
from .flow import Direction, Flow
from .labels import Selector
from .model import NAME_LABEL, ObjectKey, Pod, WorldError
from .rules import CompiledPolicy, Peer, PortMatch, Rule
from .world import World


class Level(StrEnum):
    """WARNING: most likely not what was meant. NOTE: legal and often meant, worth knowing."""

    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Remark:
    """One remark about one policy; `code` is for programs, `message` a sentence or two for people."""

    code: str
    level: Level
    key: ObjectKey
    path: str
    line: int | None
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line else self.path
        return f"{self.key.path}, {where}: {self.message}"


def lint(world: World, policies: Iterable[ObjectKey] | None = None) -> list[Remark]:
    """The remarks about all policies of a world, or about some, by policy and line; a mesh's objects among them."""
    from .mesh.lint import lint_mesh

    keys = None if policies is None else set(policies)
    wanted = None if keys is None else {key.path for key in keys if key.kind == "NetworkPolicy"}
    found: list[Remark] = []
    for path in sorted(world.policies):
        if wanted is None or path in wanted:
            subject = _Subject(world, world.policies[path])
            for check in _CHECKS:
                found += check(subject)
    found += [remark for remark in lint_mesh(world) if keys is None or remark.key in keys]
    found.sort(key=lambda warning: (warning.key, warning.line or 0))
    return list(dict.fromkeys(found))


class _Subject:
    """One policy with what the checks ask about it."""

    def __init__(self, world: World, policy: CompiledPolicy) -> None:
        self.world = world
        self.policy = policy
        self.selected = [pod for pod in world.pods.values() if policy.selects(pod)]

    def rules(self) -> Iterator[tuple[Direction, Rule]]:
        for direction in (Direction.INGRESS, Direction.EGRESS):
            for rule in self.policy.rules(direction):
                yield direction, rule

    def warn(self, code: str, path: str, message: str, level: Level = Level.WARNING) -> Remark:
        source = self.policy.source
        return Remark(code, level, self.policy.key, path, source.nearest(path) if source else None, message)

    def peer_pods(self, peer: Peer) -> list[Pod]:
        """The pods that a peer with selectors means."""
        return [
            pod
            for pod in self.world.pods.values()
            if (
                pod.namespace == self.policy.namespace
                if peer.namespace_selector is None
                else peer.namespace_selector.matches(self.world.labels_of_namespace(pod.namespace))
            )
            and (peer.pod_selector is None or peer.pod_selector.matches(pod.labels))
        ]

    def destinations(self, direction: Direction, rule: Rule) -> list[Pod]:
        """The pods on which a rule's ports are looked up."""
        if direction is Direction.INGRESS:
            return self.selected
        if rule.peers is None:
            return list(self.world.pods.values())
        return [pod for peer in rule.peers if peer.ip_block is None for pod in self.peer_pods(peer)]


def _duplicate_keys(subject: _Subject) -> Iterator[Remark]:
    for item in subject.policy.source.warnings if subject.policy.source else ():
        yield Remark("duplicate-key", Level.WARNING, subject.policy.key, item.path, item.line, item.message)


def _selects_nothing(subject: _Subject) -> Iterator[Remark]:
    policy, world = subject.policy, subject.world
    if subject.selected:
        hosts = [pod.key for pod in subject.selected if pod.host_network]
        if hosts:
            message = f"it selects {_names(hosts)} on the host network; most implementations apply no policy to such pods"
            yield subject.warn("host-network", "spec.podSelector", message, Level.NOTE)
        return
    where = f"namespace {policy.namespace}"
    if policy.namespace not in world.namespaces:
        message = f"{where} does not exist or is empty, so the policy applies to nothing"
    elif policy.pod_selector.is_empty:
        message = f"{where} has no pods, so the policy applies to nothing yet"
    else:
        message = f"no pod of {where} has {policy.pod_selector}, so the policy applies to nothing"
        elsewhere = sorted(
            {pod.namespace for pod in world.pods.values() if policy.pod_selector.matches(pod.labels)}
        )
        if elsewhere:
            message += (
                f" (namespace {_names(elsewhere)} has such pods; a policy acts only in its own namespace)"
            )
    yield subject.warn("selects-nothing", "spec.podSelector", message)


def _peers_that_mean_nobody(subject: _Subject) -> Iterator[Remark]:
    for _, rule in subject.rules():
        for peer in rule.peers or ():
            if peer.ip_block is None and not subject.peer_pods(peer):
                yield subject.warn("peer-matches-nothing", peer.path, _why_nobody(subject, peer))


def _why_nobody(subject: _Subject, peer: Peer) -> str:
    world, policy = subject.world, subject.policy
    selector = peer.namespace_selector
    if selector is None:
        message = f"this peer means nobody: no pod of namespace {policy.namespace} has {peer.pod_selector}"
        pods = peer.pod_selector or Selector()
        elsewhere = sorted({pod.namespace for pod in world.pods.values() if pods.matches(pod.labels)})
        if elsewhere:
            message += (
                f". Such pods are in {_names(elsewhere)}; without a namespaceSelector a peer looks only in the "
                "policy's own namespace"
            )
        return message
    namespaces = [name for name, item in world.namespaces.items() if selector.matches(item.labels)]
    if not namespaces:
        message = f"this peer means nobody: no namespace has {selector}"
        names = [v for r in selector.requirements for v in r.values if v in world.namespaces]
        if names:
            message += f". To choose a namespace by its name, use the label {NAME_LABEL}: {names[0]}"
        return message
    return f"this peer means nobody: no pod of namespace {_names(namespaces)} has {peer.pod_selector or 'labels'}"


def _policy_types(subject: _Subject) -> Iterator[Remark]:
    policy = subject.policy
    if not policy.types_written and policy.egress and not policy.ingress:
        message = (
            "there are only egress rules but no policyTypes, so all ingress is closed as well; "
            "write policyTypes: [Egress] if only egress is meant"
        )
        yield subject.warn("types-defaulted", "spec", message)
    for direction, rules in ((Direction.INGRESS, policy.ingress), (Direction.EGRESS, policy.egress)):
        if rules and direction not in policy.directions:
            field = direction.lower()
            message = f"the {field} rules are ignored, because policyTypes does not contain {direction}"
            yield subject.warn("rules-ignored", f"spec.{field}", message)
    written = policy.source is not None and policy.source.line("spec.egress") is not None
    if written and not policy.types_written and not policy.egress:
        message = (
            "an empty egress list without policyTypes closes ingress, not egress; "
            "write policyTypes: [Egress] to close egress"
        )
        yield subject.warn("types-defaulted", "spec.egress", message)


def _dashes(subject: _Subject) -> Iterator[Remark]:
    for direction in (Direction.INGRESS, Direction.EGRESS):
        rules = subject.policy.rules(direction)
        word = "from" if direction is Direction.INGRESS else "to"
        for rule in rules:
            peers = [peer for peer in rule.peers or () if peer.ip_block is None]
            if any(p.pod_selector is None for p in peers) and any(
                p.namespace_selector is None for p in peers
            ):
                message = (
                    "namespaceSelector and podSelector are two list items here, so either of them is enough; "
                    "under one dash both would be required"
                )
                yield subject.warn("two-dashes", rule.path, message, Level.NOTE)
        open_ports = [rule for rule in rules if rule.peers is None and rule.ports is not None]
        open_peers = [rule for rule in rules if rule.peers is not None and rule.ports is None]
        if open_ports and open_peers:
            message = (
                f'"ports" stands in a rule of its own: it opens these ports to everyone, and the rule with "{word}" '
                "opens every port to its peers; for both conditions together write one rule"
            )
            yield subject.warn("rule-split", open_ports[0].path, message)
        everything = [rule for rule in rules if rule.peers is None and rule.ports is None]
        if everything and len(rules) > 1:
            message = (
                f"this rule has neither peers nor ports, so it allows everything, and the other {direction.lower()} "
                "rules add nothing"
            )
            yield subject.warn("allows-everything", everything[0].path, message)


def _ports(subject: _Subject) -> Iterator[Remark]:
    for direction, rule in subject.rules():
        pods = subject.destinations(direction, rule)
        for entry in rule.ports or ():
            if entry.name is not None:
                yield from _named_port(subject, direction, rule, entry, pods)
            elif entry.port is not None and entry.end_port is None:
                yield from _service_port(subject, entry, pods)


def _named_port(
    subject: _Subject, direction: Direction, rule: Rule, entry: PortMatch, pods: list[Pod]
) -> Iterator[Remark]:
    path = f"{entry.path}.port"
    if direction is Direction.EGRESS and rule.peers and all(peer.ip_block for peer in rule.peers):
        message = f'"{entry.name}" is a name, and names are looked up on selected pods; with ipBlock it never matches'
        yield subject.warn("port-name-unknown", path, message)
    elif pods and not any(pod.port_named(entry.name or "", entry.protocol) for pod in pods):
        message = (
            f'no pod here has a {entry.protocol} port named "{entry.name}", so this entry matches nothing'
        )
        other = sorted({p.protocol for pod in pods for p in pod.ports if p.name == entry.name})
        known = sorted({p.name for pod in pods for p in pod.ports if p.name and p.protocol == entry.protocol})
        if other:
            message += f" (there is one for {_names(other)}; an entry without protocol means TCP)"
        elif known:
            message += f" (there are {_names(known)})"
        yield subject.warn("port-name-unknown", path, message)


def _service_port(subject: _Subject, entry: PortMatch, pods: list[Pod]) -> Iterator[Remark]:
    declared = {p.port for pod in pods for p in pod.ports if p.protocol == entry.protocol}
    if entry.port in declared:
        return
    for service in subject.world.services.values():
        behind = [
            pod
            for pod in pods
            if service.selector is not None
            and pod.namespace == service.namespace
            and service.selector.matches(pod.labels)
        ]
        for port in service.ports:
            if not behind or port.port != entry.port or port.protocol != entry.protocol:
                continue
            if port.target != entry.port:
                message = (
                    f"{entry.port} is the port of Service {service.key}; policy sees the pod's port, "
                    f"which is {port.target}"
                )
                yield subject.warn("service-port", f"{entry.path}.port", message)


def _addresses(subject: _Subject) -> Iterator[Remark]:
    for _, rule in subject.rules():
        for peer in rule.peers or ():
            block = peer.ip_block
            if block is None:
                continue
            path = f"{peer.path}.ipBlock.cidr"
            if block.written and block.written != str(block.network):
                message = f"{block.written} has bits beyond its prefix; it is read as {block.network}"
                yield subject.warn("cidr-bits", path, message)
            if block.network.prefixlen != block.network.max_prefixlen:
                continue
            address = block.network.network_address
            pod, service = subject.world.pod_at(address), subject.world.service_at(address)
            if pod is not None and not pod.assumed:
                message = f"{address} is the address of pod {pod.key} now; a pod gets a new one when it restarts. Use labels"
                yield subject.warn("address-of-a-pod", path, message)
            if service is not None:
                message = (
                    f"{address} is the address of Service {service.key}; whether policy sees it or the pod behind it "
                    "is left to the implementation. Select the pods by their labels"
                )
                yield subject.warn("address-of-a-service", path, message)


def _dns(subject: _Subject) -> Iterator[Remark]:
    """A policy with egress rules usually names peers, and names need DNS; a plain deny-all says what it means."""
    world, policy = subject.world, subject.policy
    if not policy.rules(Direction.EGRESS):
        return
    target = _dns_target(world)
    pods = [pod for pod in subject.selected if pod.on_network and not pod.host_network]
    if target is None or not pods:
        return
    try:
        answers = {p: decide(world, Flow(pods[0].key, target, 53, p)) for p in ("UDP", "TCP")}
    except WorldError:
        return
    closed = [p for p, answer in answers.items() if answer.defined and not answer.egress.allowed]
    if "UDP" in closed:
        message = (
            f"{pods[0].key} cannot reach DNS (UDP and TCP 53 to {target.removeprefix('service:')}), so names "
            "do not resolve; allow it in an egress rule"
        )
        yield subject.warn("no-dns", "spec.egress", message)
    elif closed:
        message = "DNS is open over UDP only; long answers come over TCP 53, so open that too"
        yield subject.warn("dns-without-tcp", "spec.egress", message, Level.NOTE)


def _dns_target(world: World) -> str | None:
    if "kube-system/kube-dns" in world.services:
        return "service:kube-system/kube-dns"
    return next(
        (
            pod.key
            for pod in world.pods.values()
            if pod.namespace == "kube-system" and pod.labels.get("k8s-app") == "kube-dns" and pod.on_network
        ),
        None,
    )


def _names(items: Iterable[str]) -> str:
    names = list(items)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


_CHECKS: tuple[Callable[[_Subject], Iterator[Remark]], ...] = (
    _duplicate_keys,
    _selects_nothing,
    _peers_that_mean_nobody,
    _policy_types,
    _dashes,
    _ports,
    _addresses,
    _dns,
)
