"""The files a kubelet writes into a pod's /etc: hosts, resolv.conf, hostname. Text in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLUSTER_DNS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"

_Pod = Mapping[str, Any]


def hostname(pod: _Pod, node_name: str) -> str:
    """A pod's host name: spec.hostname or its name, cut to 63 characters as upstream does; the node's with hostNetwork."""
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        return node_name
    name: str = spec.get("hostname") or pod["metadata"]["name"]
    return name[:63].rstrip("-.")


def hosts(pod: _Pod, address: str, node_name: str) -> str:
    """/etc/hosts as kubelet_pods.go:managedHostsFileContent writes it."""
    name = hostname(pod, node_name)
    lines = [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
    ]
    subdomain = pod["spec"].get("subdomain")
    if subdomain:
        qualified = f"{name}.{subdomain}.{pod['metadata']['namespace']}.svc.{CLUSTER_DOMAIN}"
        lines.append(f"{address}\t{qualified}\t{name}")
    else:
        lines.append(f"{address}\t{name}")
    aliases = pod["spec"].get("hostAliases") or []
    if aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += ["\t".join([alias["ip"], *alias.get("hostnames", [])]) for alias in aliases]
    return "\n".join(lines) + "\n"


def resolv_conf(pod: _Pod, *, machine: str = "") -> str:
    """/etc/resolv.conf by dnsPolicy and dnsConfig (pkg/kubelet/network/dns). `machine`: the node's own, for `Default`."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy", "ClusterFirst")
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    servers: list[str] = []
    search: list[str] = []
    options: dict[str, str | None] = {}
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet"):
        servers = [CLUSTER_DNS]
        search = [
            f"{pod['metadata']['namespace']}.svc.{CLUSTER_DOMAIN}",
            f"svc.{CLUSTER_DOMAIN}",
            CLUSTER_DOMAIN,
        ]
        options = {"ndots": "5"}
    elif policy == "Default":
        servers, search, options = _parse(machine)
    config = spec.get("dnsConfig") or {}
    servers += [server for server in config.get("nameservers") or [] if server not in servers]
    search += [domain for domain in config.get("searches") or [] if domain not in search]
    options.update({option["name"]: option.get("value") for option in config.get("options") or []})
    lines = []
    if search:
        lines.append("search " + " ".join(search[:32]))
    lines += [f"nameserver {server}" for server in servers[:3]]
    if options:
        lines.append(
            "options "
            + " ".join(name if value is None else f"{name}:{value}" for name, value in options.items())
        )
    return "\n".join(lines) + "\n"


def _parse(text: str) -> tuple[list[str], list[str], dict[str, str | None]]:
    servers: list[str] = []
    search: list[str] = []
    options: dict[str, str | None] = {}
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            search = words[1:]
        elif words[0] == "options":
            for option in words[1:]:
                name, colon, value = option.partition(":")
                options[name] = value if colon else None
    return servers, search, options
