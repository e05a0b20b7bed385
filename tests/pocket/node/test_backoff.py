from __future__ import annotations

from labkit.pocket.node.backoff import Backoff, go_duration


def test_the_first_retry_is_immediate_and_the_next_wait_doubles() -> None:
    backoff = Backoff()
    waits = []
    now = 0.0
    for _ in range(7):
        waits.append(backoff.wait(now, now))
        now += waits[-1]
        backoff.tried(now)
    assert waits == [0, 10, 20, 40, 80, 160, 300]


def test_the_wait_counts_from_the_failure() -> None:
    backoff = Backoff()
    backoff.tried(0)
    assert backoff.wait(failed_at=5, now=9) == 6


def test_ten_quiet_minutes_are_forgiveness() -> None:
    backoff = Backoff()
    backoff.tried(0)
    backoff.tried(1)
    assert backoff.wait(700, 700) == 0
    backoff.tried(700)
    assert backoff.delay == 10


def test_durations_read_as_go_prints_them() -> None:
    assert [go_duration(s) for s in (10, 80, 300)] == ["10s", "1m20s", "5m0s"]
