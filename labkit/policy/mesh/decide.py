"""The mesh's answer to a flow, with its reasons: one Passage turned into a MeshDecision."""

from __future__ import annotations

import time
from collections.abc import Iterator

from labkit.policy.flow import Flow, Verdict
from labkit.policy.model import Address, ObjectKey, Pod
from labkit.policy.request import HttpRequest

from .compiled import Action
from .conditions import rule_reasons
from .decision import Layer, LayerName, MeshDecision, Reason
from .jwtfilter import AUDIENCE
from .jwtrules import Facts
from .mtls import Chain, Mode, Wire
from .protocols import PortProtocol
from .receiving import Passage, receive
from .sending import Target, send
from .traps import traps_of
from .view import MeshView, Workload


def passage(
    view: MeshView,
    client: Pod | None,
    source: Address | None,
    target: Target,
    request: HttpRequest | None,
    facts: Facts | None = None,
) -> Passage:
    """What becomes of one request, without the reasons told: the fast way."""
    facts = facts or _FACTS
    now = facts.now if facts.now is not None else time.time()
    sending = send(view, client, target, request)
    return receive(view, target, sending, request, source, facts, now)


def assumed_request(view: MeshView, target: Target, flow: Flow) -> HttpRequest | None:
    """The request that a flow without one stands for: GET / where a port is declared as HTTP."""
    if flow.request is not None or flow.protocol != "TCP":
        return flow.request
    protocol = view.protocol(target.pod, target.port)[0]
    return HttpRequest() if protocol is PortProtocol.HTTP else None


def explained(view: MeshView, went: Passage) -> MeshDecision:
    """A passage with its reasons."""
    outcome, workload = went.outcome, view.workload(went.target.pod)
    layers = tuple(_layers(view, went, workload))
    decided_by, path, line = _decider(went, workload)
    dry = [f"dry-run DENY: {went.dry_deny}"] if went.dry_deny not in (None, "none") else []
    if went.dry_allow is not None:
        dry.append(f"dry-run ALLOW: {went.dry_allow}")
    return MeshDecision(
        verdict=outcome.verdict,
        status=outcome.status,
        body=outcome.body,
        headers=outcome.headers,
        matched_policy=outcome.matched,
        details=outcome.details,
        flags=outcome.flags,
        curl=outcome.curl,
        peer=went.sending.peer or "",
        layers=layers,
        audited=went.audited if went.audited != "none" else "",
        dry_run=tuple(dry),
        decided_by=decided_by,
        path=path,
        line=line,
        traps=tuple(traps_of(went, workload)),
        open=outcome.open,
    )


def _layers(view: MeshView, went: Passage, workload: Workload) -> Iterator[Layer]:
    sending = went.sending
    reason = Reason(sending.reason, sending.decided_by, sending.path, sending.line, None)
    yield Layer(LayerName.CLIENT, not sending.broken, sending.reason, (reason,))
    if not went.captured:
        yield _uncaptured(view, went)
        return
    if went.setting is None or went.chain is None:
        return
    yield _mutual_tls(went, workload)
    if went.chain not in (Chain.HTTP, Chain.TCP, Chain.PASS):
        return
    if went.chain is Chain.HTTP and (workload.jwt or went.jwt is None):
        yield _token(went, workload)
    if went.attributes is not None:
        yield _authorization(went, workload)


def _uncaptured(view: MeshView, went: Passage) -> Layer:
    pod, port = went.target.pod, went.target.port
    passed = went.outcome.verdict is Verdict.OK
    if view.meshed(pod):
        summary = f"port {port} of {pod.key} is kept from its proxy, so no mesh policy applies to it"
    elif passed:
        summary = f"{pod.key} has no sidecar, so no mesh policy applies to it"
    else:
        summary = f"{pod.key} has no sidecar that could do the mutual TLS it is sent"
        if went.sending.wire is Wire.TLS:
            summary = f"{pod.key} is sent TLS that the client's proxy began"
    return Layer(LayerName.MUTUAL_TLS, passed, summary)


def _mutual_tls(went: Passage, workload: Workload) -> Layer:
    setting, pod, port, wire = went.setting, went.target.pod, went.target.port, went.sending.wire
    assert setting is not None
    policy = setting.policy
    if policy is None:
        says = f"no PeerAuthentication says otherwise, so port {port} of {pod.key} is PERMISSIVE"
    else:
        says = f"PeerAuthentication {policy.key.path} makes port {port} of {pod.key} {setting.mode}"
    passed = went.chain in (Chain.HTTP, Chain.TCP, Chain.PASS)
    key = policy.key if policy else None
    line = policy.line(setting.path) if policy else None
    reasons = [Reason(says, key, setting.path, line, passed)]
    for ignored, why in workload.modes.ignored:
        reasons.append(
            Reason(f"{ignored.key.path} does not count: {why}", ignored.key, "spec", ignored.line("spec"))
        )
    if setting.mode is Mode.STRICT and wire is Wire.PLAINTEXT:
        summary = f"{says}; the connection is plaintext, so the proxy breaks it off"
    elif went.chain is Chain.NO_CERTIFICATE:
        summary = f"{says}; the connection is TLS without the certificate that is asked for"
    elif not passed:
        summary = f"{says}; no filter chain of the port fits {wire}"
    elif went.sending.peer:
        summary = f"the connection is mutual TLS, and the client is {went.sending.peer}"
    else:
        summary = f"{says}; the connection is {wire}, and the client has no identity"
    return Layer(LayerName.MUTUAL_TLS, passed, summary, tuple(reasons))


def _token(went: Passage, workload: Workload) -> Layer:
    jwt = went.jwt
    if jwt is None:
        return Layer(LayerName.TOKEN, False, "the path holds %00, so the proxy answers 400 before any policy")
    reasons = [
        Reason(
            f"{rule.policy.path if rule.policy else ''} accepts tokens of {rule.issuer or 'any issuer'} in {rule.places}",
            rule.policy,
            rule.path,
            rule.line,
            rule is jwt.rule and not jwt.problem if jwt.claims is not None or jwt.problem else None,
        )
        for rule in workload.jwt
    ]
    if jwt.problem:
        kind = "403" if jwt.problem == AUDIENCE else "401"
        summary = f'the token is refused with {kind} and the body "{jwt.problem}"'
    elif jwt.claims is None:
        summary = "the request has no token, and a RequestAuthentication does not ask for one: it goes on without claims"
    else:
        issuer, subject = jwt.claims.get("iss", ""), jwt.claims.get("sub", "")
        summary = f"the token is good: its principal is {issuer}/{subject}"
    return Layer(LayerName.TOKEN, not jwt.problem, summary, tuple(reasons))


def _authorization(went: Passage, workload: Workload) -> Layer:
    attributes = went.attributes
    assert attributes is not None
    tcp = went.chain is not Chain.HTTP
    if not workload.authorization:
        summary = f"no AuthorizationPolicy applies to {went.target.pod.key}, so everything is allowed"
        return Layer(LayerName.AUTHORIZATION, True, summary, tuple(_ignored(workload)))
    reasons: list[Reason] = []
    for action in (Action.DENY, Action.ALLOW):
        for policy in workload.authorization:
            if policy.action is action and not policy.dry_run:
                reasons += rule_reasons(policy, attributes, tcp=tcp)
        if went.action is Action.DENY:
            break
    if went.audited and went.audited != "none":
        reasons.append(Reason(f"{went.audited} matches and is noted (AUDIT decides nothing)"))
    for name in (went.dry_deny, went.dry_allow):
        if name not in (None, "none"):
            reasons.append(Reason(f"{name} matches and is only counted (dry-run decides nothing)"))
    matched = went.rule.key if went.rule else ""
    if went.action is Action.DENY:
        summary = f"denied by {matched}"
    elif went.action is Action.ALLOW and went.rule is not None:
        summary = f"allowed by {matched}"
    elif went.action is Action.ALLOW:
        summary = (
            f"an ALLOW policy applies to {went.target.pod.key}, so only what an ALLOW rule matches may pass, "
            "and none matches this"
        )
    else:
        summary = "no DENY rule matches, and no ALLOW policy applies, so it is allowed"
    passed = went.outcome.verdict is Verdict.OK
    return Layer(LayerName.AUTHORIZATION, passed, summary, (*reasons, *_ignored(workload)))


def _ignored(workload: Workload) -> Iterator[Reason]:
    for policy, why in workload.ignored:
        yield Reason(
            f"{policy.key.path} does not apply: {why}",
            policy.key,
            "spec.selector",
            policy.line("spec.selector"),
        )


def _decider(went: Passage, workload: Workload) -> tuple[ObjectKey | None, str, int | None]:
    """The object and the place that decided, for a link in the picture."""
    if went.rule is not None:
        for policy in workload.authorization:
            if any(rule is went.rule for rule in (*policy.http, *policy.tcp)):
                return policy.key, went.rule.path, policy.line(went.rule.path)
    if went.jwt is not None and went.jwt.problem and went.jwt.rule is not None:
        rule = went.jwt.rule
        return rule.policy, rule.path, rule.line
    passed = went.chain in (Chain.HTTP, Chain.TCP, Chain.PASS)
    if went.setting is not None and went.setting.policy is not None and not passed:
        setting = went.setting
        assert setting.policy is not None
        return setting.policy.key, setting.path, setting.policy.line(setting.path)
    if went.outcome.verdict is not Verdict.OK and went.sending.decided_by is not None:
        return went.sending.decided_by, went.sending.path, went.sending.line
    return None, "", None


_FACTS = Facts()
