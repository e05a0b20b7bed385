"""The records of a cluster's DNS zone, computed from Services and EndpointSlices.

Rules: the specification "Kubernetes DNS-Based Service Discovery" 1.1.0, and CoreDNS' kubernetes plugin as kubeadm sets
it up (`pods insecure`, ttl 30) where the specification leaves a choice.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = Mapping[str, Any]
TTL = 30
_NO_SUCH_TOP = ("svc", "pod", "local", "internal", "localdomain", "cluster", "default")


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record; `data` is an address, a target name, or (priority, weight, port, target) for SRV."""

    name: str
    kind: str
    data: Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What the zone says: records, and whether the name exists at all. `ours`: False when it is no name of ours."""

    records: tuple[Record, ...] = ()
    exists: bool = False
    ours: bool = True


@dataclass(frozen=True, slots=True)
class _Endpoint:
    address: str
    hostname: str
    ports: tuple[tuple[str, str, int], ...]  # (name, protocol, number)

    @property
    def label(self) -> str:
        return self.hostname or self.address.replace(".", "-").replace(":", "-")


@dataclass(slots=True)
class Zone:
    """Services, EndpointSlices and Namespaces by (namespace, name), and the answers they give."""

    domain: str = "cluster.local"
    services: dict[tuple[str, str], Object] = field(default_factory=dict)
    slices: dict[tuple[str, str], Object] = field(default_factory=dict)
    namespaces: set[str] = field(default_factory=set)

    def replace(self, kind: str, objects: Iterable[Object]) -> None:
        """All objects of a kind, as after a list."""
        if kind == "Namespace":
            self.namespaces = {item["metadata"]["name"] for item in objects}
        else:
            table = {_key(item): item for item in objects}
            if kind == "Service":
                self.services = table
            else:
                self.slices = table

    def change(self, event: str, kind: str, item: Object) -> None:
        """One event of a watch."""
        if kind == "Namespace":
            name = item["metadata"]["name"]
            (self.namespaces.discard if event == "DELETED" else self.namespaces.add)(name)
            return
        table = self.services if kind == "Service" else self.slices
        if event == "DELETED":
            table.pop(_key(item), None)
        else:
            table[_key(item)] = item

    def answer(self, name: str, kind: str) -> Answer:
        """The records of type `kind` ("A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "ANY") at `name`."""
        wanted = name.rstrip(".").lower()
        if wanted.endswith((".in-addr.arpa", ".ip6.arpa")):
            return self._reverse(wanted, kind)
        if wanted == self.domain:
            return Answer(exists=True)
        if not wanted.endswith(f".{self.domain}"):
            # There is no upstream to ask, but what the root servers would say of "web.shop" or "web" is known.
            top = wanted.rpartition(".")[2]
            return Answer(ours=top == wanted or top in self.namespaces or top in _NO_SUCH_TOP)
        labels = wanted.removesuffix(f".{self.domain}").split(".")
        if labels == ["dns-version"]:
            return _only(kind, [Record(name, "TXT", "1.1.0")])
        if labels[-1] == "svc":
            return self._service_name(name, labels[:-1], kind)
        if labels[-1] == "pod":
            return self._pod_name(name, labels[:-1], kind)
        return Answer()

    def _service_name(self, name: str, labels: list[str], kind: str) -> Answer:
        if len(labels) < 2:
            return Answer(exists=not labels or labels[0] in self.namespaces)
        namespace, service_name, rest = labels[-1], labels[-2], labels[:-2]
        service = self.services.get((namespace, service_name))
        if service is None or len(rest) > 2:
            return Answer()
        spec = service.get("spec", {})
        if spec.get("type") == "ExternalName":
            return Answer(
                (Record(name, "CNAME", spec.get("externalName", "").rstrip(".") + "."),), exists=True
            )
        headless = spec.get("clusterIP") in ("None", None, "")
        base = f"{service_name}.{namespace}.svc.{self.domain}."
        port = protocol = ""
        endpoint = ""
        if len(rest) == 2 and all(label.startswith("_") for label in rest):
            port, protocol = rest[0][1:], rest[1][1:]
        elif len(rest) == 1 and not rest[0].startswith("_"):
            endpoint = rest[0]
        elif rest:
            return Answer()
        if headless or endpoint:
            found = [
                e for e in self._endpoints(namespace, service_name) if not endpoint or e.label == endpoint
            ]
            records = _addresses(name, [e.address for e in found]) if not port else []
            for one in found:
                for number in _ports(one.ports, port, protocol):
                    records.append(Record(name, "SRV", (0, 100, number, f"{one.label}.{base}")))
        else:
            addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
            ports = [
                (p.get("name", ""), p.get("protocol", "TCP"), p["port"]) for p in spec.get("ports") or []
            ]
            records = _addresses(name, addresses) if not port else []
            records += [Record(name, "SRV", (0, 100, n, base)) for n in _ports(ports, port, protocol)]
        return _only(kind, records)

    def _pod_name(self, name: str, labels: list[str], kind: str) -> Answer:
        if len(labels) < 2:
            return Answer(exists=not labels or labels[0] in self.namespaces)
        if len(labels) > 2 or labels[1] not in self.namespaces:
            return Answer()
        for text in (labels[0].replace("-", "."), labels[0].replace("-", ":")):
            try:
                return _only(kind, _addresses(name, [str(ipaddress.ip_address(text))]))
            except ValueError:
                continue
        return Answer()

    def _reverse(self, name: str, kind: str) -> Answer:
        address = _address_of(name)
        if address is None:
            return Answer(ours=False)
        for (namespace, service_name), service in self.services.items():
            if address in (
                service.get("spec", {}).get("clusterIPs") or [service.get("spec", {}).get("clusterIP")]
            ):
                target = f"{service_name}.{namespace}.svc.{self.domain}."
                return _only(kind, [Record(name + ".", "PTR", target)])
        records = [
            Record(name + ".", "PTR", f"{endpoint.label}.{service_name}.{namespace}.svc.{self.domain}.")
            for namespace, service_name in self.services
            for endpoint in self._endpoints(namespace, service_name)
            if endpoint.address == address
        ]
        return _only(kind, records) if records else Answer(ours=False)  # kubeadm: fallthrough to the upstream

    def _endpoints(self, namespace: str, service: str) -> list[_Endpoint]:
        found: dict[str, _Endpoint] = {}
        for (where, _), piece in self.slices.items():
            labels = piece["metadata"].get("labels") or {}
            if where != namespace or labels.get("kubernetes.io/service-name") != service:
                continue
            ports = tuple(
                (p.get("name") or "", p.get("protocol") or "TCP", p.get("port") or 0)
                for p in piece.get("ports") or []
            )
            for one in piece.get("endpoints") or []:
                if (one.get("conditions") or {}).get("ready", True) is False:
                    continue
                for address in one.get("addresses") or []:
                    found[address] = _Endpoint(address, one.get("hostname") or "", ports)
        return list(found.values())


def _key(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _only(kind: str, records: list[Record]) -> Answer:
    """The records of one type at a name; the name exists when it has any."""
    return Answer(tuple(r for r in records if kind in (r.kind, "ANY")), exists=bool(records))


def _addresses(name: str, addresses: Iterable[str | None]) -> list[Record]:
    return [Record(name, "AAAA" if ":" in a else "A", a) for a in addresses if a]


def _ports(ports: Iterable[tuple[str, str, int]], name: str, protocol: str) -> list[int]:
    return [
        n for p, proto, n in ports if (not name or p == name) and (not protocol or proto.lower() == protocol)
    ]


def _address_of(name: str) -> str | None:
    """The address of a reverse name, or None when it is not a whole one."""
    try:
        if name.endswith(".in-addr.arpa"):
            return str(
                ipaddress.IPv4Address(".".join(reversed(name.removesuffix(".in-addr.arpa").split("."))))
            )
        digits = "".join(reversed(name.removesuffix(".ip6.arpa").split(".")))
        return (
            str(ipaddress.IPv6Address(":".join(digits[i : i + 4] for i in range(0, 32, 4))))
            if len(digits) == 32
            else None
        )
    except ValueError:
        return None
