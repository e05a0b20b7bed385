"""NetworkPolicy as packets meet it."""

from __future__ import annotations

from tests.pocket.node.network.bench import Bench, on_bench


@on_bench
async def test_without_a_policy_every_pod_reaches_every_pod_and_the_node_reaches_all(bench: Bench) -> None:
    a, b = await bench.pod("x/a"), await bench.pod("y/b")
    b.listen(80)
    a.listen(81)
    assert await bench.connect(a, b.ip, 80) == "OK"
    assert await bench.connect(b, a.ip, 81) == "OK"
    assert await bench.connect(None, b.ip, 80) == "OK"
    assert await bench.connect(a, b.ip, 82) == "REFUSED"
