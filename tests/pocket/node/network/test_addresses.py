"""The pool of pod addresses."""

from __future__ import annotations

import pytest

from labkit.pocket.node.network.addresses import QUARANTINE, AddressesExhausted, AddressPool


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_addresses_come_in_order_from_the_first_block() -> None:
    pool = AddressPool("10.244.0.0/16")
    assert [pool.take() for _ in range(3)] == ["10.244.0.2", "10.244.0.3", "10.244.0.4"]


def test_a_released_address_is_not_given_out_while_fresh_ones_last() -> None:
    pool = AddressPool("10.244.0.0/16", Clock())
    first = pool.take()
    pool.release(first)
    assert first not in [pool.take() for _ in range(252)]


def test_after_the_block_comes_what_has_rested_long_enough_and_else_the_next_block() -> None:
    clock = Clock()
    pool = AddressPool("10.244.0.0/16", clock)
    taken = [pool.take() for _ in range(253)]
    assert taken[-1] == "10.244.0.254"
    pool.release(taken[0])
    assert pool.take() == "10.244.1.2", "released this moment: it rests"
    clock.now += QUARANTINE
    assert pool.take() == "10.244.1.3", "the block that is open serves first"
    for _ in range(251):
        pool.take()
    assert pool.take() == taken[0]


def test_a_network_that_is_used_up_says_so_and_a_released_address_helps_even_at_once() -> None:
    pool = AddressPool("10.244.0.0/24", Clock())
    taken = [pool.take() for _ in range(253)]
    with pytest.raises(AddressesExhausted, match=r"10\.244\.0\.0/24"):
        pool.take()
    pool.release(taken[7])
    pool.release(taken[7])  # twice is once
    assert pool.take() == taken[7]
    with pytest.raises(AddressesExhausted):
        pool.take()
