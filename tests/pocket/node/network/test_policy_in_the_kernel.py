"""NetworkPolicy as packets meet it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from labkit.pocket.node.network import netlink, nft, ruleset
from tests.pocket.node.network.bench import Bench, on_bench

ALL: dict[str, object] = {}


def peer_pods(**labels: str) -> dict[str, object]:
    return {"podSelector": {"matchLabels": labels}}


@on_bench
async def test_without_a_policy_every_pod_reaches_every_pod_and_the_node_reaches_all(bench: Bench) -> None:
    a, b = await bench.pod("x/a"), await bench.pod("y/b")
    b.listen(80)
    a.listen(81)
    assert await bench.connect(a, b.ip, 80) == "OK"
    assert await bench.connect(b, a.ip, 81) == "OK"
    assert await bench.connect(None, b.ip, 80) == "OK"
    assert await bench.connect(a, b.ip, 82) == "REFUSED"


@on_bench
async def test_deny_all_ingress_closes_one_direction_of_the_selected_pods_only(bench: Bench) -> None:
    a, b = await bench.pod("x/a", {"app": "a"}), await bench.pod("x/b", {"app": "b"})
    a.listen(80), b.listen(80)
    bench.policy("x", "deny", podSelector={"matchLabels": {"app": "b"}}, policyTypes=["Ingress"])
    assert await bench.connect(a, b.ip, 80) == "TIMEOUT"
    assert await bench.connect(b, a.ip, 80) == "OK"


@on_bench
async def test_deny_all_egress_closes_the_other_direction(bench: Bench) -> None:
    a, b = await bench.pod("x/a", {"app": "a"}), await bench.pod("x/b", {"app": "b"})
    a.listen(80), b.listen(80)
    bench.policy("x", "deny", podSelector={"matchLabels": {"app": "b"}}, policyTypes=["Egress"])
    assert await bench.connect(a, b.ip, 80) == "OK"
    assert await bench.connect(b, a.ip, 80) == "TIMEOUT"


@on_bench
async def test_both_halves_must_allow(bench: Bench) -> None:
    a, b = await bench.pod("x/a", {"app": "a"}), await bench.pod("y/b", {"app": "b"})
    b.listen(80)
    bench.policy("x", "out", podSelector=ALL, policyTypes=["Egress"], egress=[{"ports": [{"port": 80}]}])
    bench.policy("y", "in", podSelector=ALL, policyTypes=["Ingress"])
    assert await bench.connect(a, b.ip, 80) == "TIMEOUT"
    bench.policy("y", "open", podSelector=ALL, ingress=[{"from": [{"namespaceSelector": {}}]}])
    assert await bench.connect(a, b.ip, 80) == "OK"
    bench.unpolicy("x", "out")
    bench.policy("x", "out", podSelector=ALL, policyTypes=["Egress"])
    assert await bench.connect(a, b.ip, 80) == "TIMEOUT"


@on_bench
async def test_one_dash_decides_between_and_and_or(bench: Bench) -> None:
    bench.namespace("x", team="x")
    bench.namespace("other", team="other")
    server = await bench.pod("x/server", {"app": "server"})
    front = await bench.pod("x/front", {"role": "frontend"})
    far_front = await bench.pod("other/front", {"role": "frontend"})
    far_back = await bench.pod("other/back", {"role": "backend"})
    server.listen(80)
    both = {"namespaceSelector": {"matchLabels": {"team": "other"}}, **peer_pods(role="frontend")}
    bench.policy("x", "p", podSelector={"matchLabels": {"app": "server"}}, ingress=[{"from": [both]}])
    seen = {pod.key: await bench.connect(pod, server.ip, 80) for pod in (front, far_front, far_back)}
    assert seen == {"x/front": "TIMEOUT", "other/front": "OK", "other/back": "TIMEOUT"}
    either = [{"namespaceSelector": {"matchLabels": {"team": "other"}}}, peer_pods(role="frontend")]
    bench.policy("x", "p", podSelector={"matchLabels": {"app": "server"}}, ingress=[{"from": either}])
    seen = {pod.key: await bench.connect(pod, server.ip, 80) for pod in (front, far_front, far_back)}
    assert seen == {"x/front": "OK", "other/front": "OK", "other/back": "OK"}


@on_bench
async def test_labels_of_pods_and_namespaces_count_from_the_moment_they_change(bench: Bench) -> None:
    bench.namespace("y", team="blue")
    a, b = await bench.pod("x/a", {"app": "a"}), await bench.pod("y/b", {"app": "b"})
    a.listen(80)
    rule = {"from": [{"namespaceSelector": {"matchLabels": {"team": "red"}}, **peer_pods(app="c")}]}
    bench.policy("x", "p", podSelector={"matchLabels": {"app": "a"}}, ingress=[rule])
    assert await bench.connect(b, a.ip, 80) == "TIMEOUT"
    bench.relabel("pods", "b", "y", {"app": "c"})
    assert await bench.connect(b, a.ip, 80) == "TIMEOUT"
    bench.relabel("namespaces", "y", None, {"team": "red"})
    assert await bench.connect(b, a.ip, 80) == "OK"
    bench.relabel("pods", "b", "y", {"app": "b"})
    assert await bench.connect(b, a.ip, 80) == "TIMEOUT"
    bench.relabel("pods", "a", "x", {"app": "free"})
    assert await bench.connect(b, a.ip, 80) == "OK"


@on_bench
async def test_ports_are_numbers_ranges_names_and_protocols(bench: Bench) -> None:
    client = await bench.pod("x/client")
    server = await bench.pod(
        "x/server",
        {"app": "server"},
        [{"name": "web", "containerPort": 8080}, {"name": "dns", "containerPort": 5353, "protocol": "UDP"}],
    )
    for port in (79, 80, 81, 90, 91, 8080, 5353):
        server.listen(port)
    select = {"matchLabels": {"app": "server"}}

    async def open_ports(*entries: dict[str, object]) -> set[int]:
        bench.policy("x", "p", podSelector=select, ingress=[{"ports": list(entries)}])
        ports = (79, 80, 81, 90, 91, 8080, 5353)
        answers = await asyncio.gather(*(bench.connect(client, server.ip, port) for port in ports))
        return {port for port, answer in zip(ports, answers, strict=True) if answer == "OK"}

    assert await open_ports({"port": 80}) == {80}
    assert await open_ports({"port": 80, "endPort": 90}) == {80, 81, 90}
    assert await open_ports({"port": "web"}) == {8080}
    assert await open_ports({"port": "dns"}) == set(), "the name of a UDP port is none of TCP"
    assert await open_ports({"port": 79}, {"port": "web"}) == {79, 8080}
    assert await open_ports({"protocol": "UDP"}) == set()
    assert await open_ports({"protocol": "TCP"}) == {79, 80, 81, 90, 91, 8080, 5353}


@on_bench
async def test_a_named_port_of_an_egress_rule_is_the_destinations_own(bench: Bench) -> None:
    client = await bench.pod("x/client", {"app": "client"})
    one = await bench.pod("x/one", {"app": "one"}, [{"name": "web", "containerPort": 81}])
    two = await bench.pod("x/two", {"app": "two"}, [{"name": "web", "containerPort": 82}])
    for pod in (one, two):
        pod.listen(81), pod.listen(82)
    bench.policy(
        "x",
        "p",
        podSelector={"matchLabels": {"app": "client"}},
        policyTypes=["Egress"],
        egress=[{"ports": [{"port": "web"}]}],
    )
    seen = {
        (pod.name, port): await bench.connect(client, pod.ip, port) for pod in (one, two) for port in (81, 82)
    }
    assert seen == {("one", 81): "OK", ("one", 82): "TIMEOUT", ("two", 81): "TIMEOUT", ("two", 82): "OK"}


@on_bench
async def test_a_udp_rule_opens_udp_and_nothing_else(bench: Bench) -> None:
    client, server = await bench.pod("x/client"), await bench.pod("x/server", {"app": "server"})
    udp, _ = server.listen(53, "UDP"), server.listen(53)
    asker = client.socket(socket.SOCK_DGRAM)
    assert await bench.send(asker, server.ip, 53, [udp]) == "0"
    select = {"matchLabels": {"app": "server"}}
    bench.policy("x", "p", podSelector=select, ingress=[{"ports": [{"port": 53, "protocol": "UDP"}]}])
    assert await bench.connect(client, server.ip, 53) == "TIMEOUT"
    assert await bench.send(client.socket(socket.SOCK_DGRAM), server.ip, 53, [udp]) == "0"
    bench.policy("x", "p", podSelector=select, ingress=[{"ports": [{"port": 53}]}])
    assert await bench.connect(client, server.ip, 53) == "OK"
    assert await bench.send(client.socket(socket.SOCK_DGRAM), server.ip, 53, [udp]) == "LOST"


@on_bench
async def test_ip_blocks_match_outside_hosts_and_pods_minus_their_exceptions(bench: Bench) -> None:
    server, pod = await bench.pod("x/server", {"app": "server"}), await bench.pod("x/pod")
    near = bench.network.outside("203.0.113.10")
    far = bench.network.outside("203.0.113.200")
    server.listen(80)
    from tests.pocket.node.network.bench import BenchPod

    hosts = {
        "near": BenchPod("", "near", "", near.netns_fd),
        "far": BenchPod("", "far", "", far.netns_fd),
        "pod": pod,
    }

    async def reached(*blocks: dict[str, object]) -> set[str]:
        rules = [{"from": [{"ipBlock": block} for block in blocks]}]
        bench.policy("x", "p", podSelector={"matchLabels": {"app": "server"}}, ingress=rules)
        return {name for name, host in hosts.items() if await bench.connect(host, server.ip, 80) == "OK"}

    assert await reached({"cidr": "0.0.0.0/0"}) == {"near", "far", "pod"}
    assert await reached({"cidr": "203.0.113.0/24"}) == {"near", "far"}
    assert await reached({"cidr": "203.0.113.0/24", "except": ["203.0.113.128/25"]}) == {"near"}
    assert await reached({"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16", "203.0.113.10/32"]}) == {"far"}
    overlapping = {"cidr": "203.0.113.0/24", "except": ["203.0.113.128/25"]}, {"cidr": "203.0.113.200/32"}
    assert await reached(*overlapping) == {"near", "far"}
    assert await reached({"cidr": f"{pod.ip}/32"}) == {"pod"}
    bench.policy(
        "x",
        "p",
        podSelector={"matchLabels": {"app": "server"}},
        ingress=[{"from": [{"namespaceSelector": {}}]}],
    )
    assert await bench.connect(hosts["near"], server.ip, 80) == "TIMEOUT"


@on_bench
async def test_egress_to_an_outside_host_is_policed(bench: Bench) -> None:
    pod, host = await bench.pod("x/a"), bench.network.outside("203.0.113.10")
    from tests.pocket.node.network.bench import BenchPod

    outside = BenchPod("", "outside", "", host.netns_fd)
    outside.listen(443)
    assert await bench.connect(pod, "203.0.113.10", 443) == "OK"
    bench.policy(
        "x", "p", podSelector=ALL, policyTypes=["Egress"], egress=[{"to": [{"namespaceSelector": {}}]}]
    )
    assert await bench.connect(pod, "203.0.113.10", 443) == "TIMEOUT"
    to_host = {"to": [{"ipBlock": {"cidr": "203.0.113.10/32"}}], "ports": [{"port": 443}]}
    bench.policy("x", "q", podSelector=ALL, policyTypes=["Egress"], egress=[to_host])
    assert await bench.connect(pod, "203.0.113.10", 443) == "OK"


@on_bench
async def test_what_policy_allows_out_of_the_cluster_fails_at_once_and_what_it_denies_times_out(
    bench: Bench,
) -> None:
    pod = await bench.pod("x/a")
    assert await bench.connect(pod, "8.8.8.8", 443) == "Network is unreachable"
    bench.policy("x", "p", podSelector=ALL, policyTypes=["Egress"])
    assert await bench.connect(pod, "8.8.8.8", 443) == "TIMEOUT"


@on_bench
async def test_an_open_connection_survives_a_policy_that_forbids_new_ones(bench: Bench) -> None:
    a, b = await bench.pod("x/a"), await bench.pod("x/b", {"app": "b"})
    server = b.listen(80)
    with bench.open_connection(a, server, b.ip, 80) as (client, accepted):
        client.sendall(b"before")
        assert accepted.recv(6) == b"before"
        bench.policy("x", "deny", podSelector=ALL, policyTypes=["Ingress", "Egress"])
        assert await bench.connect(a, b.ip, 80) == "TIMEOUT"
        client.sendall(b"after!")
        assert accepted.recv(6) == b"after!"
        accepted.sendall(b"reply!")
        assert client.recv(6) == b"reply!"


@on_bench
async def test_the_node_reaches_an_isolated_pod_and_the_pod_its_node(bench: Bench) -> None:
    pod = await bench.pod("x/a")
    pod.listen(80)
    listener = socket.create_server(("172.18.0.2", 6443))
    bench.policy("x", "deny", podSelector=ALL, policyTypes=["Ingress", "Egress"])
    assert await bench.connect(None, pod.ip, 80) == "OK"
    assert await bench.connect(pod, "172.18.0.2", 6443) == "OK"
    listener.close()


@on_bench
async def test_the_node_speaks_to_pods_from_its_own_address_as_kubelet_probes_do(bench: Bench) -> None:
    pod = await bench.pod("x/a")
    server = pod.listen(80)
    assert await bench.connect(None, pod.ip, 80) == "OK"
    assert server.accept()[1][0] == "172.18.0.2"


@on_bench
async def test_a_new_pod_is_isolated_from_its_first_packet(bench: Bench) -> None:
    """The moment the link is up, before the loop has had a turn, the pod can neither send nor be reached."""
    bench.namespace("x")
    bench.policy("x", "deny", podSelector=ALL, policyTypes=["Ingress", "Egress"])
    outside = await bench.pod("y/outside")
    server = outside.listen(80, "UDP")
    pod = await bench.pod("x/new", attach=False)
    early = pod.socket(socket.SOCK_DGRAM)
    await bench.network.attach(pod.key, pod.uid, pod.netns_fd)
    early.sendto(b"first", (outside.ip, 80))
    with pytest.raises(BlockingIOError):
        server.recv(16)
    rules = await bench.network.rules("x", "new")
    assert "counter packets 1 bytes 33 drop" in rules


@on_bench
async def test_a_policy_written_in_the_same_turn_as_the_attach_is_in_force_already(bench: Bench) -> None:
    outside = await bench.pod("y/outside")
    server = outside.listen(80, "UDP")
    pod = await bench.pod("x/new", attach=False)
    early = pod.socket(socket.SOCK_DGRAM)
    bench.policy("x", "deny", podSelector=ALL, policyTypes=["Egress"])  # its event is still on its way
    await bench.network.attach(pod.key, pod.uid, pod.netns_fd)
    early.sendto(b"first", (outside.ip, 80))
    with pytest.raises(BlockingIOError):
        server.recv(16)


@on_bench
async def test_a_pod_that_has_ended_is_no_peer(bench: Bench) -> None:
    a, b = await bench.pod("x/a", {"app": "a"}), await bench.pod("x/b", {"app": "b"})
    b.listen(80)
    bench.policy(
        "x", "p", podSelector={"matchLabels": {"app": "b"}}, ingress=[{"from": [peer_pods(app="a")]}]
    )
    assert await bench.connect(a, b.ip, 80) == "OK"
    bench.api.modify(
        "pods",
        "a",
        "x",
        lambda o: {**o, "status": {**o["status"], "phase": "Succeeded"}},
        subresource="status",
    )
    assert await bench.connect(a, b.ip, 80) == "TIMEOUT"


@on_bench
async def test_a_detached_pod_leaves_no_link_and_no_rule_and_its_address_rests(bench: Bench) -> None:
    a, b = await bench.pod("x/a"), await bench.pod("x/b")
    bench.policy("x", "deny", podSelector=ALL, policyTypes=["Ingress"])
    await bench.settle()
    links = {name for _, name in socket.if_nameindex()}
    await bench.network.detach(a.uid)
    await bench.settle()
    assert len({name for _, name in socket.if_nameindex()}) == len(links) - 1
    with pytest.raises(KeyError):
        await bench.network.rules("x", "a")
    c = await bench.pod("x/c")
    assert c.ip not in (a.ip, b.ip)
    await bench.network.detach(a.uid)  # twice is once


@on_bench
async def test_a_pod_cannot_send_from_an_address_that_is_not_its_own(bench: Bench) -> None:
    a, b, thief = await bench.pod("x/a"), await bench.pod("x/b"), await bench.pod("x/thief")
    server = b.listen(80, "UDP")
    faked = thief.socket(socket.SOCK_DGRAM)
    faked.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND
    faked.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
    faked.bind((a.ip, 0))
    faked.sendto(b"trust me", (b.ip, 80))
    await asyncio.sleep(0.02)
    with pytest.raises(BlockingIOError):
        server.recv(16)


@on_bench
async def test_a_persons_view_of_the_rules_names_policy_rule_and_peer_and_counts(bench: Bench) -> None:
    a, b = await bench.pod("x/a", {"app": "a"}), await bench.pod("x/b", {"app": "b"})
    b.listen(80)
    rule = {
        "from": [peer_pods(app="a"), {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.244.0.0/16"]}}],
        "ports": [{"port": 80}, {"port": 90, "endPort": 95}, {"protocol": "UDP"}],
    }
    bench.policy("x", "front-door", podSelector={"matchLabels": {"app": "b"}}, ingress=[rule])
    assert await bench.connect(a, b.ip, 80) == "OK"
    assert await bench.connect(a, b.ip, 81, 0.05) == "TIMEOUT"
    assert await bench.connect(a, b.ip, 81, 0.05) == "TIMEOUT"
    rules = await bench.network.rules("x", "b")
    first = "front-door spec.ingress[0].from[0] ports[0]"
    assert f'ip saddr @pods-1 tcp dport 80 counter packets 1 bytes 60 accept comment "{first}"' in rules
    assert "tcp dport 90-95 counter packets 0 bytes 0 accept" in rules
    assert "ip saddr 10.0.0.0/8 ip saddr != 10.244.0.0/16 meta l4proto udp counter" in rules
    drop = 'counter packets 2 bytes 120 drop comment "no rule allows it; isolated by front-door"'
    assert drop in rules
    assert f"{a.ip}    # x/a" in rules
    assert "# Egress: no policy selects this pod, so everything is accepted" in rules


@on_bench
async def test_the_same_rules_can_be_read_in_the_words_of_iptables(bench: Bench) -> None:
    a, b = await bench.pod("x/a", {"app": "a"}), await bench.pod("x/b", {"app": "b"})
    b.listen(80)
    inward = {"from": [peer_pods(app="a")], "ports": [{"port": 80, "endPort": 90}]}
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    outward = {"to": [block, peer_pods(app="a")], "ports": [{"port": "web", "protocol": "UDP"}, {"port": 53}]}
    bench.policy(
        "x", "p", podSelector={"matchLabels": {"app": "b"}}, policyTypes=["Ingress", "Egress"],
        ingress=[inward], egress=[outward],
    )  # fmt: skip
    assert await bench.connect(a, b.ip, 80) == "OK"
    rules = await bench.network.rules("x", "b", "iptables")
    chain = f"ingress-{b.ip}"
    source = '-m set --match-set pods-1 src -p tcp -m tcp --dport 80:90 -m comment --comment "p spec.ingress'
    assert f'[1:60] -A {chain} {source}[0].from[0] ports[0]" -j ACCEPT' in rules
    assert f"-A egress-{b.ip} -d 10.0.0.0/8 ! -d 10.1.0.0/16 -p tcp -m tcp --dport 53" in rules
    assert "-p udp -m set --match-set port-UDP-web dst,dst" in rules
    assert "ip daddr . udp dport @port-UDP-web counter" in await bench.network.rules("x", "b")
    assert 'isolated by p" -j DROP' in rules
    assert f"add pods-1 {a.ip}    # x/a" in rules
    with pytest.raises(ValueError, match='unknown style "ebtables"'):
        await bench.network.rules("x", "b", "ebtables")


@on_bench
async def test_an_event_says_when_a_policy_came_into_force_and_what_it_selects(bench: Bench) -> None:
    await bench.pod("x/a")
    bench.policy("x", "deny", podSelector=ALL, policyTypes=["Ingress"])
    await bench.settle()
    (event,) = [e for e in bench.api.list("events", "x") if e["reason"] == "Enforced"]
    assert event["involvedObject"]["name"] == "deny"
    assert "selects 1 pod" in event["message"]


@on_bench
async def test_a_change_of_one_policy_is_a_handful_of_messages(bench: Bench) -> None:
    for number in range(12):
        await bench.pod(f"x/p{number}", {"app": f"p{number}"})
    for number in range(12):
        select = {"matchLabels": {"app": f"p{number}"}}
        bench.policy("x", f"p{number}", podSelector=select, ingress=[{"from": [peer_pods(app="p1")]}])
    await bench.settle()
    sent: list[int] = []
    original = netlink.NetlinkSocket.send

    def counting(self: netlink.NetlinkSocket, messages: list[netlink.Message], **keywords: bool) -> None:
        sent.append(len(messages))
        original(self, messages, **keywords)

    netlink.NetlinkSocket.send = counting  # type: ignore[assignment,method-assign]
    bench.policy("x", "p3", podSelector={"matchLabels": {"app": "p3"}}, ingress=[{"ports": [{"port": 80}]}])
    await bench.settle()
    bench.relabel("pods", "p5", "x", {"app": "p1"})
    await bench.settle()
    assert len(sent) == 2, "one batch for a change"
    assert max(sent) <= 12


@on_bench
async def test_the_kernel_losing_its_table_is_repaired_with_the_next_change(bench: Bench) -> None:
    a, b = await bench.pod("x/a"), await bench.pod("x/b")
    b.listen(80)
    bench.policy("x", "deny", podSelector=ALL, policyTypes=["Ingress"])
    assert await bench.connect(a, b.ip, 80) == "TIMEOUT"
    with netlink.NetlinkSocket(netlink.NETLINK_NETFILTER) as rogue:
        ruleset.commit(rogue, [[nft.delete_table("pocket-policy")]])
    assert await bench.connect(a, b.ip, 80) == "OK"
    bench.policy("x", "also", podSelector=ALL, policyTypes=["Ingress"])
    await bench.settle()
    await asyncio.sleep(1.1)
    assert await bench.connect(a, b.ip, 80) == "TIMEOUT"


@on_bench
async def test_a_watch_that_ends_is_begun_again_and_what_was_missed_is_caught_up(bench: Bench) -> None:
    a, b = await bench.pod("x/a"), await bench.pod("x/b")
    b.listen(80)
    await bench.settle()
    for watch in list(bench.network._watches.values()):
        watch.close()
    bench.policy("x", "deny", podSelector=ALL, policyTypes=["Ingress"])
    assert await bench.connect(a, b.ip, 80) == "TIMEOUT"
    bench.unpolicy("x", "deny")
    assert await bench.connect(a, b.ip, 80) == "OK"


@on_bench
async def test_an_object_that_cannot_be_read_does_not_stop_the_others(bench: Bench) -> None:
    a, b = await bench.pod("x/a"), await bench.pod("x/b")
    b.listen(80)
    odd = {
        "metadata": {"name": "odd", "namespace": "x", "uid": "u"},
        "spec": {"containers": [{"ports": [{"containerPort": "?"}]}]},
    }
    bench.api.store.put("pods", {"apiVersion": "v1", "kind": "Pod", **odd})
    bench.policy("x", "deny", podSelector=ALL, policyTypes=["Ingress"])
    assert await bench.connect(a, b.ip, 80) == "TIMEOUT"
