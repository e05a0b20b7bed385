"""Random policies and requests from a seed, for tests that compare two evaluations: engine, Envoys, real Istio.

The same seed and shape give the same objects on every machine. They are plain Kubernetes dicts in namespaces that begin
with a prefix, so that many sets can stand in one cluster at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from labkit.policy.flow import Flow
from labkit.policy.request import HttpRequest
from labkit.policy.world import World

ISSUERS = ("issuer-a@lab", "https://issuer-b.lab/x")
HTTP_PORT, TCP_PORT = 8000, 9000
_HTTP_TARGET, _TCP_TARGET = 8080, 9000
_PATHS = (
    *("/", "/public", "/public/", "/public2", "/public/a.html", "/admin", "/admin/x", "/details/0"),
    *(
        "/a/b/c",
        "/a//c",
        "/foo/1/bar/2/3",
        "/store/x/y/cart",
        "/PUBLIC",
        "/public/../admin",
        "/public/..%2fadmin",
    ),
    *("/exact;x", "/a?x=1", "/%61dmin"),
)
_PATH_RULES = (
    *("/public", "/public*", "/public/*", "*/x", "*.html", "/admin", "*", "/details/*", "/a/{*}/c"),
    *("/foo/{*}/bar/{**}", "/store/{**}/cart", "/a/*c", "/admin/{**}", "/a?x=1"),
)
_METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS")
_METHOD_RULES = ("GET", "POST", "get", "*", "P*", "*T", "OPTIONS")
_HEADERS = ("x-team", "user-agent")
_HEADER_VALUES = ("red", "blue", "redder", "")
_HEADER_RULES = ("red", "red*", "*e", "*", "blue")
_CLAIM_VALUES = ("group-1", "group-2", "admin user", "x")


@dataclass(frozen=True, slots=True)
class MeshShape:
    """How large a set is and what it uses.

    tokens: also RequestAuthentications, token rules and requests with tokens. modes: also PeerAuthentications and
    DestinationRules. tcp: also requests to the port that is declared as TCP.
    """

    policies: int = 3
    requests: int = 6
    tokens: bool = True
    modes: bool = True
    tcp: bool = True


@dataclass(frozen=True, slots=True)
class TokenKit:
    """What random sets need of tokens: the key set that policies name, and ready tokens, good and bad ones.

    The claims should be drawn from the vocabulary here: issuers of ISSUERS, `groups` and `nested.key`.
    """

    jwks: str
    tokens: Sequence[str]


@dataclass(frozen=True, slots=True)
class MeshSet:
    """One draw: the workloads, the policies, and the flows to try."""

    workloads: tuple[Mapping[str, Any], ...]
    policies: tuple[Mapping[str, Any], ...]
    flows: tuple[Flow, ...]

    def world(self) -> World:
        """The set as the engine sees it."""
        return World.from_objects((*self.workloads, *self.policies))


def random_mesh(
    seed: int, shape: MeshShape | None = None, *, prefix: str = "m", tokens: TokenKit | None = None
) -> MeshSet:
    """A set with its own namespaces PREFIX-alpha, PREFIX-beta (both injected) and PREFIX-plain."""
    shape = shape or MeshShape()
    return _Draw(Random(f"mesh {seed}"), shape, prefix, tokens if shape.tokens else None).make()


def workloads(prefix: str) -> list[dict[str, Any]]:
    """The pods that every set has: a server with an HTTP and a TCP port, two clients in the mesh and one outside."""
    alpha, beta, plain = (f"{prefix}-{name}" for name in ("alpha", "beta", "plain"))
    ports = [{"containerPort": _HTTP_TARGET}, {"containerPort": _TCP_TARGET}]
    return [
        _namespace(alpha, injected=True),
        _namespace(beta, injected=True),
        _namespace(plain, injected=False),
        _pod(alpha, "server", {"app": "server", "version": "v1"}, "10.244.1.10", ports),
        _pod(alpha, "client", {"app": "client"}, "10.244.1.11"),
        _pod(beta, "client", {"app": "client"}, "10.244.1.12"),
        _pod(plain, "client", {"app": "client"}, "10.244.1.13"),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": alpha, "name": "server"},
            "spec": {
                "clusterIP": "10.96.7.7",
                "selector": {"app": "server"},
                "ports": [
                    {"name": "http", "port": HTTP_PORT, "targetPort": _HTTP_TARGET},
                    {"name": "tcp", "port": TCP_PORT, "targetPort": _TCP_TARGET},
                ],
            },
        },
    ]


def _namespace(name: str, *, injected: bool) -> dict[str, Any]:
    labels = {"kubernetes.io/metadata.name": name, **({"istio-injection": "enabled"} if injected else {})}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _pod(
    namespace: str, name: str, labels: Mapping[str, str], ip: str, ports: Sequence[Any] = ()
) -> dict[str, Any]:
    containers: list[dict[str, Any]] = [{"name": "main", "image": "app", "ports": list(ports)}]
    if not namespace.endswith("-plain"):
        containers.append({"name": "istio-proxy", "image": "proxyv2"})
        labels = {**labels, "security.istio.io/tlsMode": "istio"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": dict(labels)},
        "spec": {"serviceAccountName": name, "containers": containers},
        "status": {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


class _Draw:
    """One draw; holds the dice and the names."""

    def __init__(self, random: Random, shape: MeshShape, prefix: str, tokens: TokenKit | None) -> None:
        self._random = random
        self._shape = shape
        self._tokens = tokens
        self._prefix = prefix
        self._alpha, self._beta, self._plain = (f"{prefix}-{name}" for name in ("alpha", "beta", "plain"))

    def make(self) -> MeshSet:
        random, shape = self._random, self._shape
        policies = [self._authorization(i) for i in range(random.randint(1, shape.policies))]
        if self._tokens is not None and random.random() < 0.8:
            policies.append(self._request_authentication())
        if shape.modes:
            policies += self._modes()
        flows = tuple(self._flow() for _ in range(shape.requests))
        return MeshSet(tuple(workloads(self._prefix)), tuple(policies), flows)

    def _object(
        self, kind: str, name: str, spec: Mapping[str, Any], group: str = "security"
    ) -> dict[str, Any]:
        return {
            "apiVersion": f"{group}.istio.io/v1",
            "kind": kind,
            "metadata": {"namespace": self._alpha, "name": name},
            "spec": dict(spec),
        }

    def _some(self, values: Sequence[str], most: int = 2) -> list[str]:
        return self._random.sample(values, self._random.randint(1, min(most, len(values))))

    def _authorization(self, number: int) -> dict[str, Any]:
        random = self._random
        action = random.choice(["ALLOW", "ALLOW", "ALLOW", "DENY", "DENY", "AUDIT"])
        spec: dict[str, Any] = {"action": action}
        spec["rules"] = [self._rule() for _ in range(random.choice([1, 1, 2]))]
        if action == "ALLOW" and random.random() < 0.08:
            del spec["rules"]
        draw = random.random()
        if draw < 0.5:
            spec["selector"] = {"matchLabels": {"app": "server"}}
        elif draw < 0.6:
            spec["selector"] = {"matchLabels": {"app": "other"}}
        policy = self._object("AuthorizationPolicy", f"policy-{number}", spec)
        if random.random() < 0.06:
            policy["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
        return policy

    def _rule(self) -> dict[str, Any]:
        random = self._random
        rule: dict[str, Any] = {}
        if random.random() < 0.65:
            rule["from"] = [{"source": self._source()} for _ in range(random.choice([1, 1, 2]))]
        if random.random() < 0.65:
            rule["to"] = [{"operation": self._operation()} for _ in range(random.choice([1, 1, 2]))]
        if random.random() < 0.3:
            rule["when"] = [self._when() for _ in range(random.choice([1, 1, 2]))]
        return rule

    def _fields(self, choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        random = self._random
        result: dict[str, Any] = {}
        for name in random.sample(sorted(choices), random.choice([1, 1, 2])):
            if random.random() < 0.75:
                result[name] = self._some(choices[name])
            if name not in result or random.random() < 0.15:
                result[f"not{name[0].upper()}{name[1:]}"] = self._some(choices[name])
        return result

    def _source(self) -> dict[str, Any]:
        domain = "cluster.local"
        choices = {
            "principals": (
                f"{domain}/ns/{self._alpha}/sa/client",
                f"{domain}/ns/{self._beta}/sa/client",
                "*",
                f"*/ns/{self._beta}/sa/client",
                "*/sa/client",
                f"{domain}/ns/{self._alpha}/*",
                "other.domain/ns/x/sa/y",
            ),
            "namespaces": (
                self._alpha,
                self._beta,
                self._plain,
                "*",
                f"*{self._beta[1:]}",
                f"{self._alpha[:-2]}*",
            ),
            "ipBlocks": ("0.0.0.0/0", "203.0.113.0/24"),
            "remoteIpBlocks": ("0.0.0.0/0", "203.0.113.0/24", "203.0.113.9"),
        }
        if self._tokens is not None:
            choices["requestPrincipals"] = self._request_principals()
        if self._random.random() < 0.15:
            accounts = (f"{self._alpha}/client", f"{self._beta}/client", "client", "server")
            return self._fields({"serviceAccounts": accounts, "ipBlocks": choices["ipBlocks"]})
        return self._fields(choices)

    def _request_principals(self) -> tuple[str, ...]:
        first = ISSUERS[0]
        return (
            "*",
            f"{first}/sub-1",
            f"{first}/*",
            "*/sub-2",
            f"{ISSUERS[1]}/sub-1",
            "issuer*",
            "*sub-2",
            first,
        )

    def _operation(self) -> dict[str, Any]:
        host = f"server.{self._alpha}"
        hosts = (host, f"{host}:{HTTP_PORT}", host.upper() + "*", "*", "*.lab", f"*:{HTTP_PORT}")
        ports = (str(_HTTP_TARGET), str(_TCP_TARGET), str(HTTP_PORT))
        return self._fields({"hosts": hosts, "methods": _METHOD_RULES, "paths": _PATH_RULES, "ports": ports})

    def _when(self) -> dict[str, Any]:
        random = self._random
        choices: dict[str, Sequence[str]] = {
            "source.namespace": (self._alpha, self._beta),
            "source.principal": ("*", f"cluster.local/ns/{self._beta}/sa/client"),
            "destination.port": (str(_HTTP_TARGET), str(_TCP_TARGET)),
            "remote.ip": ("203.0.113.0/24", "10.0.0.0/8"),
            "connection.sni": ("outbound_*", "*.local", "*"),
            f"request.headers[{random.choice(('X-Team', 'user-agent'))}]": _HEADER_RULES,
            "request.headers[:method]": ("GET", "P*"),
        }
        if self._tokens is not None:
            choices |= {
                "request.auth.claims[groups]": _CLAIM_VALUES,
                "request.auth.claims[nested][key]": ("value-a", "value*"),
                "request.auth.claims[scope]": ("read", "write"),
                "request.auth.audiences": ("lab", "*"),
                "request.auth.principal": self._request_principals(),
                "request.headers[authorization]": ("*", "Bearer *"),
            }
        key = random.choice(sorted(choices))
        result: dict[str, Any] = {"key": key}
        draw = random.random()
        if draw < 0.75:
            result["values"] = self._some(choices[key])
        if draw >= 0.65:
            result["notValues"] = self._some(choices[key])
        return result

    def _request_authentication(self) -> dict[str, Any]:
        random = self._random
        assert self._tokens is not None
        rules = []
        for issuer in random.sample(ISSUERS, random.choice([1, 1, 2])):
            rule: dict[str, Any] = {"issuer": issuer, "jwks": self._tokens.jwks}
            if random.random() < 0.3:
                rule["audiences"] = ["lab"]
            if random.random() < 0.3:
                rule["forwardOriginalToken"] = True
            draw = random.random()
            if draw < 0.15:
                rule["fromHeaders"] = [{"name": "x-token"}]
            elif draw < 0.3:
                rule["fromHeaders"] = [{"name": "Authorization", "prefix": "Bearer "}, {"name": "x-token"}]
            elif draw < 0.4:
                rule["fromParams"] = ["token"]
            elif draw < 0.5:
                rule["fromCookies"] = ["session"]
            if random.random() < 0.2:
                rule["outputClaimToHeaders"] = [{"header": "x-team", "claim": "team"}]
            rules.append(rule)
        return self._object("RequestAuthentication", "tokens", {"jwtRules": rules})

    def _modes(self) -> list[dict[str, Any]]:
        random = self._random
        found = []
        modes = ("UNSET", "DISABLE", "PERMISSIVE", "STRICT", "STRICT")
        if random.random() < 0.35:
            spec: dict[str, Any] = {"mtls": {"mode": random.choice(modes)}}
            found.append(self._object("PeerAuthentication", "default", spec))
        if random.random() < 0.25:
            spec = {"selector": {"matchLabels": {"app": "server"}}, "mtls": {"mode": random.choice(modes)}}
            if random.random() < 0.6:
                port = random.choice([_HTTP_TARGET, _TCP_TARGET])
                spec["portLevelMtls"] = {port: {"mode": random.choice(modes)}}
            found.append(self._object("PeerAuthentication", "server", spec))
        if random.random() < 0.2:
            tls = {"mode": random.choice(["DISABLE", "ISTIO_MUTUAL"])}
            spec = {"host": f"server.{self._alpha}.svc.cluster.local", "trafficPolicy": {"tls": tls}}
            found.append(self._object("DestinationRule", "server", spec, "networking"))
        return found

    def _flow(self) -> Flow:
        random = self._random
        namespace = random.choice([self._alpha, self._beta, self._beta, self._plain])
        source, target = f"{namespace}/client", f"service:{self._alpha}/server"
        if self._shape.tcp and random.random() < 0.2:
            return Flow(source, target, TCP_PORT, request=HttpRequest.of("GET", "/"))
        return Flow(source, target, HTTP_PORT, request=self._request())

    def _request(self) -> HttpRequest:
        random = self._random
        path = random.choice(_PATHS)
        headers: list[tuple[str, str]] = []
        if random.random() < 0.4:
            headers.append(("X-Team", random.choice(_HEADER_VALUES)))
        if random.random() < 0.2:
            headers.append(
                ("X-Forwarded-For", random.choice(["203.0.113.9", "203.0.113.9, 192.0.2.1", "junk"]))
            )
        for chance in (0.75, 0.15) if self._tokens is not None else ():
            if random.random() > chance:
                continue
            assert self._tokens is not None
            token = random.choice(list(self._tokens.tokens))
            draw = random.random()
            if draw < 0.6:
                headers.append(("Authorization", f"Bearer {token}"))
            elif draw < 0.75:
                headers.append(("X-Token", token))
            elif draw < 0.85:
                headers.append(("Cookie", f"a=b; session={token}"))
            else:
                path += ("&" if "?" in path else "?") + f"{random.choice(['token', 'access_token'])}={token}"
        # What curl sends by itself is part of what policies see.
        headers.append(("User-Agent", random.choice(["curl/8.16.0", "red"])))
        return HttpRequest(random.choice(_METHODS), path, "", tuple(headers))
