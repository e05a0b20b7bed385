"""The remarks of `istioctl analyze`, under its codes, in its words and under its conditions (pkg/config/analysis)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from labkit.policy.lint import Level, Remark
from labkit.policy.model import ObjectKey, Pod

from .destinationrules import fits_host
from .objects import MeshObject
from .protocols import protocol_name

if TYPE_CHECKING:
    from labkit.policy.world import World

_SYSTEM = ("istio-system", "kube-system", "kube-public", "kube-node-lease", "local-path-storage")
_GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"


def remark(
    code: str, key: ObjectKey, message: str, path: str = "", line: int | None = None, *, note: bool = False
) -> Remark:
    """A remark about an object of a World."""
    return Remark(code, Level.NOTE if note else Level.WARNING, key, path, line, message)


def about(item: MeshObject, code: str, path: str, message: str, *, note: bool = False) -> Remark:
    """A remark about an object of the mesh."""
    return remark(code, item.key, message, path, item.line(path), note=note)


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
            yield remark("IST0102", ObjectKey("Namespace", "", name), text, "metadata.name", note=True)
        elif labels.get("istio-injection") == "enabled":
            injected.add(name)
    for pod in world.pods.values():
        wanted = pod.namespace in injected and pod.sidecar.inject is not False and not pod.host_network
        if wanted and not world.mesh.meshed(pod):
            text = (
                f"The pod {pod.key} is missing the Istio proxy. This can often be resolved by restarting or redeploying "
                "the workload."
            )
            yield remark("IST0103", ObjectKey("Pod", pod.namespace, pod.name), text)


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
                yield remark("IST0118", key, text, f"spec.ports[{i}]", note=True)


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
                yield about(item, "IST0127", "spec.selector", text)
        for path, name in _named_namespaces(spec):
            if not any(_namespace_fits(name, known) for known in world.namespaces):
                yield about(item, "IST0101", path, f'Referenced namespace not found: "{name}"')


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
                    yield about(item, "IST0166", "spec.selector", text)


def _destination_rules(world: World) -> Iterator[Remark]:
    """IST0174 and IST0173: destinationrule/subset.go."""
    config = world.mesh.config
    for item in world.mesh_objects["DestinationRule"].values():
        rule = item.compiled(config)
        host = rule.full_host(config)
        names = [f"{s.name}.{s.namespace}.svc.{config.cluster_domain}" for s in world.services.values()]
        if not any(fits_host(host, name) for name in names):
            text = f"The host {rule.host} defined in the DestinationRule does not match any services in the mesh."
            yield about(item, "IST0174", "spec.host", text)
            continue
        for i, (name, labels) in enumerate(rule.subsets.items()):
            if not any(labels.items() <= pod.labels.items() for pod in world.pods.values()):
                text = (
                    f"The Subset {name} defined in the DestinationRule does not select any pods. Which may lead to 503 UH "
                    "(NoHealthyUpstream)."
                )
                yield about(item, "IST0173", f"spec.subsets[{i}]", text)


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
                    yield about(item, "IST0149", "spec.http", text)


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


ANALYZERS: tuple[Callable[[World], Iterator[Remark]], ...] = (
    _injection,
    _port_names,
    _authorization,
    _gateway_selectors,
    _destination_rules,
    _claim_routes,
)
