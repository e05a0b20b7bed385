"""The difference between two states of a table."""

from __future__ import annotations

import pytest

from labkit.pocket.node.network import expressions as ex
from labkit.pocket.node.network import nft
from labkit.pocket.node.network.netlink import NETLINK_NETFILTER, NetlinkError, NetlinkSocket
from labkit.pocket.node.network.nft import Kind
from labkit.pocket.node.network.readback import read_elements, read_rules
from labkit.pocket.node.network.ruleset import BaseChain, Chain, Elements, Rule, Ruleset, changes, commit
from tests.pocket.node.network.bench import Bench, on_bench

DROP = Rule(ex.counter() + ex.verdict(ex.Verdict.DROP), "drop")
ACCEPT = Rule(ex.counter() + ex.verdict(ex.Verdict.ACCEPT), "accept")
BASE = BaseChain("filter", nft.Hook.FORWARD, 50)
A, B = nft.packed_address("10.0.0.1"), nft.packed_address("10.0.0.2")


def said(old: Ruleset | None, new: Ruleset) -> list[str]:
    return [message.what for group in changes(old, new) for message in group]


def with_set(*keys: bytes) -> Ruleset:
    return Ruleset("t", sets={"s": Elements(Kind.ADDRESS, dict.fromkeys(keys, b""))})


def test_nothing_is_said_about_what_stays() -> None:
    table = Ruleset("t", {"c": Chain((DROP,))}, {"s": Elements(Kind.ADDRESS, {A: b""})})
    assert said(table, table) == []
    assert said(table, Ruleset("t", {"c": Chain((DROP,))}, {"s": Elements(Kind.ADDRESS, {A: b""})})) == []


def test_a_changed_chain_is_flushed_and_filled_and_others_are_left_alone() -> None:
    old = Ruleset("t", {"c": Chain((DROP,)), "d": Chain((DROP,))})
    new = Ruleset("t", {"c": Chain((ACCEPT, DROP)), "d": Chain((DROP,))})
    assert said(old, new) == ["flush chain c", "add a rule to c (accept)", "add a rule to c (drop)"]


def test_of_a_set_only_the_elements_that_come_and_go_are_sent() -> None:
    assert said(with_set(A), with_set(A, B)) == ["add elements to s"]
    assert said(with_set(A, B), with_set(B)) == ["remove elements from s"]
    assert said(with_set(A), with_set(A)) == []


def test_a_chain_is_made_before_a_map_names_it_and_goes_after_the_map_has_forgotten_it() -> None:
    jump = {A: nft.verdict_element(ex.Verdict.GOTO, "c")}
    without = Ruleset("t", sets={"m": Elements(Kind.ADDRESS, {}, Kind.VERDICT)})
    with_it = Ruleset("t", {"c": Chain((DROP,))}, {"m": Elements(Kind.ADDRESS, jump, Kind.VERDICT)})
    assert said(without, with_it) == ["add chain c", "add a rule to c (drop)", "add elements to m"]
    assert said(with_it, without) == ["remove elements from m", "flush chain c", "delete chain c"]


def test_a_table_whose_state_is_unknown_is_made_anew() -> None:
    assert said(None, Ruleset("t"))[:3] == ["add table t", "delete table t", "add table t"]


@on_bench
async def test_the_kernel_follows_any_walk_through_states(bench: Bench) -> None:
    jump = {A: nft.verdict_element(ex.Verdict.GOTO, "c")}
    other = {A: nft.verdict_element(ex.Verdict.GOTO, "d")}
    look = Rule(ex.address(ex.SOURCE) + ex.look_up("m"), "dispatch")
    member = Rule(ex.address(ex.SOURCE) + ex.in_set("s") + ex.verdict(ex.Verdict.ACCEPT), "member")

    def state(chains: dict[str, Chain], jumps: dict[bytes, bytes], **sets: Elements) -> Ruleset:
        base = {"base": Chain((look,), BASE)}
        return Ruleset("t", {**base, **chains}, {"m": Elements(Kind.ADDRESS, jumps, Kind.VERDICT), **sets})

    walk = [
        state({}, {}),
        state({"c": Chain((DROP,))}, jump),
        state({"c": Chain((member, DROP))}, jump, s=Elements(Kind.ADDRESS, {B: b""})),
        state({"c": Chain((member, DROP)), "d": Chain((ACCEPT,))}, other, s=Elements(Kind.ADDRESS, {A: b""})),
        state({"d": Chain(())}, other),
        state({"c": Chain((DROP,))}, jump, s=Elements(Kind.ADDRESS, {A: b"", B: b""}, comment="unused")),
        state({}, {}),
    ]
    with NetlinkSocket(NETLINK_NETFILTER) as netfilter:
        before: Ruleset | None = None
        for after in walk:
            commit(netfilter, changes(before, after))
            for name, chain in after.chains.items():
                assert [rule.comment for rule in read_rules(netfilter, "t", name)] == [
                    r.comment for r in chain.rules
                ]
            for name, content in after.sets.items():
                assert read_elements(netfilter, "t", name) == sorted(content.elements)
            before = after
        with pytest.raises(NetlinkError, match="read set s"):
            read_elements(netfilter, "t", "s")


@on_bench
async def test_changes_that_no_datagram_holds_arrive_in_several(bench: Bench) -> None:
    chains = {
        f"c{n}": Chain(tuple(Rule(DROP.expressions, f"rule {i}") for i in range(100))) for n in range(60)
    }
    with NetlinkSocket(NETLINK_NETFILTER) as netfilter:
        netfilter.room = 150_000
        assert commit(netfilter, changes(None, Ruleset("t", chains))) > 6000
        assert len(read_rules(netfilter, "t", "c59")) == 100
