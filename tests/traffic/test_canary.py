"""The canary proves that a network enforces, says why when it cannot tell, and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.cluster import Cluster
from labkit.policy import Flow, Verdict
from labkit.traffic import canary
from labkit.traffic.canary import PREFIX, Canary, Outcome, prove
from labkit.traffic.observation import Observation

pytestmark = pytest.mark.cluster


def canaries(cluster: Cluster) -> list[str]:
    found = (one for one in cluster.list("namespaces") if not one["metadata"].get("deletionTimestamp"))
    return [one["metadata"]["name"] for one in found if one["metadata"]["name"].startswith(PREFIX)]


def test_a_network_that_enforces_is_seen_to(cluster: Cluster) -> None:
    proof = prove(cluster)
    assert proof.outcome is Outcome.ENFORCED, proof
    assert "closed a pod" in proof.why
    assert not canaries(cluster)


def seen(*rounds: dict[str, Verdict]) -> Any:
    """A double of the prober: what it sees by destination, round after round, the last for ever."""
    left = list(rounds)

    def probe(_cluster: Cluster, flows: list[Flow], **_: Any) -> dict[Flow, Observation]:
        now = left.pop(0) if len(left) > 1 else left[0]
        return {flow: Observation(flow, now[flow.destination.rpartition("/")[2]]) for flow in flows}

    return probe


OPEN = {"door": Verdict.OK, "visitor": Verdict.OK}
CLOSED = {"door": Verdict.TIMEOUT, "visitor": Verdict.OK}
DEAD = {"door": Verdict.TIMEOUT, "visitor": Verdict.TIMEOUT}


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([OPEN, OPEN], Outcome.OPEN),
        ([OPEN, CLOSED, CLOSED], Outcome.ENFORCED),
        ([OPEN, OPEN, OPEN, CLOSED], Outcome.ENFORCED),  # it takes a moment
        ([OPEN, CLOSED, OPEN], Outcome.OPEN),  # one lost packet is no policy
        ([OPEN, DEAD], Outcome.UNKNOWN),  # nothing gets through at all: that proves nothing
        ([DEAD], Outcome.UNKNOWN),
        ([CLOSED], Outcome.UNKNOWN),  # closed before anybody closed it
    ],
)
def test_only_a_door_that_closes_while_the_other_stays_open_is_a_proof(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, rounds: list[Any], expected: Outcome
) -> None:
    monkeypatch.setattr(canary, "probe", seen(*rounds))
    monkeypatch.setattr(canary, "_PAUSE_SECONDS", 0.01)
    proof = prove(cluster, patience=0.3)
    assert proof.outcome is expected, proof
    assert not canaries(cluster)


def test_pods_that_cannot_start_prove_nothing_and_are_cleaned_up(cluster: Cluster) -> None:
    proof = prove(cluster, image="example.com/there-is-no-such-image:1", start=1.0)
    assert proof.outcome is Outcome.UNKNOWN
    assert "could not be tried" in proof.why
    assert not canaries(cluster)


def test_it_is_cleaned_up_whatever_happens(cluster: Cluster) -> None:
    canary_of_a_learner = Canary(cluster)
    with pytest.raises(KeyboardInterrupt), canary_of_a_learner:
        raise KeyboardInterrupt
    assert not canaries(cluster)


def test_what_a_killed_process_left_behind_is_swept(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    Canary(cluster).__enter__()  # and never left
    (left,) = canaries(cluster)
    with Canary(cluster):
        assert left in canaries(cluster)  # it may be somebody's, now
    monkeypatch.setattr(canary, "_LEFT_BEHIND", -canary._LEFT_BEHIND)
    with Canary(cluster):
        pass
    assert not canaries(cluster)
