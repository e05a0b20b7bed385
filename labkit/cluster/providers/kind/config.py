"""kind's configuration files: found by name in clusters/kind or by path, and read for what has to be known before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from labkit.cluster.errors import ClusterError

DEFAULT = "single"
API_VERSION = "kind.x-k8s.io/v1alpha4"


@dataclass(frozen=True, slots=True)
class Port:
    """A port of this machine that a node takes."""

    number: int
    address: str
    protocol: str
    what: str


@dataclass(frozen=True, slots=True)
class KindConfig:
    """What a configuration asks for. `images` has one entry a node, "" for kind's own choice."""

    name: str
    path: Path
    text: str
    nodes: int
    workers: int
    images: tuple[str, ...]
    own_network: bool  # kind's own CNI, so that nodes become ready by themselves
    family: str
    pod_subnets: tuple[str, ...]
    service_subnets: tuple[str, ...]
    ports: tuple[Port, ...]


def folder() -> Path:
    """Where the configurations with a name are."""
    from labkit.cluster.places import clusters_folder

    return clusters_folder() / "kind"


def named() -> list[str]:
    """The configurations that can be asked for by name."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def read(wanted: str = "") -> KindConfig:
    """The configuration of that name or in that file. Raises ClusterError: no such file, or not a kind configuration."""
    wanted = wanted or DEFAULT
    path = folder() / f"{wanted}.yaml"
    if "/" in wanted or not path.is_file():
        path = Path(wanted).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise ClusterError(
            f"There is no kind configuration {wanted!r}: neither a file ({problem.strerror}), nor one of {', '.join(named())}."
        ) from None
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise ClusterError(f"{path} is not YAML: {problem}") from None
    if not isinstance(data, dict) or data.get("kind") != "Cluster" or data.get("apiVersion") != API_VERSION:
        raise ClusterError(
            f"{path} is not a kind configuration: it needs kind: Cluster and apiVersion: {API_VERSION}"
        )
    return _read(path, text, data)


def _read(path: Path, text: str, data: Mapping[str, Any]) -> KindConfig:
    networking = _mapping(data.get("networking"))
    nodes = [_mapping(node) for node in data.get("nodes") or [{}]]
    family = str(networking.get("ipFamily") or "ipv4")
    return KindConfig(
        name=path.stem,
        path=path.absolute(),
        text=text,
        nodes=len(nodes),
        workers=sum(node.get("role") == "worker" for node in nodes),
        images=tuple(str(node.get("image") or "") for node in nodes),
        own_network=not networking.get("disableDefaultCNI"),
        family=family,
        pod_subnets=_subnets(networking.get("podSubnet"), family, "10.244.0.0/16", "fd00:10:244::/56"),
        service_subnets=_subnets(networking.get("serviceSubnet"), family, "10.96.0.0/16", "fd00:10:96::/112"),
        ports=tuple(_ports(networking, nodes)),
    )


def _subnets(given: object, family: str, four: str, six: str) -> tuple[str, ...]:
    """The subnets asked for, or kind's defaults (pkg/internal/apis/config/default.go)."""
    if given:
        return tuple(part.strip() for part in str(given).split(","))
    return {"ipv6": (six,), "dual": (four, six)}.get(family, (four,))


def _ports(networking: Mapping[str, Any], nodes: list[Mapping[str, Any]]) -> list[Port]:
    found = []
    api = int(networking.get("apiServerPort") or 0)
    if api > 0:  # 0 and -1: one that is free
        address = str(networking.get("apiServerAddress") or "127.0.0.1")
        found.append(Port(api, address, "TCP", "networking.apiServerPort"))
    for index, node in enumerate(nodes):
        for number, mapping in enumerate(node.get("extraPortMappings") or []):
            port = int(mapping.get("hostPort") or 0)
            if port > 0:
                address = str(mapping.get("listenAddress") or "0.0.0.0")
                where = f"nodes[{index}].extraPortMappings[{number}]"
                found.append(Port(port, address, str(mapping.get("protocol") or "TCP").upper(), where))
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
