"""The arithmetic of rollouts, without a cluster."""

from __future__ import annotations

import pytest

from labkit.pocket.controllers import rollout


def deployment(replicas: int, surge: object = "25%", unavailable: object = "25%") -> dict:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return {"metadata": {"name": "web"}, "spec": {"replicas": replicas, "strategy": strategy}}


def replica_set(name: str, replicas: int, available: int | None = None, maximum: int = 0) -> dict:
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": f"2026-01-01T00:00:0{ord(name[0]) % 10}Z",
            "annotations": {rollout.MAXIMUM: str(maximum)} if maximum else {},
        },
        "spec": {"replicas": replicas},
        "status": {"availableReplicas": replicas if available is None else available},
    }


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (4, "25%", "25%", (1, 1)),
        (10, "25%", "25%", (3, 2)),  # surge rounds up, unavailable down
        (1, "25%", "25%", (1, 0)),
        (3, 0, 0, (0, 1)),  # something must be able to move
        (3, "0%", "10%", (0, 1)),
        (5, 2, 1, (2, 1)),
        (2, 0, 5, (0, 2)),
    ],
)
def test_fenceposts(replicas: int, surge: object, unavailable: object, expected: tuple[int, int]) -> None:
    assert rollout.fenceposts(deployment(replicas, surge, unavailable)) == expected


def test_the_new_set_grows_by_what_the_surge_leaves() -> None:
    new, old = replica_set("n", 0), replica_set("o", 10)
    assert rollout.new_size(deployment(10), [old, new], new) == 3
    new = replica_set("n", 3)
    assert rollout.new_size(deployment(10), [replica_set("o", 10), new], new) == 3
    assert rollout.new_size(deployment(10), [replica_set("o", 4), new], new) == 9
    assert rollout.new_size(deployment(10), [new], new) == 10


def test_upstreams_example_of_a_broken_update() -> None:
    # reconcileOldReplicaSets, case 1: 10 replicas, 2 unavailable, 3 surge; the new pods crash
    crashing, old = replica_set("n", 5, available=0), replica_set("o", 8)
    assert rollout.shrink_old(deployment(10, 3, 2), crashing, [old]) == {}
    # the user rolls back: the crashing set is the old one now, and its unhealthy pods go first
    good = replica_set("n", 8, available=7)
    assert rollout.shrink_old(deployment(10, 3, 2), good, [replica_set("o", 5, available=0)]) == {"o": 1}


def test_old_sets_shrink_as_new_pods_become_available() -> None:
    assert rollout.shrink_old(deployment(4), replica_set("n", 1, available=0), [replica_set("o", 4)]) == {
        "o": 3
    }
    assert rollout.shrink_old(deployment(4), replica_set("n", 2, available=2), [replica_set("o", 3)]) == {
        "o": 1
    }


def test_scaling_in_the_middle_of_a_rollout_keeps_the_shares() -> None:
    old, new = replica_set("a", 10, maximum=13), replica_set("b", 3, maximum=13)
    sizes = rollout.proportional_sizes(deployment(20), [old, new])
    assert sum(sizes.values()) == 25
    assert sizes["a"] > sizes["b"] > 3
    assert rollout.proportional_sizes(deployment(0), [old, new]) == {"a": 0, "b": 0}


def test_templates_differ_by_anything_but_the_hash_label() -> None:
    one = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": []}}
    same = {"metadata": {"labels": {"app": "x", "pod-template-hash": "abc"}}, "spec": {"containers": []}}
    assert rollout.same_template(one, same)
    assert not rollout.same_template(one, {**one, "spec": {"containers": [{"name": "a"}]}})
    as_go_writes_it = {
        "metadata": {"labels": {"app": "x"}, "creationTimestamp": None},
        "spec": {"containers": [], "securityContext": {}},
    }
    assert rollout.same_template(one, as_go_writes_it)
    assert rollout.template_hash(one, 0) == rollout.template_hash(dict(reversed(one.items())), 0)
    assert rollout.template_hash(one, 0) != rollout.template_hash(one, 1)
    assert len(rollout.template_hash(one, 0)) == 10
