"""Reads the Istio conformance cases (the format is in README.md); needs PyYAML, and `cryptography` to sign tokens.

Nothing here knows an engine: a case gives plain Kubernetes objects, requests from named workloads, and what the client sees.
An author's mistake is a CaseError that names the file and the case.
"""

from __future__ import annotations

import base64
import copy
import functools
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

HERE = Path(__file__).parent
ROOT = "istio-system"
DENIED = "RBAC: access denied"
_BROKEN = "upstream connect error or disconnect/reset before headers. "
_WORDS: Mapping[str, tuple[str, int, str]] = {
    "allow": ("OK", 0, ""),
    "deny": ("FORBIDDEN", 403, DENIED),
    "reset": ("RESET", 0, ""),
    "closed": ("CLOSED", 0, ""),
    "bad-request": ("BAD_REQUEST", 400, ""),
    "terminated": ("UNAVAILABLE", 503, f"{_BROKEN}reset reason: connection termination"),
    "unreachable": (
        "UNAVAILABLE",
        503,
        f"{_BROKEN}retried and the latest reset reason: remote connection failure",
    ),
}
_STATUSES = {401: "UNAUTHENTICATED", 403: "FORBIDDEN"}
_CASE = ("name", "line", "title")
_CASE_OPTIONAL = (
    *(
        "policies",
        "requests",
        "refused",
        "warned",
        "exclusive",
        "only",
        "needs",
        "mesh",
        "objects",
        "note",
        "without",
    ),
)
_REQUEST = (
    *(
        "from",
        "to",
        "method",
        "path",
        "host",
        "headers",
        "token",
        "scheme",
        "tcp",
        "expect",
        "matched",
        "app",
        "note",
    ),
)
_API = {
    "DestinationRule": "networking.istio.io/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Service": "v1",
    "Pod": "v1",
}


class CaseError(ValueError):
    """A case that does not follow the format."""


@dataclass(frozen=True)
class Request:
    """One attempt. to: ("service", "ns/name", port) or ("pod", "ns/name", port). http None: bytes, no HTTP; else give it
    to `minted` when it is tried.

    verdict, status, body: what the client sees; status 0: the application's own answer, or none. matched: the rule that
    Envoy names, None when the case does not say. app: what the application must get or must not get: header -> value, None
    for a header that must be gone.
    """

    source: str
    to: tuple[str, str, int]
    http: Mapping[str, Any] | None
    verdict: str
    status: int
    body: str
    matched: str | None
    app: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One case, with its world as objects."""

    name: str
    title: str
    line: str
    path: Path
    objects: list[dict[str, Any]]
    policies: list[dict[str, Any]]
    requests: list[Request]
    refused: str = ""
    warned: tuple[str, ...] = ()
    exclusive: bool = False
    only: str = ""
    needs: tuple[str, ...] = ()
    mesh: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()


def checklist() -> dict[str, str]:
    """The lines that cases prove: id -> sentence."""
    return yaml.safe_load((HERE / "checklist.yaml").read_text(encoding="utf-8"))


def load_cases(names: Callable[[str], str] = str, folder: Path = HERE) -> list[Case]:
    """Every case, in a fixed order. names: what a namespace of the cases is called where they run."""
    found = []
    for path in sorted((folder / "cases").glob("*.yaml")):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        _fields(data, path.name, ("world", "title", "cases"), ())
        world = yaml.safe_load((folder / data["world"]).read_text(encoding="utf-8"))
        found += [_case(item, path, world, names) for item in data["cases"]]
    return found


def _case(item: dict[str, Any], path: Path, world: dict[str, Any], names: Callable[[str], str]) -> Case:
    where = f"{path.name}: {item.get('name')}"
    _fields(item, where, _CASE, _CASE_OPTIONAL)
    objects = _world(world, names, set(item.get("without") or ()))
    objects += [_object(o, names, where) for o in item.get("objects") or ()]
    policies = [_object(policy, names, where) for policy in item.get("policies") or ()]
    requests = [_request(r, world, names, where) for r in item.get("requests") or ()]
    if not requests and not item.get("refused"):
        raise CaseError(f"{where}: a case needs requests, or `refused`")
    return Case(
        item["name"],
        item["title"],
        item["line"],
        path,
        objects,
        policies,
        requests,
        item.get("refused", ""),
        tuple(item.get("warned") or ()),
        bool(item.get("exclusive")),
        item.get("only", ""),
        tuple(item.get("needs") or ()),
        item.get("mesh") or {},
        tuple(item.get("without") or ()),
    )


def _world(world: dict[str, Any], names: Callable[[str], str], without: set[str]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    for name, space in world["namespaces"].items():
        labels = {"kubernetes.io/metadata.name": names(name)}
        if space.get("injected"):
            labels["istio-injection"] = "enabled"
        result.append(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names(name), "labels": labels}}
        )
    for i, (key, pod) in enumerate(world["pods"].items()):
        if key in without:
            continue
        space, name = key.split("/")
        result.append(_pod(names(space), name, pod, world["namespaces"][space].get("injected", False), i))
    for i, (key, service) in enumerate(world["services"].items()):
        space, name = key.split("/")
        ports = [{"protocol": "TCP", "targetPort": port["port"], **port} for port in service["ports"]]
        spec = {"selector": service["selector"], "ports": ports}
        spec["clusterIP"] = "None" if service.get("headless") else f"10.96.77.{10 + i}"
        metadata = {"namespace": names(space), "name": name, "creationTimestamp": service.get("created")}
        result.append({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    return result


def _pod(space: str, name: str, pod: dict[str, Any], injected: bool, number: int) -> dict[str, Any]:
    """The pod as it runs: with the container and the label that injection adds."""
    labels = dict(pod["labels"])
    ports = [{"containerPort": port} for port in pod.get("ports") or ()]
    containers: list[dict[str, Any]] = [{"name": pod["app"], "image": pod["app"], "ports": ports}]
    if injected and not pod.get("uninjected"):
        containers.append({"name": "istio-proxy", "image": "proxyv2"})
        labels["security.istio.io/tlsMode"] = "istio"
    ip = f"10.244.77.{10 + number}"
    metadata: dict[str, Any] = {"namespace": space, "name": name, "labels": labels}
    if pod.get("annotations"):
        metadata["annotations"] = pod["annotations"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"serviceAccountName": name, "containers": containers},
        "status": {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def _object(item: dict[str, Any], names: Callable[[str], str], where: str) -> dict[str, Any]:
    item = copy.deepcopy(item)
    _fields(
        item,
        where,
        ("kind", "name", "namespace"),
        ("apiVersion", "annotations", "created", "spec", "status", "labels"),
    )
    kind, space = item["kind"], item["namespace"]
    metadata: dict[str, Any] = {"name": item["name"], "namespace": ROOT if space == "root" else names(space)}
    if item.get("annotations"):
        metadata["annotations"] = item["annotations"]
    if item.get("labels"):
        metadata["labels"] = item["labels"]
    if item.get("created"):
        metadata["creationTimestamp"] = item["created"]
    result = {
        "apiVersion": item.get("apiVersion") or _API.get(kind, "security.istio.io/v1"),
        "kind": kind,
        "metadata": metadata,
    }
    for part in ("spec", "status"):
        if part in item:
            result[part] = _named(item[part], names)
    return result


def _named(value: Any, names: Callable[[str], str]) -> Any:
    """`$foo` becomes the name of namespace foo, `$jwks` the key set, `$jwks_private` one with a private key."""
    if isinstance(value, dict):
        return {key: _named(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if isinstance(value, str):
        if value == "$jwks":
            return jwks()
        return re.sub(r"\$(foo|bar|legacy)\b", lambda m: names(m[1]), value)
    return value


def _request(item: dict[str, Any], world: dict[str, Any], names: Callable[[str], str], where: str) -> Request:
    _fields(item, where, ("expect",), _REQUEST)
    to = item.get("to", world["to"])
    kind, _, rest = to.partition(":") if to.startswith("pod:") else ("service", "", to)
    target, _, port = rest.rpartition(":")
    space, name = target.split("/")
    client = item.get("from", world["from"])
    if "/" in client:
        client = f"{names(client.split('/')[0])}/{client.split('/')[1]}"
    http: dict[str, Any] | None = None
    if not item.get("tcp"):
        headers = {str(k): _named(str(v), names) for k, v in (item.get("headers") or {}).items()}
        if item.get("token"):
            headers["Authorization"] = f"Bearer <{item['token']}>"
        http = {
            "method": item.get("method", "GET"),
            "path": item.get("path", "/get"),
            "host": _named(item.get("host", ""), names),
            "headers": headers,
            "scheme": item.get("scheme", "http"),
        }
    expect = item["expect"]
    if isinstance(expect, str):
        if expect not in _WORDS:
            raise CaseError(f"{where}: {expect!r} is none of {', '.join(_WORDS)}")
        verdict, status, body = _WORDS[expect]
    else:
        status, body = expect["status"], expect.get("body", "")
        verdict = expect.get("verdict") or _STATUSES[status]
    matched = item.get("matched")
    if matched not in (None, "none", ""):
        matched = _matched(matched, names, where)
    target = f"{names(space)}/{name}"
    return Request(
        client, (kind, target, int(port)), http, verdict, status, body, matched, item.get("app") or {}
    )


def _matched(text: str, names: Callable[[str], str], where: str) -> str:
    found = re.fullmatch(r"(\w+)/([\w.-]+)\[(\d+)\]", text)
    if found is None:
        raise CaseError(f"{where}: matched is {text!r}, expected namespace/name[rule]")
    space = ROOT if found[1] == "root" else names(found[1])
    return f"ns[{space}]-policy[{found[2]}]-rule[{found[3]}]"


def _fields(item: Any, where: str, required: Iterable[str], optional: Iterable[str]) -> None:
    if not isinstance(item, dict):
        raise CaseError(f"{where}: expected fields, found {item!r}")
    missing = [name for name in required if name not in item]
    unknown = [name for name in item if name not in (*required, *optional)]
    if missing or unknown:
        raise CaseError(f"{where}: missing {missing}, unknown {unknown}")


@functools.cache
def _keys() -> dict[str, rsa.RSAPrivateKey]:
    return {name: rsa.generate_private_key(65537, 2048) for name in ("lab", "other")}


@functools.cache
def jwks() -> str:
    """The key set that knows the key "lab"."""
    numbers = _keys()["lab"].public_key().public_numbers()
    parts = {
        name: _base64(value.to_bytes((value.bit_length() + 7) // 8))
        for name, value in (("n", numbers.n), ("e", numbers.e))
    }
    return json.dumps({"keys": [{"kty": "RSA", "kid": "lab", **parts}]})


def minted(http: Mapping[str, Any]) -> dict[str, Any]:
    """A request's HTTP part with its tokens: `<name>` becomes the token of that name, minted now."""

    def filled(text: str) -> str:
        return re.sub(r"<([\w-]+)>", lambda m: token(m[1]), text)

    headers = {name: filled(value) for name, value in http["headers"].items()}
    return {**http, "path": filled(http["path"]), "headers": headers}


def token(name: str) -> str:
    """A token of tokens.yaml, signed now."""
    spec = yaml.safe_load((HERE / "tokens.yaml").read_text(encoding="utf-8"))[name]
    if "raw" in spec:
        return str(spec["raw"])
    claims = {key: _time(value) if key in ("exp", "nbf") else value for key, value in spec["claims"].items()}
    parts = [spec.get("header", {"alg": "RS256", "kid": "lab"}), claims]
    text = ".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    if "signature" in spec:
        return f"{text}.{spec['signature']}"
    signature = _keys()[spec.get("key", "lab")].sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{text}.{_base64(signature)}"


def _time(value: Any) -> Any:
    found = re.fullmatch(r"([+-]\d+)([sh])", str(value))
    return int(time.time()) + int(found[1]) * (3600 if found[2] == "h" else 1) if found else value


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
