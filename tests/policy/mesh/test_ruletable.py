"""The table of all rules agrees with trying every rule in turn, on random policies and requests."""

import random

import pytest

from labkit.policy.mesh.conditions import failing
from labkit.policy.mesh.generate import MeshShape, TokenKit, random_mesh
from labkit.policy.mesh.jwtrules import Facts
from labkit.policy.mesh.receiving import receive
from labkit.policy.mesh.sending import Target, send
from labkit.policy.mesh.tokens import Signature, encode, signed_text

ISSUER = "issuer-a@lab"
TOKENS = [
    f"{signed_text({'alg': 'RS256'}, {'iss': ISSUER, 'sub': sub, 'groups': groups})}.{encode(b'sig')}"
    for sub, groups in (("sub-1", ["group-1"]), ("sub-2", "group-2"), ("x", []))
]
KIT = TokenKit('{"keys": []}', TOKENS)
FACTS = Facts(now=0, verifier=lambda text, jwks: Signature.VALID)


def naive(rules, attributes):
    for rule in sorted(rules, key=lambda rule: rule.key):
        sides = (rule.principals, rule.permissions)
        if not rule.never and all(any(failing(a, attributes) is None for a in side) for side in sides):
            return rule
    return None


@pytest.mark.parametrize("seed", range(120))
def test_the_table_finds_the_rule_that_trying_in_turn_finds(seed):
    drawn = random_mesh(seed, MeshShape(policies=6, requests=12), tokens=KIT)
    world = drawn.world()
    view, pods = world.mesh, world.pods
    server, service = pods["m-alpha/server"], world.services["m-alpha/server"]
    filters = view.workload(server)
    for flow in drawn.flows:
        port = next(p for p in service.ports if p.port == flow.port)
        target = Target(server, port.target, service, port, (server,))
        client = pods[flow.source]
        went = receive(
            view, target, send(view, client, target, flow.request), flow.request, client.ips[0], FACTS, 0
        )
        if went.attributes is None:
            continue
        for tables in (filters.http, filters.tcp):
            for table in (tables.audit, tables.deny, tables.allow):
                if table is not None:
                    assert table.first(went.attributes) is naive(table.rules, went.attributes)


def test_the_same_seed_gives_the_same_set():
    assert random_mesh(7, tokens=KIT) == random_mesh(7, tokens=KIT)
    assert random_mesh(7) != random_mesh(8)


def test_random_sets_meet_every_verdict():
    verdicts = set()
    for seed in range(80):
        drawn = random_mesh(random.Random(seed).randrange(10**6), tokens=KIT)
        from labkit.policy import decide_mesh

        world = drawn.world()
        verdicts |= {decide_mesh(world, flow, FACTS).verdict.value for flow in drawn.flows}
    assert {"OK", "FORBIDDEN", "UNAUTHENTICATED", "RESET", "CLOSED", "UNAVAILABLE"} <= verdicts
