"""A naive evaluation, `decide` and the bit sets of `truth_table` give one answer on random worlds."""

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from labkit.policy import CILIUM, KINDNET, Family, World, decide, truth_table
from labkit.policy.generate import PACKETS, WILD, random_objects, random_policies, random_world

from . import naive

BOUNDED = settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def ordinary(world):
    return [p.key for p in world.pods.values() if p.on_network and not p.host_network]


def compare(number, shape, profile):
    objects = random_objects(number, shape)
    world = World.from_objects(objects, externals=shape.externals)
    cluster = naive.Cluster(objects)
    pods = ordinary(world)
    ends = [*pods, *shape.externals]
    ports = [*shape.ports, (7, "TCP"), (8000, "UDP")]
    compared = 0
    for family in shape.families:
        table = truth_table(world, ports, ends, ends, profile=profile, family=family)
        for flow, cell in table.cells():
            expected = naive.allowed(
                cluster,
                flow.source,
                flow.destination,
                flow.port,
                flow.protocol,
                4 if family is Family.IPV4 else 6,
                profile.cidr_matches_pods,
            )
            if expected is None:
                assert not cell.defined, f"{flow}: no common family, yet a plain answer"
                continue
            assert cell.defined, f"seed {number}: {flow} has two ordinary ends and must have a plain answer"
            assert cell.allowed == expected, (
                f"seed {number}: the table differs from the naive reading at {flow}"
            )
            decision = decide(world, flow, profile)
            assert (decision.allowed, decision.defined) == (expected, True), (
                f"seed {number}: decide differs from the naive reading at {flow}:\n{decision.explain()}"
            )
            if flow.source != flow.destination:
                assert (decision.egress.allowed, decision.ingress.allowed) == (cell.egress, cell.ingress)
            compared += 1
    return compared


@seed(1)
@BOUNDED
@given(st.integers(0, 100_000))
def test_all_three_agree_on_every_flow_of_a_small_ipv4_world(number):
    assert compare(number, PACKETS, KINDNET) > 0


@seed(2)
@BOUNDED
@given(st.integers(0, 100_000))
def test_all_three_agree_with_two_families_odd_pods_and_addresses_outside(number):
    compare(number, WILD, KINDNET)


@seed(3)
@BOUNDED
@given(st.integers(0, 100_000))
def test_all_three_agree_where_an_ip_block_does_not_match_pods(number):
    compare(number, WILD, CILIUM)


@seed(4)
@BOUNDED
@given(st.integers(0, 100_000))
def test_decide_and_the_table_agree_on_odd_pods_too(number):
    world = random_world(number, WILD)
    table = truth_table(world, WILD.ports)
    for flow, cell in table.cells():
        decision = decide(world, flow)
        assert (decision.verdict, decision.defined) == (cell.verdict, cell.defined), f"seed {number}: {flow}"


def test_the_same_seed_gives_the_same_world_and_another_seed_another():
    assert random_objects(5) == random_objects(5)
    assert random_objects(5) != random_objects(6)


def test_policies_can_be_drawn_for_pods_that_exist_already():
    world = random_world(1)
    drawn = random_policies(2, world)
    assert drawn == random_policies(2, world)
    assert all(policy["metadata"]["namespace"] in world.namespaces for policy in drawn)


@pytest.mark.parametrize("shape", [PACKETS, WILD], ids=["packets", "wild"])
def test_random_worlds_are_neither_all_open_nor_all_shut(shape):
    cells = [cell for number in range(40) for _, cell in truth_table(random_world(number, shape)).cells()]
    share = sum(cell.allowed for cell in cells) / len(cells)
    assert 0.2 < share < 0.8
