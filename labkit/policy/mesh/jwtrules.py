"""RequestAuthentication: its rules, and what the jwt_authn filter that Istio makes of them does with a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labkit.policy.model import ObjectKey
from labkit.policy.yamlseam import SourceMap

from .tokens import Verifier, verify

_ALWAYS_SPLIT = ("scope", "permission")


@dataclass(frozen=True, slots=True)
class JwtRule:
    """One jwtRule. jwks: the key set written in the policy; jwks_uri: where it is otherwise fetched from.

    headers: (name in lower case, prefix); with no location at all the defaults are looked at.
    """

    issuer: str = ""
    audiences: tuple[str, ...] = ()
    jwks: str = ""
    jwks_uri: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    params: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()
    forward: bool = False
    payload_header: str = ""
    claim_headers: tuple[tuple[str, str], ...] = ()
    split_claims: tuple[str, ...] = _ALWAYS_SPLIT
    policy: ObjectKey | None = None
    path: str = ""
    line: int | None = None

    @property
    def places(self) -> str:
        """Where it looks for a token, in words."""
        headers, params = self.locations()
        words = [
            f'header {name} after "{prefix}"' if prefix else f"header {name}" for name, prefix in headers
        ]
        words += [f"query parameter {name}" for name in params]
        return ", ".join([*words, *(f"cookie {name}" for name in self.cookies)])

    def locations(self) -> tuple[Sequence[tuple[str, str]], Sequence[str]]:
        """Headers and parameters to look at."""
        if self.headers or self.params or self.cookies:
            return self.headers, self.params
        return (("authorization", "Bearer "),), ("access_token",)


@dataclass(frozen=True, eq=False)
class RequestAuthentication:
    """A RequestAuthentication, read. selector None: every workload."""

    key: ObjectKey
    rules: tuple[JwtRule, ...] = ()
    selector: Mapping[str, str] | None = None
    targets: bool = False
    created: str = ""
    source: SourceMap | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Facts:
    """What the engine cannot know: the time, whose key signed a token, and what jwksUri addresses answer.

    now: seconds since 1970; None: the machine's clock. fetched: the key set of an address, None for one that cannot be
    fetched (every token then fails); an address that is not named leaves the decision open.
    """

    now: float | None = None
    verifier: Verifier = verify
    fetched: Mapping[str, str | None] = field(default_factory=dict)


def read_request_authentication(
    obj: Mapping[str, Any], source: SourceMap | None = None, *, default_namespace: str = "default"
) -> RequestAuthentication:
    """Read a RequestAuthentication that is valid."""
    key = ObjectKey.of({**obj, "kind": "RequestAuthentication"}, default_namespace)
    spec = obj.get("spec") or {}
    metadata = obj.get("metadata") or {}
    rules = []
    for i, item in enumerate(spec.get("jwtRules") or ()):
        path = f"spec.jwtRules[{i}]"
        rules.append(
            JwtRule(
                issuer=str(item.get("issuer") or ""),
                audiences=tuple(item.get("audiences") or ()),
                jwks=str(item.get("jwks") or ""),
                jwks_uri=str(item.get("jwksUri") or item.get("jwks_uri") or ""),
                headers=tuple(
                    (str(h["name"]).lower(), str(h.get("prefix") or ""))
                    for h in item.get("fromHeaders") or ()
                ),
                params=tuple(item.get("fromParams") or ()),
                cookies=tuple(item.get("fromCookies") or ()),
                forward=bool(item.get("forwardOriginalToken")),
                payload_header=str(item.get("outputPayloadToHeader") or "").lower(),
                claim_headers=tuple(
                    (str(h["header"]).lower(), str(h["claim"]))
                    for h in item.get("outputClaimToHeaders") or ()
                ),
                split_claims=(*_ALWAYS_SPLIT, *(item.get("spaceDelimitedClaims") or ())),
                policy=key,
                path=path,
                line=source.nearest(path) if source else None,
            )
        )
    selector = spec.get("selector")
    return RequestAuthentication(
        key,
        tuple(rules),
        None if selector is None else dict(selector.get("matchLabels") or {}),
        bool(spec.get("targetRefs") or spec.get("targetRef")),
        str(metadata.get("creationTimestamp") or ""),
        source,
    )
