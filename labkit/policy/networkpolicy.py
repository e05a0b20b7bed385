"""NetworkPolicy v1, compiled: a dict is read once into a small closed model, on which everything else
works.

What the API server refuses is refused here too, in its words (pkg/apis/networking/validation), so that an
answer is never given about YAML that no cluster would accept.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .flow import PROTOCOLS, Direction
from .labels import Selector, SelectorError
from .model import ObjectKey
from .rules import CompiledPolicy, IpBlock, Network, Peer, PortMatch, Rule
from .yamlseam import SourceMap

__all__ = [
    "CompiledPolicy",
    "IpBlock",
    "Network",
    "Peer",
    "PolicyError",
    "PortMatch",
    "Problem",
    "Rule",
    "compile_policy",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why the API server refuses a policy."""

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" + (f" (line {self.line})" if self.line else "")


class PolicyError(ValueError):
    """A NetworkPolicy that the API server refuses; `problems` has every reason that was found."""

    def __init__(self, key: ObjectKey, problems: Sequence[Problem]) -> None:
        super().__init__(f"{key} is invalid: " + "; ".join(map(str, problems)))
        self.key = key
        self.problems = tuple(problems)


def compile_policy(
    obj: Mapping[str, Any], source: SourceMap | None = None, *, default_namespace: str = "default"
) -> CompiledPolicy:
    """Read a NetworkPolicy object.

    Raises PolicyError with every reason why the API server would refuse it.
    """
    return _Compiler(obj, source, default_namespace).compile()


class _Compiler:
    """Collects problems while it reads, so that a learner sees all of them at once."""

    def __init__(self, obj: Mapping[str, Any], source: SourceMap | None, default_namespace: str) -> None:
        self._obj = obj
        self._source = source
        self._key = ObjectKey.of({**obj, "kind": "NetworkPolicy"}, default_namespace)
        self._problems: list[Problem] = []

    def compile(self) -> CompiledPolicy:
        if self._obj.get("spec") is None:
            spec: Mapping[str, Any] = {}
        else:
            spec = self._object(
                self._obj["spec"], "spec", ("podSelector", "policyTypes", "ingress", "egress")
            )
        pod_selector = self._selector(spec.get("podSelector"), "spec.podSelector") or Selector()
        ingress = self._rules(spec, "ingress", "from")
        egress = self._rules(spec, "egress", "to")
        types = self._list(spec.get("policyTypes"), "spec.policyTypes")
        if len(types) > 2:
            self._refuse("spec.policyTypes", "Invalid value: may not specify more than two policyTypes")
        for i, name in enumerate(types):
            if name not in ("Ingress", "Egress"):
                self._refuse(
                    f"spec.policyTypes[{i}]",
                    f'Unsupported value: "{name}": supported values: "Ingress", "Egress"',
                )
        if self._problems:
            raise PolicyError(self._key, self._problems)
        directions = {Direction(name) for name in types}
        if not types:
            # pkg/apis/networking/v1/defaults.go: Ingress always, Egress only when there is an egress rule.
            directions = {Direction.INGRESS, Direction.EGRESS} if egress else {Direction.INGRESS}
        return CompiledPolicy(
            key=self._key,
            uid=str((self._obj.get("metadata") or {}).get("uid") or ""),
            namespace=self._key.namespace,
            pod_selector=pod_selector,
            directions=frozenset(directions),
            ingress=ingress,
            egress=egress,
            types_written=bool(types),
            source=self._source,
        )

    def _refuse(self, path: str, message: str) -> None:
        line = self._source.nearest(path) if self._source else None
        self._problems.append(Problem(path, message, line))

    def _object(self, value: Any, path: str, fields: tuple[str, ...]) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._refuse(path, f"Invalid value: {value!r}: must be an object")
            return {}
        for field in value:
            if field not in fields:
                # The words of strict decoding: kubectl apply validates against the schema and refuses.
                self._refuse(f"{path}.{field}", f'unknown field "{path}.{field}"')
        return value

    def _list(self, value: Any, path: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            self._refuse(path, f"Invalid value: {value!r}: must be a list")
            return []
        return value

    def _selector(self, value: Any, path: str) -> Selector | None:
        if value is None:
            return None
        try:
            return Selector.from_object(value)
        except SelectorError as error:
            self._refuse(f"{path}.{error.path}" if error.path else path, error.message)
            return Selector()

    def _rules(self, spec: Mapping[str, Any], field: str, peers_field: str) -> tuple[Rule, ...]:
        result = []
        for i, item in enumerate(self._list(spec.get(field), f"spec.{field}")):
            path = f"spec.{field}[{i}]"
            rule = self._object(item, path, (peers_field, "ports"))
            peers = self._list(rule.get(peers_field), f"{path}.{peers_field}")
            ports = self._list(rule.get("ports"), f"{path}.ports")
            result.append(
                Rule(
                    path,
                    tuple(self._peer(p, f"{path}.{peers_field}[{j}]") for j, p in enumerate(peers)) or None,
                    tuple(self._port(p, f"{path}.ports[{j}]") for j, p in enumerate(ports)) or None,
                )
            )
        return tuple(result)

    def _peer(self, item: Any, path: str) -> Peer:
        peer = self._object(item, path, ("namespaceSelector", "podSelector", "ipBlock"))
        namespaces = self._selector(peer.get("namespaceSelector"), f"{path}.namespaceSelector")
        pods = self._selector(peer.get("podSelector"), f"{path}.podSelector")
        block = None
        if peer.get("ipBlock") is not None:
            block = self._ip_block(peer["ipBlock"], f"{path}.ipBlock")
            if namespaces is not None or pods is not None:
                self._refuse(path, "Forbidden: may not specify both ipBlock and another peer")
        elif namespaces is None and pods is None:
            self._refuse(path, "Required value: must specify a peer")
        return Peer(path, namespaces, pods, block)

    def _ip_block(self, item: Any, path: str) -> IpBlock | None:
        block = self._object(item, path, ("cidr", "except"))
        if not block.get("cidr"):
            self._refuse(f"{path}.cidr", "Required value")
            return None
        network = self._network(block["cidr"], f"{path}.cidr")
        excepts = []
        for i, text in enumerate(self._list(block.get("except"), f"{path}.except")):
            inner = self._network(text, f"{path}.except[{i}]")
            if network is None or inner is None:
                continue
            if inner.version != network.version or inner == network or not inner.subnet_of(network):  # type: ignore[arg-type]
                self._refuse(
                    f"{path}.except[{i}]", f'Invalid value: "{text}": must be a strict subset of `cidr`'
                )
            excepts.append(inner)
        return IpBlock(path, network, tuple(excepts), str(block["cidr"])) if network else None

    def _network(self, text: Any, path: str) -> Network | None:
        try:
            if not isinstance(text, str) or "/" not in text:
                raise ValueError(text)
            # strict=False: bits beyond the prefix are legal in stored objects (new ones are warned about).
            return ipaddress.ip_network(text, strict=False)
        except ValueError:
            self._refuse(
                path,
                f'Invalid value: "{text}": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
            )
            return None

    def _port(self, item: Any, path: str) -> PortMatch:
        entry = self._object(item, path, ("port", "endPort", "protocol"))
        protocol = entry.get("protocol") or "TCP"
        if protocol not in PROTOCOLS:
            self._refuse(
                f"{path}.protocol", f'Unsupported value: "{protocol}": supported values: "TCP", "UDP", "SCTP"'
            )
        port, end = entry.get("port"), entry.get("endPort")
        if isinstance(port, str):
            for message in _port_name_problems(port):
                self._refuse(f"{path}.port", f'Invalid value: "{port}": {message}')
            if end is not None:
                message = f"Invalid value: {end}: may not be specified when `port` is non-numeric"
                self._refuse(f"{path}.endPort", message)
            return PortMatch(path, protocol, name=port)
        for field, value in (("port", port), ("endPort", end)):
            if value is not None and (type(value) is not int or not 1 <= value <= 65535):
                self._refuse(
                    f"{path}.{field}", f"Invalid value: {value!r}: must be between 1 and 65535, inclusive"
                )
                return PortMatch(path, protocol)
        if end is not None and port is None:
            self._refuse(
                f"{path}.endPort", f"Invalid value: {end}: may not be specified when `port` is not specified"
            )
        elif end is not None and port is not None and end < port:
            # The value in the message is that of `port`, as upstream has it.
            self._refuse(f"{path}.endPort", f"Invalid value: {port}: must be greater than or equal to `port`")
        return PortMatch(path, protocol, port, end)


def _port_name_problems(name: str) -> list[str]:
    """validation.IsValidPortName."""
    problems = []
    if len(name) > 15:
        problems.append("must be no more than 15 characters")
    if not re.fullmatch("[-a-z0-9]+", name):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", name):
        problems.append("must contain at least one letter (a-z)")
    if "--" in name:
        problems.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems
