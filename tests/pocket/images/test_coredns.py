"""The cluster's names, by the DNS specification of Kubernetes and CoreDNS' own choices."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from dnslib import QTYPE, RCODE, DNSRecord

from labkit.pocket.images.programs.coredns import Server
from labkit.pocket.images.programs.coredns_zone import Zone


def service(
    namespace: str, name: str, ip: str = "10.96.0.20", ports: tuple[Any, ...] = ((80, "http"),), **spec: Any
):
    listed = [{"port": number, "name": title, "protocol": "TCP"} for number, title in ports]
    return {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"clusterIP": ip, "ports": listed, **spec},
    }


def piece(namespace: str, name: str, *endpoints: dict[str, Any]):
    labels = {"kubernetes.io/service-name": name}
    return {
        "metadata": {"namespace": namespace, "name": f"{name}-x", "labels": labels},
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def namespace(name: str):
    return {"metadata": {"name": name}}


@pytest.fixture
def zone() -> Zone:
    zone = Zone()
    zone.replace("Namespace", [namespace("shop"), namespace("default")])
    zone.replace("Service", [
        service("shop", "web"),
        service("shop", "db", ip="None"),
        service("shop", "empty", ip="None"),
        service("shop", "far", ip="", type="ExternalName", externalName="example.com"),
    ])  # fmt: skip
    zone.replace("EndpointSlice", [
        piece("shop", "db", {"addresses": ["10.244.0.5"], "conditions": {"ready": True}, "hostname": "db-0"},
              {"addresses": ["10.244.0.6"], "conditions": {"ready": True}},
              {"addresses": ["10.244.0.7"], "conditions": {"ready": False}}),
    ])  # fmt: skip
    return zone


def data(zone: Zone, name: str, kind: str = "A") -> list[Any]:
    return sorted(record.data for record in zone.answer(name, kind).records)


def test_a_service_has_the_address_of_its_cluster_ip(zone: Zone) -> None:
    assert data(zone, "web.shop.svc.cluster.local.") == ["10.96.0.20"]
    assert data(zone, "WEB.Shop.svc.cluster.LOCAL.") == ["10.96.0.20"]


def test_a_headless_service_has_the_addresses_of_its_ready_pods(zone: Zone) -> None:
    assert data(zone, "db.shop.svc.cluster.local.") == ["10.244.0.5", "10.244.0.6"]


def test_a_headless_service_without_ready_pods_does_not_exist(zone: Zone) -> None:
    assert zone.answer("empty.shop.svc.cluster.local.", "A").exists is False


def test_each_pod_of_a_headless_service_has_a_name(zone: Zone) -> None:
    assert data(zone, "db-0.db.shop.svc.cluster.local.") == ["10.244.0.5"]
    assert data(zone, "10-244-0-6.db.shop.svc.cluster.local.") == ["10.244.0.6"]
    assert not zone.answer("db-9.db.shop.svc.cluster.local.", "A").exists


def test_named_ports_have_srv_records(zone: Zone) -> None:
    assert data(zone, "_http._tcp.web.shop.svc.cluster.local.", "SRV") == [
        (0, 100, 80, "web.shop.svc.cluster.local.")
    ]
    assert data(zone, "_http._tcp.db.shop.svc.cluster.local.", "SRV") == [
        (0, 100, 8080, "10-244-0-6.db.shop.svc.cluster.local."),
        (0, 100, 8080, "db-0.db.shop.svc.cluster.local."),
    ]
    assert not zone.answer("_http._udp.web.shop.svc.cluster.local.", "SRV").exists


def test_addresses_have_names(zone: Zone) -> None:
    assert data(zone, "20.0.96.10.in-addr.arpa.", "PTR") == ["web.shop.svc.cluster.local."]
    assert data(zone, "5.0.244.10.in-addr.arpa.", "PTR") == ["db-0.db.shop.svc.cluster.local."]
    assert zone.answer("9.9.9.9.in-addr.arpa.", "PTR").ours is False


def test_a_pod_has_a_name_made_of_its_address_in_a_namespace_that_exists(zone: Zone) -> None:
    assert data(zone, "10-244-0-9.shop.pod.cluster.local.") == ["10.244.0.9"]
    assert not zone.answer("10-244-0-9.nowhere.pod.cluster.local.", "A").exists


def test_an_external_name_is_an_alias(zone: Zone) -> None:
    assert data(zone, "far.shop.svc.cluster.local.") == ["example.com."]


def test_a_name_that_exists_with_another_type_is_told_apart_from_none(zone: Zone) -> None:
    aaaa = zone.answer("web.shop.svc.cluster.local.", "AAAA")
    assert (aaaa.records, aaaa.exists) == ((), True)
    assert zone.answer("shop.svc.cluster.local.", "A").exists
    assert not zone.answer("nowhere.svc.cluster.local.", "A").exists
    assert not zone.answer("web.nowhere.svc.cluster.local.", "A").exists


def test_names_outside_have_nobody_to_ask_unless_they_cannot_exist(zone: Zone) -> None:
    assert zone.answer("example.com.", "A").ours is False
    for name in ("web.", "web.shop.", "web.shop.svc."):  # the last names of a pod's search list
        answer = zone.answer(name, "A")
        assert (answer.ours, answer.exists) == (True, False), name


def test_changes_count_at_once(zone: Zone) -> None:
    zone.change("ADDED", "Service", service("shop", "new", ip="10.96.0.30"))
    assert data(zone, "new.shop.svc.cluster.local.") == ["10.96.0.30"]
    zone.change("DELETED", "Service", service("shop", "new"))
    assert not zone.answer("new.shop.svc.cluster.local.", "A").exists
    zone.change("DELETED", "Namespace", namespace("shop"))
    assert not zone.answer("10-1-1-1.shop.pod.cluster.local.", "A").exists


class TestServer:
    @pytest.fixture
    def server(self, zone: Zone) -> Server:
        server = Server(zone)
        server.synced = {"Namespace", "Service", "EndpointSlice"}
        return server

    def ask(self, server: Server, name: str, kind: str = "A", limit: int | None = 512) -> DNSRecord:
        question = DNSRecord.question(name, kind)
        reply = server.reply(question.pack(), limit)
        assert reply is not None
        answer = DNSRecord.parse(reply)
        assert answer.header.id == question.header.id
        return answer

    def test_answers_carry_the_name_as_it_was_asked(self, server: Server) -> None:
        answer = self.ask(server, "Web.shop.svc.cluster.local")
        assert str(answer.rr[0].rname) == "Web.shop.svc.cluster.local."
        assert (str(answer.rr[0].rdata), answer.rr[0].ttl, answer.header.aa) == ("10.96.0.20", 30, 1)

    @pytest.mark.parametrize(
        ("name", "kind", "code", "authorities"),
        [
            ("nope.shop.svc.cluster.local", "A", "NXDOMAIN", 1),
            ("web.shop.svc.cluster.local", "AAAA", "NOERROR", 1),
            ("example.com", "A", "SERVFAIL", 0),
        ],
    )
    def test_no_answer_says_why(
        self, server: Server, name: str, kind: str, code: str, authorities: int
    ) -> None:
        answer = self.ask(server, name, kind)
        assert (RCODE[answer.header.rcode], answer.header.a, answer.header.auth) == (code, 0, authorities)
        if authorities:
            assert QTYPE[answer.auth[0].rtype] == "SOA"

    def test_before_it_has_seen_the_cluster_it_knows_nothing(self, zone: Zone) -> None:
        server = Server(zone)
        assert RCODE[self.ask(server, "web.shop.svc.cluster.local").header.rcode] == "SERVFAIL"

    def test_what_does_not_fit_is_truncated_and_whole_over_tcp(self, server: Server) -> None:
        many = [{"addresses": [f"10.244.1.{n}"], "conditions": {"ready": True}} for n in range(200)]
        server.zone.change("ADDED", "EndpointSlice", piece("shop", "db", *many))
        assert self.ask(server, "db.shop.svc.cluster.local").header.tc == 1
        whole = self.ask(server, "db.shop.svc.cluster.local", limit=None)
        assert (whole.header.tc, len(whole.rr)) == (0, 200)

    def test_what_is_no_question_gets_no_answer(self, server: Server) -> None:
        assert server.reply(b"\x00\x01", 512) is None

    async def test_questions_over_tcp_share_a_connection(self, server: Server) -> None:
        listening = await asyncio.start_server(server.stream, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        for _ in range(2):
            packet = DNSRecord.question("web.shop.svc.cluster.local").pack()
            writer.write(struct.pack("!H", len(packet)) + packet)
            (size,) = struct.unpack("!H", await reader.readexactly(2))
            assert str(DNSRecord.parse(await reader.readexactly(size)).rr[0].rdata) == "10.96.0.20"
        writer.close()
        listening.close()
