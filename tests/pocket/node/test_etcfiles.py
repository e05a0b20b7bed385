from __future__ import annotations

from typing import Any

from labkit.pocket.node import etcfiles

MACHINE = "nameserver 192.0.2.1\nsearch corp.example\noptions rotate timeout:1 # comment\n"


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}


def test_a_pod_asks_the_cluster_first() -> None:
    assert etcfiles.resolv_conf(pod(dnsPolicy="ClusterFirst"), machine=MACHINE) == (
        "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
    )


def test_a_pod_on_the_hosts_network_asks_the_machine_unless_told_otherwise() -> None:
    plain = "search corp.example\nnameserver 192.0.2.1\noptions rotate timeout:1\n"
    assert etcfiles.resolv_conf(pod(hostNetwork=True), machine=MACHINE) == plain
    assert etcfiles.resolv_conf(pod(dnsPolicy="Default"), machine=MACHINE) == plain
    with_host_net = etcfiles.resolv_conf(
        pod(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"), machine=MACHINE
    )
    assert "nameserver 10.96.0.10" in with_host_net


def test_dns_config_adds_and_overrides() -> None:
    config = {
        "nameservers": ["1.1.1.1"],
        "searches": ["my.example"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    assert etcfiles.resolv_conf(pod(dnsPolicy="None", dnsConfig=config)) == (
        "search my.example\nnameserver 1.1.1.1\noptions ndots:2 edns0\n"
    )
    text = etcfiles.resolv_conf(pod(dnsConfig=config))
    assert "options ndots:2 edns0\n" in text
    assert "cluster.local my.example\n" in text


def test_hosts_name_the_pod_by_its_subdomain_and_its_aliases() -> None:
    text = etcfiles.hosts(
        pod(hostname="db-0", subdomain="db", hostAliases=[{"ip": "10.0.0.9", "hostnames": ["a", "b"]}]),
        "10.244.0.7",
        "pocket",
    )
    assert "10.244.0.7\tdb-0.db.shop.svc.cluster.local\tdb-0\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n10.0.0.9\ta\tb\n")


def test_long_names_are_cut_as_upstream_cuts_them() -> None:
    long = {"metadata": {"name": "a" * 62 + ".tail", "namespace": "n"}, "spec": {}}
    assert etcfiles.hostname(long, "pocket") == "a" * 62
    assert etcfiles.hostname(pod(hostNetwork=True), "pocket") == "pocket"
