"""What we write on the wire is what others read: pyroute2 decodes our messages, the nft command lists our
tables.
"""

from __future__ import annotations

import asyncio
import shutil
import struct
from typing import Any

import pytest
from pyroute2.netlink.nfnetlink.nftsocket import (
    nft_chain_msg,
    nft_rule_msg,
    nft_set_elem_list_msg,
    nft_set_msg,
)

from labkit.pocket.node.network import expressions as ex
from labkit.pocket.node.network import nft
from labkit.pocket.node.network.netlink import Message, NetlinkError, NetlinkSocket, attributes
from tests.pocket.node.network.bench import Bench, on_bench


def decode(kind: type, message: Message) -> dict[str, Any]:
    """A message as pyroute2 reads it."""
    data = struct.pack("=IHHII", 16 + len(message.body), message.type, message.flags, 1, 0) + message.body
    decoded = kind(data)
    decoded.decode()
    return decoded


def expressions(rule: Any) -> list[tuple[str, Any]]:
    found = []
    for element in rule.get_attr("NFTA_RULE_EXPRESSIONS"):
        found.append((element.get_attr("NFTA_EXPR_NAME"), element.get_attr("NFTA_EXPR_DATA")))
    return found


def test_a_rule_is_read_back_with_its_expressions_in_order() -> None:
    packed = (
        ex.address(ex.SOURCE)
        + ex.in_set("pods-1")
        + ex.protocol()
        + ex.compare(b"\6")
        + ex.port()
        + ex.compare(struct.pack("!H", 3306))
        + ex.counter()
        + ex.verdict(ex.Verdict.ACCEPT)
    )
    rule = decode(nft_rule_msg, nft.add_rule("pocket-policy", "ingress-10.244.0.2", packed, "a comment"))
    assert rule.get_attr("NFTA_RULE_TABLE") == "pocket-policy"
    assert rule.get_attr("NFTA_RULE_CHAIN") == "ingress-10.244.0.2"
    found = expressions(rule)
    names = [name for name, _ in found]
    assert names == ["payload", "lookup", "meta", "cmp", "payload", "cmp", "counter", "immediate"]
    source, lookup, _, _, port, number, _, verdict = (data for _, data in found)
    assert source.get_attr("NFTA_PAYLOAD_OFFSET") == 12
    assert source.get_attr("NFTA_PAYLOAD_LEN") == 4
    assert lookup.get_attr("NFTA_LOOKUP_SET") == "pods-1"
    assert port.get_attr("NFTA_PAYLOAD_LEN") == 2
    assert number.get_attr("NFTA_CMP_DATA").get_attr("NFTA_DATA_VALUE") == struct.pack("!H", 3306)
    decided = verdict.get_attr("NFTA_IMMEDIATE_DATA").get_attr("NFTA_DATA_VERDICT")
    assert decided.get_attr("NFTA_VERDICT_CODE") == "NF_ACCEPT"


def test_a_base_chain_is_read_back_with_its_hook_and_priority() -> None:
    chain = decode(nft_chain_msg, nft.add_base_chain("t", "c", "nat", nft.Hook.PREROUTING, -100))
    hook = chain.get_attr("NFTA_CHAIN_HOOK")
    assert chain.get_attr("NFTA_CHAIN_TYPE") == "nat"
    assert hook.get_attr("NFTA_HOOK_HOOKNUM") == 0
    assert hook.get_attr("NFTA_HOOK_PRIORITY") in (-100, 2**32 - 100)


def test_a_map_to_verdicts_and_its_elements_are_read_back() -> None:
    made = decode(nft_set_msg, nft.add_map("t", "m", nft.Kind.ADDRESS, nft.Kind.VERDICT, 7))
    assert made.get_attr("NFTA_SET_KEY_LEN") == 4
    assert made.get_attr("NFTA_SET_ID") == 7
    (message,) = nft.add_elements(
        "t", "m", [(nft.packed_address("10.244.0.2"), nft.verdict_element(ex.Verdict.GOTO, "chain"))]
    )
    elements = decode(nft_set_elem_list_msg, message)
    assert elements.get_attr("NFTA_SET_ELEM_LIST_SET") == "m"
    assert len(elements.get_attr("NFTA_SET_ELEM_LIST_ELEMENTS")) == 1


def test_elements_beyond_what_one_attribute_holds_go_into_several_messages() -> None:
    keys = [(struct.pack("!I", number), None) for number in range(5000)]
    messages = nft.add_elements("t", "s", keys)
    assert len(messages) > 1
    assert all(len(message.body) < 65536 for message in messages)
    count = sum(
        sum(1 for _ in attributes(payload))
        for message in messages
        for kind, payload in attributes(message.body[4:])
        if kind == 3
    )
    assert count == 5000


def test_a_long_comment_is_cut_at_a_whole_character() -> None:
    data = nft.user_comment("ä" * 100)
    assert data[1] == len(data) - 2 <= 128
    assert data[2:-1].decode().endswith("…")


@on_bench
async def test_a_refusal_names_the_message_and_nothing_of_its_batch_stays(bench: Bench) -> None:
    with NetlinkSocket(12) as netfilter:
        batch = nft.batch(
            [nft.add_table("mine"), nft.add_rule("mine", "nowhere", ex.counter(), "rule seven")]
        )
        with pytest.raises(NetlinkError, match="rule seven"):
            netfilter.send(batch, confirm_last=True)
        with pytest.raises(NetlinkError, match="delete table mine"):
            netfilter.send(nft.batch([nft.delete_table("mine")]), confirm_last=True)


@pytest.mark.skipif(not shutil.which("nft"), reason="the nft command is not installed here")
@on_bench
async def test_the_nft_command_lists_our_tables_as_we_mean_them(bench: Bench) -> None:
    client = await bench.pod("x/a", {"app": "a"})
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    rule = {
        "from": [{"podSelector": {"matchLabels": {"app": "a"}}}, block],
        "ports": [{"port": 80, "endPort": 90}],
    }
    bench.policy("x", "p", podSelector={}, ingress=[rule], policyTypes=["Ingress", "Egress"])
    bench.service("x/web", "10.96.0.50", [{"port": 80, "targetPort": 8080}], selector={"a": "b"})
    bench.endpoints("x/web", [("", 8080, "TCP")], [client.ip])
    await bench.settle()
    command = await asyncio.create_subprocess_exec("nft", "list", "ruleset", stdout=asyncio.subprocess.PIPE)
    listed = (await command.communicate())[0].decode()
    assert "type filter hook forward priority filter; policy accept;" in listed
    assert "ip saddr @pods-1 tcp dport 80-90 counter packets 0 bytes 0 accept" in listed
    assert "ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 tcp dport 80-90" in listed
    assert f"elements = {{ {client.ip} : goto ingress-{client.ip} }}" in listed
    assert "10.96.0.50 . tcp . 80 : goto service-10.96.0.50-tcp-80" in listed
    assert "numgen random mod 1 map @endpoints-10.96.0.50-tcp-80" in listed
    assert "ct state new ip daddr @cluster-ips counter packets 0 bytes 0 reject comment" in listed
