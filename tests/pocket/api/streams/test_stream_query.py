"""What requests ask for, and the words of refusal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from multidict import MultiDict

from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.streams.query import (
    chosen_container,
    forwarded_ports,
    log_options,
    require_node,
    terminal_options,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"tailLines": "-1"}, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ({"limitBytes": "0"}, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": "0"}, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": "1", "sinceTime": "2026-01-01T00:00:00Z"}, "at most one of"),
        ({"follow": "maybe"}, 'strconv.ParseBool: parsing "maybe": invalid syntax'),
        ({"tailLines": "x"}, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ({"sinceTime": "yesterday"}, 'parsing time "yesterday"'),
    ],
)
def test_wrong_log_options_are_refused(query: dict[str, str], message: str) -> None:
    with pytest.raises(ApiError) as error:
        log_options(query, NOW)
    assert message in error.value.message


def test_since_is_a_moment_however_it_is_given() -> None:
    assert log_options({"sinceSeconds": "5"}, NOW).since == NOW - timedelta(seconds=5)
    assert log_options({"sinceTime": "2026-01-02T03:04:05Z"}, NOW).since == NOW
    assert log_options({}, NOW).since is None


def test_a_terminal_has_no_separate_stderr_and_some_stream_is_needed() -> None:
    assert not terminal_options({"stdout": "1", "stderr": "1", "tty": "true"}).stderr
    with pytest.raises(ApiError, match="at least 1 of stdin, stdout, stderr"):
        terminal_options({"tty": "true"})


def test_ports_are_listed_or_repeated() -> None:
    assert forwarded_ports(MultiDict([("ports", "80,81"), ("ports", "443")])) == [80, 81, 443]
    for wrong in ("", "0", "70000", "http"):
        with pytest.raises(ApiError):
            forwarded_ports(MultiDict([("ports", wrong)]))
    with pytest.raises(ApiError, match="is required"):
        forwarded_ports(MultiDict())


def test_the_container_is_the_one_asked_for_or_the_only_one() -> None:
    pod = {
        "metadata": {"name": "p"},
        "spec": {"initContainers": [{"name": "init"}], "containers": [{"name": "app"}]},
    }
    assert chosen_container(pod, "") == "app"
    assert chosen_container(pod, "init") == "init"
    pod["spec"]["containers"].append({"name": "side"})
    with pytest.raises(ApiError, match=r"must be specified for pod p, choose one of: \[init app side\]"):
        chosen_container(pod, "")
    with pytest.raises(ApiError, match="pod p does not have a host assigned"):
        require_node(pod)
