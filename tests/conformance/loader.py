"""Reads the NetworkPolicy conformance cases; needs PyYAML and nothing else (the format is in
networkpolicy/README.md).

A case becomes stages; a stage is a full list of Kubernetes objects and the word that is expected for each
flow. An author's mistake is a CaseError that names the file and the place.
"""

from __future__ import annotations

import copy
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FORMAT = "networkpolicy-conformance/1"
CASES = Path(__file__).parent / "networkpolicy"
WORDS = ("allow", "deny", "undefined")
PROTOCOLS = ("TCP", "UDP", "SCTP", "ICMP")
NAME_LABEL = "kubernetes.io/metadata.name"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CaseError(ValueError):
    """A case that does not follow the format."""


@dataclass(frozen=True)
class Expectation:
    """The expected word for each (source, destination), for one port, protocol and family."""

    port: int
    protocol: str
    family: str | None
    cells: dict[tuple[str, str], str]


@dataclass(frozen=True)
class Stage:
    """The world after one stage; `rejected`: what the API server says to `refused`, the policies it
    refuses.
    """

    title: str
    objects: list[dict[str, Any]]
    externals: list[str]
    expect: list[Expectation]
    rejected: str | None = None
    refused: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """One file."""

    name: str
    title: str
    source: str
    checklist: list[int]
    cidr_matches_pods: bool
    stages: list[Stage]
    path: Path


def case_files(folder: Path = CASES) -> list[Path]:
    """Every case below a folder, in a fixed order."""
    return sorted(p for p in folder.rglob("*.yaml") if "worlds" not in p.relative_to(folder).parts[:-1])


def load_case(path: Path, folder: Path = CASES) -> Case:
    """Read one case. Raises CaseError."""
    data = _read(path)
    where = str(path.relative_to(folder))
    optional = ("world", "namespaces", "nodes", "pods", "externals", "services", "profile")
    _fields(data, where, ("format", "name", "title", "source", "checklist", "stages"), optional)
    if data["format"] != FORMAT:
        raise CaseError(f"{where}: format is {data['format']!r}, expected {FORMAT!r}")
    profile = data.get("profile") or {}
    _fields(profile, f"{where}: profile", (), ("cidr_matches_pods",))
    state = _State(where)
    if "world" in data:
        shared = _read(folder / data["world"])
        _fields(shared, data["world"], (), ("format", "title", *optional[1:-1]))
        state.add(shared, "")
    state.add(data, "")
    if not data["stages"]:
        raise CaseError(f"{where}: a case needs at least one stage")
    stages = [
        state.stage(item, f"{where}: stages[{i}]") for i, item in enumerate(_list(data, "stages", where))
    ]
    return Case(
        data["name"],
        data["title"],
        data["source"],
        list(data["checklist"]),
        bool(profile.get("cidr_matches_pods", True)),
        stages,
        path,
    )


class _State:
    """The world of a case while its stages change it."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._namespaces: dict[str, dict[str, str]] = {}
        self._pods: dict[str, dict[str, Any]] = {}
        self._services: dict[str, dict[str, Any]] = {}
        self._nodes: dict[str, dict[str, Any]] = {}
        self._externals: list[str] = []
        self._policies: list[dict[str, Any]] = []

    def add(self, data: dict[str, Any], prefix: str) -> None:
        where = self._where
        for item in _list(data, f"{prefix}namespaces", where):
            _fields(item, f"{where}: namespace", ("name",), ("labels",))
            self._namespaces[item["name"]] = _labels(item, f"{where}: namespace {item['name']}")
        for item in _list(data, f"{prefix}pods", where):
            _fields(
                item,
                f"{where}: pod",
                ("namespace", "name"),
                ("labels", "ips", "ports", "initPorts", "hostNetwork", "phase", "node"),
            )
            for port in (*(item.get("ports") or ()), *(item.get("initPorts") or ())):
                _fields(port, f"{where}: pod port", ("containerPort",), ("name", "protocol", "hostPort"))
            self._pods[f"{item['namespace']}/{item['name']}"] = item
        for item in _list(data, f"{prefix}services", where):
            self._services[f"{item['namespace']}/{item['name']}"] = item
        if not prefix:
            for item in _list(data, "nodes", where):
                _fields(item, f"{where}: node", ("name", "ips"), ())
                self._nodes[item["name"]] = item
            for address in _list(data, "externals", where):
                text = str(ipaddress.ip_address(address))
                if text not in self._externals:
                    self._externals.append(text)

    def stage(self, data: dict[str, Any], where: str) -> Stage:
        self._where = where
        _fields(
            data,
            where,
            ("title",),
            (
                "policies",
                "relabel",
                "add_namespaces",
                "add_pods",
                "add_services",
                "remove",
                "rejected",
                "expect",
            ),
        )
        self.add(data, "add_")
        for item in _list(data, "relabel", where):
            _fields(item, f"{where}: relabel", ("kind", "name", "labels"), ("namespace",))
            self._relabel(item, where)
        for item in _list(data, "remove", where):
            _fields(item, f"{where}: remove", ("kind", "name"), ("namespace",))
            self._remove(item, where)
        policies = [_policy(item, where) for item in _list(data, "policies", where)]
        rejected = data.get("rejected")
        if rejected is not None:
            if data.get("expect") or not policies:
                raise CaseError(f"{where}: a stage with `rejected` has policies and no `expect`")
            return Stage(data["title"], self._objects(), self._externals, [], rejected, policies)
        if "policies" in data:
            self._policies = policies
        expect = _list(data, "expect", where)
        if not expect:
            raise CaseError(f"{where}: a stage needs `expect` or `rejected`")
        judged = [self._expectation(item, f"{where}: expect[{i}]") for i, item in enumerate(expect)]
        return Stage(data["title"], self._objects(), self._externals, judged)

    def _relabel(self, item: dict[str, Any], where: str) -> None:
        labels = _labels(item, f"{where}: relabel")
        if item["kind"] == "Namespace" and item["name"] in self._namespaces:
            self._namespaces[item["name"]] = labels
            return
        key = f"{item.get('namespace')}/{item['name']}"
        if item["kind"] != "Pod" or key not in self._pods:
            raise CaseError(f"{where}: relabel: there is no {item['kind']} {key}")
        self._pods[key] = {**self._pods[key], "labels": labels}

    def _remove(self, item: dict[str, Any], where: str) -> None:
        key = f"{item.get('namespace')}/{item['name']}"
        try:
            match item["kind"]:
                case "Namespace":
                    del self._namespaces[item["name"]]
                    self._pods = {k: p for k, p in self._pods.items() if p["namespace"] != item["name"]}
                case "Pod":
                    del self._pods[key]
                case "Service":
                    del self._services[key]
                case kind:
                    raise CaseError(f"{where}: cannot remove a {kind}")
        except KeyError:
            raise CaseError(f"{where}: remove: there is no {item['kind']} {key}") from None

    def _objects(self) -> list[dict[str, Any]]:
        objects: list[dict[str, Any]] = [
            _object("Namespace", name, labels={**labels, NAME_LABEL: name})
            for name, labels in self._namespaces.items()
        ]
        objects += [_node(item) for item in self._nodes.values()]
        objects += [_pod(item) for item in self._pods.values()]
        objects += [_service(item) for item in self._services.values()]
        return copy.deepcopy(objects + self._policies)

    def _expectation(self, data: dict[str, Any], where: str) -> Expectation:
        _fields(data, where, ("default",), ("port", "protocol", "family", "table", "sources", "destinations"))
        protocol = data.get("protocol", "TCP")
        family = data.get("family")
        if protocol not in PROTOCOLS or family not in (None, "IPv4", "IPv6"):
            raise CaseError(f"{where}: unknown protocol {protocol!r} or family {family!r}")
        if "port" not in data and protocol != "ICMP":
            raise CaseError(f"{where}: port is missing")
        table = self._table(data.get("table") or {}, where)
        self._word(data["default"], where)
        rows = {row for row, _ in table if "*" not in row}
        columns = {column for _, column in table if "*" not in column}
        usual = [key for key, pod in self._pods.items() if _has_address(pod, family)]
        usual += [ip for ip in self._externals if family in (None, _family(ip))]
        sources = _list(data, "sources", where) or [*usual, *sorted(rows - {*usual})]
        destinations = _list(data, "destinations", where) or [*usual, *sorted(columns - {*usual})]
        for name in (*sources, *destinations):
            self._known(name, where)
        cells = {}
        for source in sources:
            for destination in destinations:
                if _is_address(source) and _is_address(destination):
                    continue
                cells[source, destination] = self._lookup(table, source, destination, data["default"])
        if not cells:
            raise CaseError(f"{where}: judges no flow at all")
        return Expectation(data.get("port", 0), protocol, family, cells)

    def _table(self, table: dict[str, Any], where: str) -> dict[tuple[str, str], str]:
        result = {}
        for row, columns in table.items():
            if not isinstance(columns, dict):
                raise CaseError(f"{where}: table: row {row!r} must be a mapping of columns")
            for column, word in columns.items():
                self._word(word, f"{where}: {row} → {column}")
                for name in (row, column):
                    self._known(name, where)
                result[_canonical(row), _canonical(column)] = word
        return result

    def _known(self, name: str, where: str) -> None:
        if name == "*" or _is_address(name) or name in self._pods:
            return
        if name.endswith("/*") and name[:-2] in self._namespaces:
            return
        if name.startswith("service:") and name.removeprefix("service:") in self._services:
            return
        raise CaseError(f"{where}: there is no {name!r} in this world")

    @staticmethod
    def _word(word: Any, where: str) -> None:
        if word not in WORDS:
            raise CaseError(f"{where}: {word!r} is none of {', '.join(WORDS)}")

    @staticmethod
    def _lookup(table: dict[tuple[str, str], str], source: str, destination: str, default: str) -> str:
        if source == destination:
            return table.get((source, destination), "allow")
        for row in _names(source):
            for column in _names(destination):
                if (row, column) in table:
                    return table[row, column]
        return default


def _names(end: str) -> list[str]:
    if _is_address(end) or end.startswith("service:"):
        return [_canonical(end), "*"]
    return [end, f"{end.split('/')[0]}/*", "*"]


def _canonical(name: str) -> str:
    return str(ipaddress.ip_address(name)) if _is_address(name) else name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _family(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"


def _has_address(pod: dict[str, Any], family: str | None) -> bool:
    if pod.get("phase", "Running") in ("Succeeded", "Failed"):
        return False
    if "ips" not in pod:
        return family in (None, "IPv4")
    return any(family in (None, _family(ip)) for ip in pod["ips"])


def _object(
    kind: str, name: str, namespace: str = "", labels: dict[str, str] | None = None
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels is not None:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def _pod(item: dict[str, Any]) -> dict[str, Any]:
    pod = _object("Pod", item["name"], item["namespace"], item.get("labels") or {})
    pod["spec"] = {"containers": [{"name": "main", "image": "agnhost", "ports": item.get("ports") or []}]}
    if item.get("initPorts"):
        pod["spec"]["initContainers"] = [{"name": "init", "image": "agnhost", "ports": item["initPorts"]}]
    if item.get("hostNetwork"):
        pod["spec"]["hostNetwork"] = True
    if item.get("node"):
        pod["spec"]["nodeName"] = item["node"]
    if "ips" in item or "phase" in item:
        ips = item.get("ips") or []
        pod["status"] = {"phase": item.get("phase", "Running" if ips else "Pending")}
        if ips:
            pod["status"] |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    return pod


def _service(item: dict[str, Any]) -> dict[str, Any]:
    service = _object("Service", item["name"], item["namespace"])
    service["spec"] = {key: value for key, value in item.items() if key not in ("namespace", "name")}
    return service


def _node(item: dict[str, Any]) -> dict[str, Any]:
    node = _object("Node", item["name"])
    node["status"] = {"addresses": [{"type": "InternalIP", "address": ip} for ip in item["ips"]]}
    return node


def _policy(item: dict[str, Any], where: str) -> dict[str, Any]:
    if item.get("kind", "NetworkPolicy") != "NetworkPolicy" or not (item.get("metadata") or {}).get("name"):
        raise CaseError(f"{where}: each policy is a NetworkPolicy with metadata.name")
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", **item}


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # both are safe loaders
    except (OSError, yaml.YAMLError) as error:
        raise CaseError(f"{path.name}: {error}") from None
    if not isinstance(data, dict):
        raise CaseError(f"{path.name}: a case is a mapping")
    return data


def _fields(data: Any, where: str, required: tuple[str, ...], optional: tuple[str, ...]) -> None:
    if not isinstance(data, dict):
        raise CaseError(f"{where}: expected a mapping, found {data!r}")
    for name in required:
        if name not in data:
            raise CaseError(f"{where}: {name} is missing")
    for name in data:
        if name not in required and name not in optional:
            raise CaseError(f"{where}: unknown field {name!r}")


def _list(data: dict[str, Any], name: str, where: str) -> list[Any]:
    value = data.get(name)
    if value is not None and not isinstance(value, list):
        raise CaseError(f"{where}: {name} must be a list")
    return value or []


def _labels(item: dict[str, Any], where: str) -> dict[str, str]:
    labels = item.get("labels") or {}
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in labels.items()):
        raise CaseError(f"{where}: labels must be strings")
    return labels
