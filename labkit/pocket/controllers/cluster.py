"""What the controllers must be told about the cluster they work in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClusterFacts:
    """Addresses and names; the defaults are the pocket cluster's.

    `ca_certificate` (PEM) is what pods trust the API with; while it is empty no kube-root-ca.crt is written.
    """

    ca_certificate: str = ""
    node_name: str = "pocket"
    node_ip: str = "172.18.0.2"
    api_port: int = 6443
    api_service_ip: str = "10.96.0.1"
    dns_service_ip: str = "10.96.0.10"
    domain: str = "cluster.local"
