"""The server's side: what a pod's proxy does with what arrives, in the order of its filters.

Filter chain (mutual TLS), jwt_authn, then the authorization filters AUDIT, DENY, ALLOW: 4.3 of Istio's listener builder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from labkit.policy.flow import Verdict
from labkit.policy.model import Address, parse_address
from labkit.policy.request import HttpRequest

from .attributes import Attributes
from .compiled import Action, CompiledRule
from .jwtfilter import AUDIENCE, MISSING, JwtResult, authenticate
from .jwtrules import Facts
from .mtls import Chain, Setting, Wire, chain
from .paths import normalize, without_query
from .protocols import PortProtocol
from .sending import Sending, Target
from .view import Filters, MeshView, Workload

# Ports that istio-init keeps from the proxy, and the one that the proxy itself listens on.
NOT_CAPTURED = frozenset({15020, 15021, 15090})
INBOUND = 15006

DENIED = "RBAC: access denied"
_CUSTOM = "hands the decision to an external authorizer (CUSTOM), which is not modelled"
_BROKEN = "upstream connect error or disconnect/reset before headers. "
TERMINATED = f"{_BROKEN}reset reason: connection termination"
NOT_CONNECTED = f"{_BROKEN}retried and the latest reset reason: remote connection failure"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the client sees, and what the proxy that decided writes into its access log.

    status: 0 without an HTTP answer of a proxy. matched: the rule as Envoy names it, "none" when no ALLOW rule matched,
    "" when authorization had no say. details: %RESPONSE_CODE_DETAILS%, or for TCP %CONNECTION_TERMINATION_DETAILS%.
    curl: the exit codes that curl may end with.
    """

    verdict: Verdict
    status: int = 0
    body: str = ""
    matched: str = ""
    details: str = ""
    flags: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    curl: tuple[int, ...] = (0,)
    open: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """One request on its way through the proxies: everything that was found out, for the explanation."""

    target: Target
    sending: Sending
    outcome: Outcome
    captured: bool = True
    protocol: PortProtocol = PortProtocol.AUTO
    setting: Setting | None = None
    chain: Chain | None = None
    jwt: JwtResult | None = None
    attributes: Attributes | None = None
    rule: CompiledRule | None = None
    action: Action | None = None
    audited: str = ""
    dry_deny: str | None = None
    dry_allow: str | None = None
    notes: tuple[str, ...] = field(default=())


OK = Outcome(Verdict.OK)


def receive(
    view: MeshView,
    target: Target,
    sending: Sending,
    request: HttpRequest | None,
    source: Address | None,
    facts: Facts,
    now: float,
) -> Passage:
    """What becomes of what a client sent."""
    pod, port = target.pod, target.port
    if sending.broken:
        outcome = Outcome(Verdict.RESET, curl=(35, 56))
        return Passage(target, sending, outcome, captured=view.meshed(pod))
    if not _captured(view, target):
        return Passage(target, sending, _uncaptured(sending, request), captured=False)
    if port == INBOUND:
        outcome = Outcome(Verdict.RESET, flags="UH", curl=(56, 52))
        return Passage(target, sending, outcome)
    workload = view.workload(pod)
    protocol = view.protocol(pod, port)[0]
    setting = workload.modes.on(port)
    http = request is not None and request.scheme == "http"
    taken = chain(setting.mode, protocol, sending.wire, http=http)
    if taken not in (Chain.HTTP, Chain.TCP, Chain.PASS):
        outcome = _no_chain(taken, sending)
        return Passage(target, sending, outcome, True, protocol, setting, taken)
    if taken is not Chain.HTTP or request is None:
        attributes = _tcp_attributes(target, sending, taken, source)
        passage = Passage(target, sending, OK, True, protocol, setting, taken, None, attributes)
        return _authorized(passage, workload, tcp=True)
    path = normalize(request.path, view.config.normalization)
    if path is None:
        outcome = Outcome(Verdict.BAD_REQUEST, 400, details="path_normalization_failed")
        return Passage(target, sending, outcome, True, protocol, setting, taken)
    asked = HttpRequest(request.method, path, request.host or target.default_host, request.headers)
    jwt = authenticate(workload.jwt, asked, facts, now)
    if jwt.problem:
        return Passage(target, sending, _unauthenticated(jwt, asked), True, protocol, setting, taken, jwt)
    attributes = _attributes(target, sending, jwt, source)
    passage = Passage(target, sending, OK, True, protocol, setting, taken, jwt, attributes)
    return _authorized(passage, workload, tcp=False)


def authorize(filters: Filters, attributes: Attributes) -> tuple[bool, CompiledRule | None, Action | None]:
    """The verdict of the authorization filters: whether to go on, the rule that decided, and the filter's action.

    No rule and ALLOW: nothing matched where something had to. No rule and no action: nothing had to.
    """
    if filters.deny is not None:
        denied = filters.deny.first(attributes)
        if denied is not None:
            return False, denied, Action.DENY
    if filters.allow is None:
        return True, None, None
    allowed = filters.allow.first(attributes)
    return allowed is not None, allowed, Action.ALLOW


def _authorized(passage: Passage, workload: Workload, *, tcp: bool) -> Passage:
    filters = workload.tcp if tcp else workload.http
    attributes = passage.attributes
    assert attributes is not None
    passed, rule, action = authorize(filters, attributes)
    outcome = OK
    if not passed:
        outcome = _denied(passage.sending, rule.key if rule else "none", attributes, tcp=tcp)
    elif rule is not None:
        outcome = Outcome(Verdict.OK, matched=rule.key)
    if workload.custom:
        names = ", ".join(policy.key.path for policy in workload.custom)
        outcome = _with_doubt(outcome, f"AuthorizationPolicy {names} {_CUSTOM}")
    elif passage.jwt is not None and passage.jwt.open:
        outcome = _with_doubt(outcome, passage.jwt.open)
    return Passage(
        passage.target,
        passage.sending,
        outcome,
        True,
        passage.protocol,
        passage.setting,
        passage.chain,
        passage.jwt,
        attributes,
        rule,
        action,
        _first(filters.audit, attributes) or "",
        _first(filters.dry_deny, attributes),
        _first(filters.dry_allow, attributes),
    )


def _first(table: object, attributes: Attributes) -> str | None:
    """The name of the rule that a filter which enforces nothing would match; None when there is no such filter."""
    if table is None:
        return None
    rule = table.first(attributes)  # type: ignore[attr-defined]
    return rule.key if rule is not None else "none"


def _with_doubt(outcome: Outcome, doubt: str) -> Outcome:
    return Outcome(
        outcome.verdict,
        outcome.status,
        outcome.body,
        outcome.matched,
        outcome.details,
        outcome.flags,
        outcome.headers,
        outcome.curl,
        doubt,
    )


def _captured(view: MeshView, target: Target) -> bool:
    pod, port = target.pod, target.port
    if not view.meshed(pod) or port in NOT_CAPTURED or port in pod.sidecar.skipped_inbound:
        return False
    return pod.sidecar.only_inbound is None or port in pod.sidecar.only_inbound


def _uncaptured(sending: Sending, request: HttpRequest | None) -> Outcome:
    """The application itself is reached: it speaks what it speaks, but never Istio's mutual TLS."""
    if sending.wire is Wire.MUTUAL:
        return _unreachable(sending)
    if sending.wire is Wire.TLS and not (request is not None and request.scheme == "https"):
        outcome = _unreachable(sending)
        return _with_doubt(outcome, "whether the application itself speaks TLS is not known")
    return OK


def _unreachable(sending: Sending) -> Outcome:
    """The client's proxy cannot complete its handshake."""
    if sending.http:
        return Outcome(Verdict.UNAVAILABLE, 503, NOT_CONNECTED, flags="UF")
    return Outcome(Verdict.RESET, flags="UF", curl=(56, 35))


def _no_chain(taken: Chain, sending: Sending) -> Outcome:
    if sending.wire is Wire.PLAINTEXT:
        if sending.http:
            return Outcome(Verdict.UNAVAILABLE, 503, TERMINATED, flags="UC", details="filter_chain_not_found")
        return Outcome(Verdict.RESET, flags="NR", details="filter_chain_not_found", curl=(56,))
    if sending.proxied:
        return _unreachable(sending)
    details = "filter_chain_not_found" if taken is Chain.NONE else ""
    return Outcome(Verdict.RESET, flags="NR" if details else "", details=details, curl=(35, 16, 55, 56))


def _denied(sending: Sending, matched: str, attributes: Attributes, *, tcp: bool) -> Outcome:
    details = f"rbac_access_denied_matched_policy[{matched}]"
    if not tcp:
        if (attributes.headers.get("content-type") or "").startswith("application/grpc"):
            status = (("grpc-status", "7"), ("grpc-message", DENIED))
            return Outcome(Verdict.FORBIDDEN, 200, "", matched, details, "-", status)
        return Outcome(Verdict.FORBIDDEN, 403, DENIED, matched, details, "-")
    if sending.http:
        # The client's proxy speaks HTTP to a server whose proxy only carries bytes.
        return Outcome(Verdict.UNAVAILABLE, 503, TERMINATED, matched, details, "-")
    return Outcome(Verdict.CLOSED, 0, "", matched, details, "-", curl=(52,))


def _unauthenticated(jwt: JwtResult, request: HttpRequest) -> Outcome:
    realm = f"http://{request.host}{request.path}"[:256]
    challenge = f'Bearer realm="{realm}"'
    if jwt.problem != MISSING:
        challenge += ', error="invalid_token"'
    details = "jwt_authn_access_denied{" + jwt.problem.replace(" ", "_") + "}"
    verdict = Verdict.FORBIDDEN if jwt.problem == AUDIENCE else Verdict.UNAUTHENTICATED
    return Outcome(
        verdict, jwt.status, jwt.problem, "", details, "-", (("www-authenticate", challenge),), open=jwt.open
    )


def _attributes(target: Target, sending: Sending, jwt: JwtResult, source: Address | None) -> Attributes:
    request = jwt.request
    headers: dict[str, str] = {":path": request.path}
    for name, value in request.headers:
        key = name.lower()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    return Attributes(
        peer=sending.peer,
        source_ip=source,
        remote_ip=_remote(headers, source),
        destination_ip=target.pod.ips[0] if target.pod.ips else None,
        port=target.port,
        server_name=sending.server_name,
        host=request.host,
        method=request.method,
        path=without_query(request.path),
        headers=headers,
        claims=jwt.claims,
    )


def _tcp_attributes(target: Target, sending: Sending, taken: Chain, source: Address | None) -> Attributes:
    named = sending.server_name if sending.wire is Wire.MUTUAL or taken is Chain.PASS else ""
    return Attributes(
        peer=sending.peer,
        source_ip=source,
        remote_ip=source,
        destination_ip=target.pod.ips[0] if target.pod.ips else None,
        port=target.port,
        server_name=named,
    )


def _remote(headers: Mapping[str, str], source: Address | None) -> Address | None:
    """The rightmost address of X-Forwarded-For: a sidecar trusts it (use_remote_address is false)."""
    written = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return (parse_address(written) if written else None) or source


__all__ = ["OK", "Outcome", "Passage", "authorize", "receive"]
