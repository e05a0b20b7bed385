"""What the jwt_authn filter that Istio makes of RequestAuthentications does with a request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from labkit.policy.request import Headers, HttpRequest

from .jwtrules import Facts, JwtRule
from .tokens import Signature, Token, TokenError, encode, parse_token

MISSING = "Jwt is missing"
UNKNOWN_ISSUER = "Jwt issuer is not configured"
AUDIENCE = "Audiences in Jwt are not allowed"
_SIGNATURES = {
    Signature.INVALID: "Jwt verification fails",
    Signature.NO_KEY: "Jwks doesn't have key to match kid or alg from Jwt",
}


@dataclass(frozen=True, slots=True)
class JwtResult:
    """What the filter does: `problem` "" lets the request on.

    claims: of the accepted token (None: the request has none). request: what goes on, without the token and with the
    headers that rules add. open: why the answer is not certain. rule: whose token was accepted or refused.
    """

    request: HttpRequest
    problem: str = ""
    claims: Mapping[str, Any] | None = None
    rule: JwtRule | None = None
    open: str = ""

    @property
    def status(self) -> int:
        """The HTTP status of a refusal: 403 for an audience, else 401."""
        if not self.problem:
            return 0
        return 403 if self.problem == AUDIENCE else 401


@dataclass(frozen=True, slots=True)
class _Found:
    """A token in a place of a request."""

    text: str
    strip: Callable[[HttpRequest], HttpRequest]


def authenticate(rules: Sequence[JwtRule], request: HttpRequest, facts: Facts, now: float) -> JwtResult:
    """What the filter makes of a request; `rules` are all that attach to the workload, by issuer.

    One rule: its token, if there is one, must be good. Several: any(P1 .. Pn, all(any(Pi, missing))), as policy_applier.go
    writes it.
    """
    if not rules or _preflight(request):
        return JwtResult(request)
    state = _Filter(facts, now)
    if len(rules) == 1:
        return state.optional(rules[0], JwtResult(request))
    result, told = JwtResult(request), JwtResult(request)
    for rule in rules:
        result = state.required(rule, replace(result, problem=""))
        if not result.problem:
            return result
        told = result if result.problem not in (MISSING, UNKNOWN_ISSUER) else told
    for rule in rules:
        result = state.optional(rule, replace(result, problem=""))
        if result.problem:
            break
    if result.problem == UNKNOWN_ISSUER and told.problem:
        # The client is told what is wrong with its token, rather than that another rule did not want it.
        return replace(result, problem=told.problem, rule=told.rule)
    return result


class _Filter:
    """The filter with one request: what is common to its requirements."""

    def __init__(self, facts: Facts, now: float) -> None:
        self._facts = facts
        self._now = now

    def required(self, rule: JwtRule, before: JwtResult) -> JwtResult:
        """A requirement by provider name: there must be tokens, and all of them good."""
        before = replace(before, request=_sanitized(rule, before.request), rule=rule)
        found = list(_tokens(rule, before.request))
        if not found:
            return replace(before, problem=MISSING)
        result = before
        for token in reversed(found):
            result = self._verified(rule, token, result)
            if result.problem:
                break
        return result

    def optional(self, rule: JwtRule, before: JwtResult) -> JwtResult:
        """The provider, or else no token in any of its places."""
        result = self.required(rule, before)
        if result.problem == MISSING:
            return replace(result, problem="", rule=before.rule)
        return result

    def _verified(self, rule: JwtRule, found: _Found, before: JwtResult) -> JwtResult:
        try:
            token = parse_token(found.text)
        except TokenError as error:
            return replace(before, problem=str(error))
        if rule.issuer and token.issuer != rule.issuer:
            return replace(before, problem=UNKNOWN_ISSUER)
        problem = token.time_problem(self._now)
        if not problem and rule.audiences and not _audience_fits(rule.audiences, token.audiences):
            problem = AUDIENCE
        if problem:
            return replace(before, problem=problem)
        signature, doubt = self._signature(rule, token)
        if signature in _SIGNATURES:
            return replace(before, problem=_SIGNATURES[signature])
        claims = _normalized(token.claims, rule.split_claims)
        request = _with_output(rule, token, before.request)
        if not rule.forward:
            request = found.strip(request)
        return replace(before, request=request, claims=claims, open=doubt or before.open)

    def _signature(self, rule: JwtRule, token: Token) -> tuple[Signature, str]:
        jwks: str | None = rule.jwks
        if not jwks:
            address = rule.jwks_uri or f"{rule.issuer}/.well-known/openid-configuration"
            if address not in self._facts.fetched:
                return Signature.UNKNOWN, f"what {address} answers is not known here"
            jwks = self._facts.fetched[address]
            if jwks is None:
                # Istiod installs a key that signed nothing.
                return Signature.NO_KEY if token.header.get("kid") else Signature.INVALID, ""
        signature = self._facts.verifier(token.text, jwks)
        doubt = (
            "whether the token's signature is good could not be checked"
            if signature is Signature.UNKNOWN
            else ""
        )
        return signature, doubt


def _tokens(rule: JwtRule, request: HttpRequest) -> Iterable[_Found]:
    """extractor.cc: headers, then parameters, then cookies; within each kind by name."""
    headers, params = rule.locations()
    for name, prefix in sorted(set(headers), key=lambda item: item[0] + item[1]):
        # HTTP joins what comes twice of this one header before any filter looks.
        values = [value for key, value in request.headers if key.lower() == name]
        for value in [",".join(values)] if name == "authorization" and values else values:
            at = value.find(prefix)
            if at >= 0:
                text = _token_text(value, at + len(prefix)) if prefix else value
                yield _Found(text, lambda r, n=name: replace(r, headers=_without(r.headers, n)))  # type: ignore[misc]
    query = dict(reversed(parse_qsl(request.path.partition("?")[2], keep_blank_values=True)))
    for name in sorted(set(params)):
        if name in query:
            yield _Found(query[name], lambda r, n=name: _without_param(r, n))  # type: ignore[misc]
    if rule.cookies:
        jar = _cookies(request)
        for name in sorted(set(rule.cookies)):
            if name in jar:
                yield _Found(jar[name], lambda r: r)


def _token_text(value: str, after: int) -> str:
    """extractor.cc, extractJWT: what follows the prefix, from the first character that a token may have."""
    for i in range(after, len(value)):
        if value[i].isascii() and (value[i].isalnum() or value[i] in "-_."):
            return value[i:]
    return value


def _without(headers: Headers, name: str) -> Headers:
    return tuple((key, value) for key, value in headers if key.lower() != name)


def _without_param(request: HttpRequest, name: str) -> HttpRequest:
    path, _, query = request.path.partition("?")
    left = [(key, value) for key, value in parse_qsl(query, keep_blank_values=True) if key != name]
    return replace(request, path=f"{path}?{urlencode(left)}" if left else path)


def _cookies(request: HttpRequest) -> dict[str, str]:
    jar: dict[str, str] = {}
    for key, value in request.headers:
        if key.lower() == "cookie":
            for part in value.split(";"):
                name, equals, text = part.strip().partition("=")
                if equals:
                    jar.setdefault(name, text.strip('"'))
    return jar


def _sanitized(rule: JwtRule, request: HttpRequest) -> HttpRequest:
    """Headers that the rule itself writes are taken from the client."""
    written = {rule.payload_header, *(header for header, _ in rule.claim_headers)} - {""}
    if not written:
        return request
    kept = tuple((key, value) for key, value in request.headers if key.lower() not in written)
    return replace(request, headers=kept)


def _with_output(rule: JwtRule, token: Token, request: HttpRequest) -> HttpRequest:
    added: list[tuple[str, str]] = []
    if rule.payload_header:
        added.append((rule.payload_header, token.text.split(".")[1]))
    for header, name in rule.claim_headers:
        text = _header_text(_lookup(token.claims, name))
        if text:
            added.append((header, text))
    return replace(request, headers=(*request.headers, *added)) if added else request


def _lookup(claims: Mapping[str, Any], name: str) -> Any:
    """StructUtils::GetValue: "nested.key" walks into objects."""
    value: Any = claims
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _header_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        whole = value >= 0 and float(value).is_integer()
        return str(int(value)) if whole else f"{float(value):f}"
    if isinstance(value, (list, dict)):
        return encode(json.dumps(value, separators=(",", ":")).encode())
    return value if isinstance(value, str) else ""


def _audience_fits(allowed: Sequence[str], audiences: Sequence[str]) -> bool:
    """check_audience.cc: http:// or https:// and a last slash do not count."""
    wanted = {_audience(text) for text in allowed}
    return any(_audience(text) in wanted for text in audiences)


def _audience(text: str) -> str:
    for scheme in ("https://", "http://"):
        text = text.removeprefix(scheme)
    return text.removesuffix("/")


def _normalized(claims: Mapping[str, Any], split: Sequence[str]) -> Mapping[str, Any]:
    """Texts with spaces in them become lists, for the claims that are made so."""
    result = dict(claims)
    for name in split:
        if isinstance(result.get(name), str):
            result[name] = [part for part in result[name].split(" ") if part]
    return result


def _preflight(request: HttpRequest) -> bool:
    """bypass_cors_preflight: a browser asks before it sends a token."""
    return (
        request.method == "OPTIONS"
        and bool(request.header("origin"))
        and bool(request.header("access-control-request-method"))
    )
