"""Remarks about a mesh: those of `istioctl analyze` under its codes and in its words, and a few of our own.

IST codes are told where the analyzer tells them and with its conditions (pkg/config/analysis), so that a learner sees the same
on either cluster. Ours have names instead of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from labkit.policy.lint import Level, Remark
from labkit.policy.model import ObjectKey, Pod, Service

from .compiled import OF_THE_PEER, Action, CompiledAuthorization, Subject
from .destinationrules import fits_host
from .objects import MeshObject
from .protocols import protocol_name
from .validation import review

if TYPE_CHECKING:
    from labkit.policy.world import World

_SYSTEM = ("istio-system", "kube-system", "kube-public", "kube-node-lease", "local-path-storage")
_GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"


def lint_mesh(world: World) -> list[Remark]:
    """All remarks about the mesh of a world; none where nothing of a mesh is there."""
    objects = [item for items in world.mesh_objects.values() for item in items.values()]
    if not objects and not world.mesh.active:
        return []
    found: list[Remark] = []
    for check in (
        _injection,
        _port_names,
        _authorization,
        _gateway_selectors,
        _destination_rules,
        _claim_routes,
        _webhook_warnings,
        _peer_authentications,
        _identities,
        _token_rules,
    ):
        found += check(world)
    found.sort(key=lambda remark: (remark.key, remark.line or 0))
    return list(dict.fromkeys(found))


def _remark(
    code: str, key: ObjectKey, message: str, path: str = "", line: int | None = None, *, note: bool = False
) -> Remark:
    return Remark(code, Level.NOTE if note else Level.WARNING, key, path, line, message)


def _about(item: MeshObject, code: str, path: str, message: str, *, note: bool = False) -> Remark:
    return _remark(code, item.key, message, path, item.line(path), note=note)


def _injection(world: World) -> Iterator[Remark]:
    """IST0102 and IST0103: injection/injection.go."""
    injected = set()
    for namespace in world.namespaces.values():
        name, labels = namespace.name, namespace.labels
        if name in _SYSTEM or namespace.implied or labels.get("istio.io/dataplane-mode") == "ambient":
            continue
        if "istio-injection" not in labels and "istio.io/rev" not in labels:
            text = (
                f"The namespace is not enabled for Istio injection. Run 'kubectl label namespace {name} "
                f"istio-injection=enabled' to enable it, or 'kubectl label namespace {name} istio-injection=disabled' "
                "to explicitly mark it as not needing injection."
            )
            yield _remark("IST0102", ObjectKey("Namespace", "", name), text, "metadata.name", note=True)
        elif labels.get("istio-injection") == "enabled":
            injected.add(name)
    for pod in world.pods.values():
        wanted = pod.namespace in injected and pod.sidecar.inject is not False and not pod.host_network
        if wanted and not world.mesh.meshed(pod):
            text = (
                f"The pod {pod.key} is missing the Istio proxy. This can often be resolved by restarting or redeploying "
                "the workload."
            )
            yield _remark("IST0103", ObjectKey("Pod", pod.namespace, pod.name), text)


def _port_names(world: World) -> Iterator[Remark]:
    """IST0118: service/portname.go."""
    for service in world.services.values():
        if service.namespace in _SYSTEM or service.external_name:
            continue
        for i, port in enumerate(service.ports):
            if port.protocol == "TCP" and not protocol_name(port):
                text = (
                    f"Port name {port.name} (port: {port.port}, targetPort: {port.target}) doesn't follow the naming "
                    "convention of Istio port."
                )
                key = ObjectKey("Service", service.namespace, service.name)
                yield _remark("IST0118", key, text, f"spec.ports[{i}]", note=True)


def _authorization(world: World) -> Iterator[Remark]:
    """IST0127 and IST0101: authz/authorizationpolicies.go."""
    view = world.mesh
    meshed = [pod for pod in world.pods.values() if view.meshed(pod)]
    for item in world.mesh_objects["AuthorizationPolicy"].values():
        spec = item.object.get("spec") or {}
        selector = spec.get("selector")
        labels = dict((selector or {}).get("matchLabels") or {})
        everywhere = item.namespace == view.config.root_namespace
        if selector is not None or not everywhere:
            inside = [pod for pod in meshed if everywhere or pod.namespace == item.namespace]
            if not any(labels.items() <= pod.labels.items() for pod in inside):
                shown = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
                text = f"No matching workloads for this resource with the following labels: {shown}"
                yield _about(item, "IST0127", "spec.selector", text)
        for path, name in _named_namespaces(spec):
            if not any(_namespace_fits(name, known) for known in world.namespaces):
                yield _about(item, "IST0101", path, f'Referenced namespace not found: "{name}"')


def _named_namespaces(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for i, rule in enumerate(spec.get("rules") or ()):
        for j, item in enumerate((rule or {}).get("from") or ()):
            source = (item or {}).get("source") or {}
            for field in ("namespaces", "notNamespaces"):
                for k, name in enumerate(source.get(field) or ()):
                    yield f"spec.rules[{i}].from[{j}].source.{field}[{k}]", str(name)


def _namespace_fits(pattern: str, name: str) -> bool:
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name.lower() == pattern.lower()


def _gateway_selectors(world: World) -> Iterator[Remark]:
    """IST0166: k8sgateway/workloadselector.go."""
    gateways = [pod for pod in world.pods.values() if _GATEWAY_LABEL in pod.labels]
    for kind in ("AuthorizationPolicy", "RequestAuthentication"):
        for item in world.mesh_objects[kind].values():
            selector = (item.object.get("spec") or {}).get("selector")
            if selector is None:
                continue
            for pod in gateways:
                labels = selector.get("matchLabels") or {}
                if pod.namespace == item.namespace and labels.items() <= pod.labels.items():
                    text = (
                        f"Ineffective selector on Kubernetes Gateway {pod.labels[_GATEWAY_LABEL]}. Use the TargetRef "
                        "field instead."
                    )
                    yield _about(item, "IST0166", "spec.selector", text)


def _destination_rules(world: World) -> Iterator[Remark]:
    """IST0174 and IST0173: destinationrule/subset.go."""
    config = world.mesh.config
    for item in world.mesh_objects["DestinationRule"].values():
        rule = item.compiled(config)
        host = rule.full_host(config)
        names = [f"{s.name}.{s.namespace}.svc.{config.cluster_domain}" for s in world.services.values()]
        if not any(fits_host(host, name) for name in names):
            text = f"The host {rule.host} defined in the DestinationRule does not match any services in the mesh."
            yield _about(item, "IST0174", "spec.host", text)
            continue
        for i, (name, labels) in enumerate(rule.subsets.items()):
            if not any(labels.items() <= pod.labels.items() for pod in world.pods.values()):
                text = (
                    f"The Subset {name} defined in the DestinationRule does not select any pods. Which may lead to 503 UH "
                    "(NoHealthyUpstream)."
                )
                yield _about(item, "IST0173", f"spec.subsets[{i}]", text)


def _claim_routes(world: World) -> Iterator[Remark]:
    """IST0149: virtualservice/jwtclaimroute.go."""
    authentications = world.mesh_objects["RequestAuthentication"].values()
    for item in world.mesh_objects["VirtualService"].values():
        spec = item.object.get("spec") or {}
        key = _claim_key(spec)
        if not key:
            continue
        for name in spec.get("gateways") or ():
            path = name if "/" in name else f"{item.namespace}/{name}"
            gateway = world.mesh_objects["Gateway"].get(path)
            if name == "mesh" or gateway is None:
                continue
            selector = (gateway.object.get("spec") or {}).get("selector") or {}
            for pod in world.pods.values():
                if selector.items() <= pod.labels.items() and not _authenticated(pod, authentications):
                    text = (
                        f"The virtual service uses the JWT claim based routing (key: {key}) but found no request "
                        f"authentication for the gateway ({path}) pod ({pod.name}). The request authentication must first "
                        "be applied for the gateway pods to validate the JWT token and make the claims available for routing."
                    )
                    yield _about(item, "IST0149", "spec.http", text)


def _claim_key(spec: Mapping[str, Any]) -> str:
    for route in spec.get("http") or ():
        for match in route.get("match") or ():
            for field in ("headers", "withoutHeaders"):
                for key in match.get(field) or ():
                    if str(key).startswith("@request.auth.claims"):
                        return str(key)
    return ""


def _authenticated(pod: Pod, authentications: Iterable[MeshObject]) -> bool:
    for item in authentications:
        labels = ((item.object.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        if item.namespace in ("istio-system", pod.namespace) and labels.items() <= pod.labels.items():
            return True
    return False


def _webhook_warnings(world: World) -> Iterator[Remark]:
    for items in world.mesh_objects.values():
        for item in items.values():
            for warning in review(item.object, item.source).warnings:
                yield _about(item, "webhook-warning", warning.path, warning.message)


def _peer_authentications(world: World) -> Iterator[Remark]:
    """Policies that do not count, and Service ports where workload ports are meant."""
    view = world.mesh
    for item in world.mesh_objects["PeerAuthentication"].values():
        policy = item.compiled(view.config)
        if policy.selector and item.namespace == view.config.root_namespace:
            text = f"a selector in the root namespace {item.namespace} makes the whole policy void"
            yield _about(item, "selector-in-root", "spec.selector", text)
            continue
        older = [
            other
            for other in view.peer_authentications.values()
            if other is not policy
            and other.key.namespace == item.namespace
            and not other.selector
            and not policy.selector
            and (other.created, other.key.name) < (policy.created, policy.key.name)
        ]
        if older:
            text = f"{older[0].key.path} is for the same namespace and older; only the oldest counts"
            yield _about(item, "not-the-oldest", "metadata.name", text)
        for port in policy.ports:
            for service in _services_with_port(world, item.namespace, policy.selector, port):
                text = f"{port} is a port of Service {service.key}; portLevelMtls takes ports of the workload"
                yield _about(item, "service-port", f"spec.portLevelMtls.{port}", text)


def _services_with_port(
    world: World, namespace: str, selector: Mapping[str, str], port: int
) -> Iterator[Service]:
    for service in world.services.values():
        if service.namespace != namespace or service.selector is None:
            continue
        pods = [
            p
            for p in world.pods.values()
            if p.namespace == namespace
            and selector.items() <= p.labels.items()
            and service.selector.matches(p.labels)
        ]
        if not pods or not any(p.port == port and p.target != port for p in service.ports):
            continue
        if not any(declared.port == port for pod in pods for declared in pod.ports):
            yield service


def _identities(world: World) -> Iterator[Remark]:
    """Conditions on certificates that no client can meet, or only meets by mutual TLS that is not required."""
    view = world.mesh
    for policy in view.authorization_policies.values():
        for rule in policy.http:
            for condition in rule.conditions():
                for i, value in enumerate(
                    condition.written if condition.subject is Subject.PRINCIPAL else ()
                ):
                    if value.startswith("spiffe://"):
                        path = f"{condition.path}[{i}]"
                        text = "a principal is written without spiffe://, so this matches nobody"
                        yield _remark("spiffe-written", policy.key, text, path, policy.line(path))
                    elif not _known_account(world, value):
                        path = f"{condition.path}[{i}]"
                        text = f"no pod runs as {value}"
                        yield _remark(
                            "no-such-principal", policy.key, text, path, policy.line(path), note=True
                        )
                denies = (
                    policy.action is Action.DENY and condition.subject in OF_THE_PEER and condition.values
                )
                if denies and _takes_plaintext(world, policy):
                    text = (
                        "a client that sends plaintext has no identity, so this DENY does not meet it; make the workload "
                        "STRICT, or deny by notPrincipals"
                    )
                    yield _remark(
                        "deny-by-identity", policy.key, text, condition.path, policy.line(condition.path)
                    )


def _known_account(world: World, principal: str) -> bool:
    if "*" in principal:
        return True
    identities = {world.mesh.identity(pod).removeprefix("spiffe://") for pod in world.pods.values()}
    expanded = world.mesh.config.principals([principal])
    return any(name in identities for name in expanded)


def _takes_plaintext(world: World, policy: CompiledAuthorization) -> bool:
    view = world.mesh
    pods = [p for p in world.pods.values() if view.meshed(p) and policy in view.workload(p).authorization]
    return any(view.workload(pod).modes.general.mode != "STRICT" for pod in pods)


def _token_rules(world: World) -> Iterator[Remark]:
    """Conditions on tokens where nothing checks any, and RequestAuthentications that nothing requires."""
    view = world.mesh
    meshed = [pod for pod in world.pods.values() if view.meshed(pod)]
    about_tokens = (Subject.REQUEST_PRINCIPAL, Subject.CLAIM)
    required: set[ObjectKey] = set()
    told: set[ObjectKey] = set()
    for pod in meshed:
        workload = view.workload(pod)
        for policy in workload.authorization:
            conditions = [c for rule in policy.http for c in rule.conditions() if c.subject in about_tokens]
            if conditions and workload.jwt:
                required |= {item.key for item in workload.authentication}
            if conditions and not workload.jwt and policy.key not in told:
                told.add(policy.key)
                place = conditions[0].path or conditions[0].not_path
                text = f"no RequestAuthentication applies to {pod.key}, so no request to it ever has a principal or claims"
                yield _remark("no-request-authentication", policy.key, text, place, policy.line(place))
    for item in view.request_authentications.values():
        if item.rules and item.key not in required:
            text = (
                "it refuses bad tokens but requires none; an AuthorizationPolicy with requestPrincipals does"
            )
            line = item.source.nearest("spec.jwtRules") if item.source else None
            yield _remark("token-not-required", item.key, text, "spec.jwtRules", line, note=True)
