"""Remarks about a mesh: those of `istioctl analyze` under its codes and in its words, and a few of our own.

IST codes are told where the analyzer tells them and with its conditions (pkg/config/analysis), so that a learner sees the same
on either cluster. Ours have names instead of numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from labkit.policy.lint import Remark
from labkit.policy.model import ObjectKey, Service

from .analyzer import ANALYZERS, about, remark
from .compiled import OF_THE_PEER, Action, CompiledAuthorization, Subject
from .validation import review

if TYPE_CHECKING:
    from labkit.policy.world import World


def lint_mesh(world: World) -> list[Remark]:
    """All remarks about the mesh of a world; none where nothing of a mesh is there."""
    objects = [item for items in world.mesh_objects.values() for item in items.values()]
    if not objects and not world.mesh.active:
        return []
    found: list[Remark] = []
    for check in (
        *ANALYZERS,
        _webhook_warnings,
        _peer_authentications,
        _identities,
        _token_rules,
    ):
        found += check(world)
    found.sort(key=lambda found: (found.key, found.line or 0))
    return list(dict.fromkeys(found))


def _webhook_warnings(world: World) -> Iterator[Remark]:
    for items in world.mesh_objects.values():
        for item in items.values():
            for warning in review(item.object, item.source).warnings:
                yield about(item, "webhook-warning", warning.path, warning.message)


def _peer_authentications(world: World) -> Iterator[Remark]:
    """Policies that do not count, and Service ports where workload ports are meant."""
    view = world.mesh
    for item in world.mesh_objects["PeerAuthentication"].values():
        policy = item.compiled(view.config)
        if policy.selector and item.namespace == view.config.root_namespace:
            text = f"a selector in the root namespace {item.namespace} makes the whole policy void"
            yield about(item, "selector-in-root", "spec.selector", text)
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
            yield about(item, "not-the-oldest", "metadata.name", text)
        for port in policy.ports:
            for service in _services_with_port(world, item.namespace, policy.selector, port):
                text = f"{port} is a port of Service {service.key}; portLevelMtls takes ports of the workload"
                yield about(item, "service-port", f"spec.portLevelMtls.{port}", text)


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
                        yield remark("spiffe-written", policy.key, text, path, policy.line(path))
                    elif not _known_account(world, value):
                        path = f"{condition.path}[{i}]"
                        text = f"no pod runs as {value}"
                        yield remark(
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
                    yield remark(
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
    on_tokens = (Subject.REQUEST_PRINCIPAL, Subject.CLAIM)
    required: set[ObjectKey] = set()
    told: set[ObjectKey] = set()
    for pod in meshed:
        workload = view.workload(pod)
        for policy in workload.authorization:
            conditions = [c for rule in policy.http for c in rule.conditions() if c.subject in on_tokens]
            if conditions and workload.jwt:
                required |= {item.key for item in workload.authentication}
            if conditions and not workload.jwt and policy.key not in told:
                told.add(policy.key)
                place = conditions[0].path or conditions[0].not_path
                text = f"no RequestAuthentication applies to {pod.key}, so no request to it ever has a principal or claims"
                yield remark("no-request-authentication", policy.key, text, place, policy.line(place))
    for item in view.request_authentications.values():
        if item.rules and item.key not in required:
            text = (
                "it refuses bad tokens but requires none; an AuthorizationPolicy with requestPrincipals does"
            )
            line = item.source.nearest("spec.jwtRules") if item.source else None
            yield remark("token-not-required", item.key, text, "spec.jwtRules", line, note=True)
