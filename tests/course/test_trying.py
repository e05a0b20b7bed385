"""A network that is a moment late is waited for; one that stays as it is, is not waited for longer than its patience."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from labkit.course.trying import contradicts, try_flows
from labkit.course.violations import Observed
from labkit.policy import Flow, Verdict, World

FLOW = Flow("a/client", "a/server", 80)


@dataclass(frozen=True)
class Seen:
    verdict: Verdict | None
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


def world(*, closed: bool = False, dns: bool = True) -> World:
    pods = [
        ("a", "client", {}),
        ("a", "server", {}),
        *([("kube-system", "dns", {"k8s-app": "kube-dns"})] if dns else []),
    ]
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": n, "name": p, "labels": labels}, "spec": {"containers": []}}
        for n, p, labels in pods
    ]  # fmt: skip
    if closed:
        objects.append(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"namespace": "a", "name": "closed"},
                "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
            }
        )
    return World.from_objects(objects)


class Network:
    """A double of a prober: gives these verdicts, one after the other, and the last for ever."""

    def __init__(self, *verdicts: Verdict | None) -> None:
        self.verdicts = list(verdicts)
        self.asked = 0

    def __call__(self, flows: Iterable[Flow]) -> Mapping[Flow, Observed]:
        self.asked += 1
        verdict = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        return {flow: Seen(verdict) for flow in flows}


def tried(network: Network, at: World, patience: float = 5.0) -> Observed:
    return try_flows(network, at, lambda _: [FLOW], snapshot=lambda: at, patience=patience)[1][FLOW]


def test_what_agrees_with_the_policies_is_tried_once() -> None:
    network = Network(Verdict.OK)
    assert tried(network, world()).verdict is Verdict.OK
    assert network.asked == 1


def test_a_policy_that_the_network_has_not_read_yet_is_waited_for() -> None:
    network = Network(Verdict.OK, Verdict.OK, Verdict.TIMEOUT)
    assert tried(network, world(closed=True)).verdict is Verdict.TIMEOUT
    assert network.asked == 3


def test_a_policy_that_is_gone_is_forgotten_in_time() -> None:
    network = Network(Verdict.TIMEOUT, Verdict.OK)
    assert tried(network, world()).verdict is Verdict.OK


def test_a_network_that_enforces_nothing_is_not_waited_for_for_ever() -> None:
    assert tried(Network(Verdict.OK), world(closed=True), patience=0.05).verdict is Verdict.OK


def test_policies_that_change_meanwhile_are_read_anew() -> None:
    network = Network(Verdict.OK)
    worlds = [world(closed=True), world()]
    last, seen = try_flows(network, worlds[0], lambda _: [FLOW], snapshot=lambda: worlds[1])
    assert last is worlds[1]
    assert seen[FLOW].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("closed", "dns", "verdict", "expected"),
    [
        (False, True, Verdict.REFUSED, False),  # nothing listens there: no policy's doing
        (False, True, None, False),
        (True, True, Verdict.TIMEOUT, False),
        (True, True, Verdict.REFUSED, True),  # it arrived
        (False, True, Verdict.DNS, True),  # names may be asked for, so they will come
        (False, False, Verdict.DNS, True),
    ],
)
def test_only_what_the_policies_speak_of_is_a_contradiction(
    closed: bool, dns: bool, verdict: Verdict | None, expected: bool
) -> None:
    assert contradicts(world(closed=closed, dns=dns), FLOW, Seen(verdict)) is expected


def test_a_name_that_nobody_may_ask_for_is_no_contradiction() -> None:
    egress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "a", "name": "no-way-out"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": {}}]}]},
    }
    assert not contradicts(world().replace(egress), FLOW, Seen(Verdict.DNS))
