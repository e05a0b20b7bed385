"""The mesh of one World: which pods have a proxy, and what is compiled for each workload. Everything is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from labkit.policy.model import Pod, Service, ServicePort

from .compiled import Action, CompiledAuthorization
from .destinationrules import DestinationRule, rule_for
from .jwtrules import JwtRule, RequestAuthentication
from .meshconfig import MeshConfig
from .mtls import Modes, PeerAuthentication, Setting, compose, in_order, namespace_mode
from .protocols import PortProtocol, port_protocol
from .ruletable import RuleTable

if TYPE_CHECKING:
    from labkit.policy.world import World

_Attached = TypeVar("_Attached", CompiledAuthorization, RequestAuthentication)
_NEVER_INJECTED = ("kube-system", "kube-public", "kube-node-lease", "local-path-storage")


@dataclass(frozen=True, eq=False)
class Filters:
    """The authorization filters of one kind of chain; None: no policy of the action, so no filter."""

    audit: RuleTable | None
    deny: RuleTable | None
    allow: RuleTable | None
    dry_deny: RuleTable | None = None
    dry_allow: RuleTable | None = None


@dataclass(frozen=True, eq=False)
class Workload:
    """What is attached to pods of one namespace with the same labels."""

    modes: Modes
    jwt: tuple[JwtRule, ...]
    authorization: tuple[CompiledAuthorization, ...]
    http: Filters
    tcp: Filters
    authentication: tuple[RequestAuthentication, ...] = ()
    ignored: tuple[tuple[CompiledAuthorization, str], ...] = ()
    custom: tuple[CompiledAuthorization, ...] = ()


class MeshView:
    """The mesh of a World. Ask `World.mesh` for it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.config: MeshConfig = world.mesh_config
        parts = {
            kind: {path: item.compiled(self.config) for path, item in items.items()}
            for kind, items in world.mesh_objects.items()
        }
        self.peer_authentications: Mapping[str, PeerAuthentication] = parts["PeerAuthentication"]
        self.authorization_policies: Mapping[str, CompiledAuthorization] = parts["AuthorizationPolicy"]
        self.request_authentications: Mapping[str, RequestAuthentication] = parts["RequestAuthentication"]
        self.destination_rules: Mapping[str, DestinationRule] = parts["DestinationRule"]
        self._workloads: dict[tuple[str, frozenset[tuple[str, str]]], Workload] = {}
        self._protocols: dict[tuple[str, int], tuple[PortProtocol, Service | None, ServicePort | None]] = {}
        self._meshed: dict[str, bool] = {}
        self._of_pod: dict[str, tuple[Pod, Workload]] = {}
        # What `sending` and `meshed` found out for this world, by what was asked.
        self.remembered: dict[Any, Any] = {}
        self._rules: dict[tuple[str, str, frozenset[tuple[str, str]]], DestinationRule | None] = {}

    @cached_property
    def active(self) -> bool:
        """Whether any pod has a proxy; if not, no mesh policy means anything."""
        return any(self.meshed(pod) for pod in self._world.pods.values())

    def meshed(self, pod: Pod | None) -> bool:
        """Whether a pod has a proxy. One that is only imagined gets it where injection would put it."""
        if pod is None or pod.host_network:
            return False
        known = self._meshed.get(pod.key)
        if known is None:
            known = pod.sidecar.present or (pod.assumed and self.would_inject(pod))
            self._meshed[pod.key] = known
        return known

    def would_inject(self, pod: Pod) -> bool:
        """Whether a pod that is made now gets a proxy: the webhook's selectors (manifests/charts/istio-control)."""
        namespace = self._world.namespaces.get(pod.namespace)
        labels = namespace.labels if namespace else {}
        if pod.namespace in _NEVER_INJECTED or pod.host_network or pod.sidecar.inject is False:
            return False
        enabled = labels.get("istio-injection")
        if enabled is not None:
            return enabled == "enabled"
        return "istio.io/rev" in labels or (pod.sidecar.inject is True and pod.sidecar.by_label)

    def takes_mutual_tls(self, pod: Pod) -> bool:
        """Whether clients take the pod for one that can do mutual TLS: its label security.istio.io/tlsMode."""
        label = pod.labels.get("security.istio.io/tlsMode")
        return label == "istio" if label is not None else self.meshed(pod)

    def identity(self, pod: Pod) -> str:
        """The SPIFFE identity in a pod's certificate."""
        return self.config.identity(pod.namespace, pod.service_account)

    def workload(self, pod: Pod) -> Workload:
        """What is attached to a pod."""
        of_pod = self._of_pod.get(pod.key)
        if of_pod is not None and of_pod[0] is pod:
            return of_pod[1]
        found = self._of_labels(pod)
        self._of_pod[pod.key] = (pod, found)
        return found

    def _of_labels(self, pod: Pod) -> Workload:
        key = (pod.namespace, frozenset(pod.labels.items()))
        known = self._workloads.get(key)
        if known is None:
            known = self._workloads[key] = self._compile(pod.namespace, pod.labels)
        return known

    def protocol(self, pod: Pod, port: int) -> tuple[PortProtocol, Service | None, ServicePort | None]:
        """What a pod's port speaks, by the oldest Service that leads to it; AUTO when none does."""
        key = (pod.key, port)
        known = self._protocols.get(key)
        if known is None:
            known = self._protocols[key] = self._find_protocol(pod, port)
        return known

    def http_listener(self, port: int) -> bool:
        """Whether a client's proxy listens for HTTP on a port number, as some Service there is HTTP."""
        return any(
            candidate.port == port and port_protocol(candidate) is PortProtocol.HTTP and not service.headless
            for service in self._world.services.values()
            for candidate in service.ports
        )

    def service_mode(self, namespace: str) -> Setting:
        """What clients take for the mode of Services of a namespace."""
        return namespace_mode(self.peer_authentications.values(), self.config.root_namespace, namespace)

    def destination_rule(self, service: Service, client: Pod) -> DestinationRule | None:
        """The DestinationRule that a client's proxy uses for a Service."""
        key = (service.key, client.namespace, frozenset(client.labels.items()))
        if key not in self._rules:
            rules = self.destination_rules.values()
            self._rules[key] = rule_for(rules, self.config, service, client.namespace, client.labels)
        return self._rules[key]

    def _find_protocol(self, pod: Pod, port: int) -> tuple[PortProtocol, Service | None, ServicePort | None]:
        services = sorted(self._world.services.values(), key=lambda s: (s.created, s.name, s.namespace))
        for service in services:
            if service.namespace != pod.namespace or service.selector is None:
                continue
            if not service.selector.matches(pod.labels):
                continue
            for candidate in service.ports:
                target = candidate.target
                numbers = {target} if isinstance(target, int) else pod.port_named(target, candidate.protocol)
                if port in numbers and candidate.protocol == "TCP":
                    return port_protocol(candidate), service, candidate
        return PortProtocol.AUTO, None, None

    def _compile(self, namespace: str, labels: Mapping[str, str]) -> Workload:
        root = self.config.root_namespace
        policies, ignored = _attached(self.authorization_policies.values(), root, namespace, labels)
        authentications, _ = _attached(self.request_authentications.values(), root, namespace, labels)
        # The namespace's own come first, and the sort by issuer keeps that order (slices.SortBy is stable).
        authentications.sort(key=lambda item: item.key.namespace != namespace)
        rules = sorted(
            (rule for item in authentications for rule in item.rules), key=lambda rule: rule.issuer
        )
        return Workload(
            modes=compose(self.peer_authentications.values(), root, namespace, labels),
            jwt=tuple(rules),
            authorization=tuple(policies),
            http=_filters(policies, tcp=False),
            tcp=_filters(policies, tcp=True),
            authentication=tuple(authentications),
            ignored=tuple(ignored),
            custom=tuple(p for p in policies if p.action is Action.CUSTOM and not p.dry_run),
        )


def _attached(
    policies: Iterable[_Attached], root: str, namespace: str, labels: Mapping[str, str]
) -> tuple[list[_Attached], list[tuple[_Attached, str]]]:
    """ShouldAttachPolicy for a sidecar: those of the root namespace and of its own whose selector fits."""
    found: list[_Attached] = []
    ignored: list[tuple[_Attached, str]] = []
    for policy in in_order(policies):
        if policy.key.namespace not in (root, namespace):
            continue
        if policy.targets:
            ignored.append(
                (policy, "it has targetRefs, which are for waypoints and gateways; a sidecar ignores it")
            )
        elif policy.selector is None or policy.selector.items() <= labels.items():
            found.append(policy)
        else:
            missing = ", ".join(
                f"{key}={value}" for key, value in policy.selector.items() if labels.get(key) != value
            )
            ignored.append((policy, f"its selector asks for {missing}, which the pod does not have"))
    return found, ignored


def _filters(policies: Iterable[CompiledAuthorization], *, tcp: bool) -> Filters:
    def table(action: Action, dry: bool) -> RuleTable | None:
        of_action = [p for p in policies if p.action is action and p.dry_run is dry]
        rules = [rule for p in of_action for rule in (p.tcp if tcp else p.http)]
        return RuleTable(rules) if of_action else None

    return Filters(
        table(Action.AUDIT, False),
        table(Action.DENY, False),
        table(Action.ALLOW, False),
        table(Action.DENY, True),
        table(Action.ALLOW, True),
    )
