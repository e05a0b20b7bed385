"""Services as packets meet them."""

from __future__ import annotations

import socket

from tests.pocket.node.network.bench import Bench, BenchPod, on_bench

UDP = socket.SOCK_DGRAM


@on_bench
async def test_a_cluster_ip_leads_pods_and_the_node_to_the_endpoints(bench: Bench) -> None:
    client, one, two = await bench.pod("x/client"), await bench.pod("x/one"), await bench.pod("x/two")
    servers = [one.listen(8080), two.listen(8080)]
    bench.service("x/web", "10.96.0.50", [{"port": 80, "targetPort": 8080}], selector={"a": "b"})
    bench.endpoints("x/web", [("", 8080, "TCP")], [one.ip, two.ip])
    for _ in range(16):
        assert await bench.connect(client, "10.96.0.50", 80) == "OK"
    assert await bench.connect(None, "10.96.0.50", 80) == "OK"
    reached = [_accepted(server) for server in servers]
    assert sum(reached) == 17
    assert all(reached), f"both endpoints have their share, got {reached}"


def _accepted(server: socket.socket) -> int:
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


@on_bench
async def test_each_port_goes_to_the_endpoints_port_of_its_name(bench: Bench) -> None:
    client, one, two = await bench.pod("x/client"), await bench.pod("x/one"), await bench.pod("x/two")
    one.listen(8081), two.listen(8082), one.listen(9100)
    ports = [
        {"name": "web", "port": 80, "targetPort": "web"},
        {"name": "metrics", "port": 90, "targetPort": 9100},
    ]
    bench.service("x/web", "10.96.0.50", ports, selector={"a": "b"})
    bench.endpoints("x/web", [("web", 8081, "TCP"), ("metrics", 9100, "TCP")], [one.ip])
    assert await bench.connect(client, "10.96.0.50", 80) == "OK"
    assert await bench.connect(client, "10.96.0.50", 90) == "OK"
    bench.endpoints("x/web", [("web", 8082, "TCP")], [two.ip])
    assert await bench.connect(client, "10.96.0.50", 80) == "OK"
    assert await bench.connect(client, "10.96.0.50", 90) == "REFUSED"


@on_bench
async def test_no_ready_endpoint_and_no_such_port_are_refused_for_pods_and_node(bench: Bench) -> None:
    client, one = await bench.pod("x/client"), await bench.pod("x/one")
    one.listen(8080)
    bench.service("x/web", "10.96.0.50", [{"port": 80, "targetPort": 8080}], selector={"a": "b"})
    for source in (client, None):
        assert await bench.connect(source, "10.96.0.50", 80) == "REFUSED"
    bench.endpoints("x/web", [("", 8080, "TCP")], [one.ip], ready=False)
    assert await bench.connect(client, "10.96.0.50", 80) == "REFUSED"
    bench.endpoints("x/web", [("", 8080, "TCP")], [one.ip])
    for source in (client, None):
        assert await bench.connect(source, "10.96.0.50", 80) == "OK"
        assert await bench.connect(source, "10.96.0.50", 81) == "REFUSED"
    asker = client.socket(UDP)
    asker.connect(("10.96.0.50", 81))
    asker.send(b"?")
    assert asker.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "UDP is refused by ICMP as well"
    bench.api.delete("services", "web", "x")
    assert await bench.connect(client, "10.96.0.50", 80) == "Network is unreachable"


@on_bench
async def test_a_pod_reaches_itself_through_its_service(bench: Bench) -> None:
    pod = await bench.pod("x/a")
    server = pod.listen(8080)
    bench.service("x/web", "10.96.0.50", [{"port": 80, "targetPort": 8080}], selector={"a": "b"})
    bench.endpoints("x/web", [("", 8080, "TCP")], [pod.ip])
    assert await bench.connect(pod, "10.96.0.50", 80) == "OK"
    _, (sender, _) = server.accept()
    assert sender == "10.9.255.1", (
        "the node stands in as the client, or the reply would not come back by the node"
    )


@on_bench
async def test_policy_sees_the_pod_behind_the_service_and_its_own_port(bench: Bench) -> None:
    client, pod = await bench.pod("x/client", {"app": "client"}), await bench.pod("x/a", {"app": "a"})
    pod.listen(8080)
    bench.service("x/web", "10.96.0.50", [{"port": 80, "targetPort": 8080}], selector={"a": "b"})
    bench.endpoints("x/web", [("", 8080, "TCP")], [pod.ip])
    select = {"matchLabels": {"app": "a"}}
    bench.policy("x", "p", podSelector=select, ingress=[{"ports": [{"port": 80}]}])
    assert await bench.connect(client, "10.96.0.50", 80) == "TIMEOUT"
    bench.policy("x", "p", podSelector=select, ingress=[{"ports": [{"port": 8080}]}])
    assert await bench.connect(client, "10.96.0.50", 80) == "OK"
    to = [{"podSelector": {"matchLabels": {"app": "a"}}}]
    bench.policy(
        "x", "q", podSelector={"matchLabels": {"app": "client"}}, policyTypes=["Egress"], egress=[{"to": to}]
    )
    assert await bench.connect(client, "10.96.0.50", 80) == "OK"


@on_bench
async def test_the_kubernetes_service_leads_to_the_api_on_the_nodes_address(bench: Bench) -> None:
    pod = await bench.pod("x/a")
    bench.service("default/kubernetes", "10.96.0.1", [{"name": "https", "port": 443, "targetPort": 6443}])
    bench.endpoints("default/kubernetes", [("https", 6443, "TCP")], ["172.18.0.2"])
    assert await bench.connect(pod, "10.96.0.1", 443) == "REFUSED"
    listener = socket.create_server(("172.18.0.2", 6443))
    assert await bench.connect(pod, "10.96.0.1", 443) == "OK"
    assert await bench.connect(None, "10.96.0.1", 443) == "OK"
    listener.close()


@on_bench
async def test_a_udp_client_that_keeps_its_socket_finds_the_new_endpoint(bench: Bench) -> None:
    client, old, new = await bench.pod("x/client"), await bench.pod("x/old"), await bench.pod("x/new")
    servers = [old.listen(53, "UDP"), new.listen(53, "UDP")]
    port = {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53}
    bench.service("x/dns", "10.96.0.10", [port], selector={"a": "b"})
    bench.endpoints("x/dns", [("dns", 53, "UDP")], [old.ip])
    asker = client.socket(UDP)
    assert await bench.send(asker, "10.96.0.10", 53, servers) == "0"
    assert await bench.send(asker, "10.96.0.10", 53, servers) == "0"
    bench.endpoints("x/dns", [("dns", 53, "UDP")], [new.ip])
    assert await bench.send(asker, "10.96.0.10", 53, servers) == "1"


@on_bench
async def test_client_affinity_keeps_a_client_with_its_endpoint(bench: Bench) -> None:
    pods = [await bench.pod(f"x/p{n}") for n in range(4)]
    clients = [await bench.pod(f"x/c{n}") for n in range(6)]
    servers = [pod.listen(80) for pod in pods]
    port = [{"port": 80, "targetPort": 80}]
    bench.service("x/web", "10.96.0.50", port, selector={"a": "b"}, sessionAffinity="ClientIP")
    bench.endpoints("x/web", [("", 80, "TCP")], [pod.ip for pod in pods])
    for client in clients:
        for _ in range(8):
            assert await bench.connect(client, "10.96.0.50", 80) == "OK"
        reached = [_accepted(server) for server in servers]
        assert sorted(reached) == [0, 0, 0, 8], f"one endpoint has them all, got {reached}"


@on_bench
async def test_a_node_port_is_served_on_the_nodes_address(bench: Bench) -> None:
    pod = await bench.pod("x/a")
    outside = BenchPod("", "outside", "", bench.network.outside("203.0.113.10").netns_fd)
    pod.listen(8080)
    port = {"port": 80, "targetPort": 8080, "nodePort": 30080}
    bench.service("x/web", "10.96.0.50", [port], selector={"a": "b"}, type="NodePort")
    bench.endpoints("x/web", [("", 8080, "TCP")], [pod.ip])
    for source in (outside, pod, None):
        assert await bench.connect(source, "172.18.0.2", 30080) == "OK"
    bench.endpoints("x/web", [("", 8080, "TCP")], [])
    assert await bench.connect(outside, "172.18.0.2", 30080) == "REFUSED"
